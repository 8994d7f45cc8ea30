//! Decoding of compressed response bodies (RFC 9110, section 8.4), so that neither components nor the search for secrets
//! have to do with it. An encoding that is not known stays as it is.

use std::{io, pin::Pin};

use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder},
    zstd::DParameter,
};
use futures_util::TryStreamExt as _;
use http::{
    HeaderMap, Response,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncRead, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{body::Body, error::Error};

/// Maximum number of encodings of one body.
const MAX_ENCODINGS: usize = 2;
/// Maximum window of Zstandard, as its logarithm: 8 MiB (RFC 9659).
const MAX_ZSTD_WINDOW_LOG: u32 = 23;
/// Size of the pieces in which a decoded body is passed on, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
    Brotli,
    Zstandard,
}

type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// Decodes the body of a response. A decoded body has at most `limit` bytes.
pub(crate) fn decode(response: Response<Body>, limit: u64) -> Response<Body> {
    let Some(encodings) = encodings(response.headers()).filter(|encodings| !encodings.is_empty()) else {
        return response;
    };
    if response.body().is_end_stream() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    let mut reader: Reader = Box::pin(StreamReader::new(body.into_data_stream().map_err(io::Error::other)));
    for encoding in encodings.into_iter().rev() {
        reader = decoder(encoding, reader);
    }
    let mut left = limit;
    let pieces = ReaderStream::with_capacity(reader, PIECE_BYTES).map_err(|error| match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::Broken(format!("the response cannot be decompressed: {error}")),
    });
    let pieces = pieces.and_then(move |piece| {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let within = left >= length;
        left = left.saturating_sub(length);
        std::future::ready(if within { Ok(Frame::data(piece)) } else { Err(Error::ResponseBody(limit)) })
    });
    Response::from_parts(parts, StreamBody::new(pieces).boxed_unsync())
}

/// Returns the encodings of a body in the order in which they were applied, or `None` if one is not known.
fn encodings(headers: &HeaderMap) -> Option<Vec<Encoding>> {
    let mut known = Vec::new();
    for line in headers.get_all(CONTENT_ENCODING) {
        for name in line.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match &*name.to_ascii_lowercase() {
                "identity" => {}
                "gzip" | "x-gzip" => known.push(Encoding::Gzip),
                "deflate" => known.push(Encoding::Deflate),
                "br" => known.push(Encoding::Brotli),
                "zstd" => known.push(Encoding::Zstandard),
                _ => return None,
            }
        }
    }
    (known.len() <= MAX_ENCODINGS).then_some(known)
}

fn decoder(encoding: Encoding, reader: Reader) -> Reader {
    let reader = BufReader::new(reader);
    match encoding {
        Encoding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Encoding::Deflate => Box::pin(ZlibDecoder::new(reader)),
        Encoding::Brotli => Box::pin(BrotliDecoder::new(reader)),
        Encoding::Zstandard => {
            let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(MAX_ZSTD_WINDOW_LOG)]);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
    }
}
