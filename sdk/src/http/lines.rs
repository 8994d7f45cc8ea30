//! A body line by line, each as soon as it is there.

use std::io::{self, BufRead, BufReader, Read};

use super::{Error, response::reason};

/// The longest line unless told otherwise, in bytes.
pub(super) const LIMIT: usize = 4 * 1024 * 1024;

/// The lines of a body, without their ends, which are LF, CRLF or CR. A line without an end counts if it
/// is the last one; a byte order mark at the start does not count; what is no UTF-8 becomes `�`; after an error there
/// are no more.
///
/// [`Response::lines`](super::Response::lines) makes one. It is how services send a stream of JSON
/// values, of which each is a line:
///
/// ```
/// use moxxy_sdk::{http, testing::Host};
/// use serde_json::Value;
///
/// let body = "{\"text\": \"one\"}\r\n{\"text\": \"two\"}\n";
/// let mut host = Host::new().response("GET", "https://example.com/stream", 200, body);
/// let values = host.run(|| -> Result<Vec<Value>, http::Error> {
///     let lines = http::get("https://example.com/stream").send()?.ok()?.lines();
///     lines.map(|line| serde_json::from_str(&line?).map_err(|error| http::Error::Body(error.to_string()))).collect()
/// });
/// assert_eq!(values.unwrap()[1]["text"], "two");
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    is_first: bool,
    /// Whether a LF that comes next belongs to the line before.
    after_return: bool,
    has_ended: bool,
}

impl<R: Read> Lines<R> {
    /// The lines of anything that is read.
    ///
    /// ```
    /// let lines = moxxy_sdk::http::Lines::new(&b"one\r\ntwo"[..]);
    /// assert_eq!(lines.collect::<Result<Vec<_>, _>>().unwrap(), ["one", "two"]);
    /// ```
    pub fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), limit: LIMIT, is_first: true, after_return: false, has_ended: false }
    }

    /// Allows lines of at most so many bytes, in place of 4 MiB. A longer one is an error.
    ///
    /// ```
    /// use moxxy_sdk::http::{Error, Lines};
    ///
    /// let mut lines = Lines::new(&b"one\nthree"[..]).limit(4);
    /// assert_eq!(lines.next(), Some(Ok("one".to_owned())));
    /// assert!(matches!(lines.next(), Some(Err(Error::TooLarge(_)))));
    /// ```
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        self.reader.get_mut()
    }

    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer.map_err(reason)?,
            };
            if buffer.is_empty() {
                return Ok((!line.is_empty()).then(|| text(line)));
            }
            if std::mem::take(&mut self.after_return) && buffer.starts_with(b"\n") {
                self.reader.consume(1);
                continue;
            }
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, rest) = buffer.split_at(end.unwrap_or(buffer.len()));
            if piece.len() > self.limit.saturating_sub(line.len()) {
                return Err(Error::TooLarge(format!("a line of the response has more than {} bytes", self.limit)));
            }
            line.extend_from_slice(piece);
            let (is_return, used) = (rest.starts_with(b"\r"), piece.len() + usize::from(end.is_some()));
            self.reader.consume(used);
            if end.is_some() {
                self.after_return = is_return;
                return Ok(Some(text(line)));
            }
        }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let mut line = self.line().transpose();
        if std::mem::take(&mut self.is_first)
            && let Some(Ok(first)) = &mut line
            && first.starts_with('\u{feff}')
        {
            first.remove(0);
        }
        self.has_ended = !matches!(line, Some(Ok(_)));
        line
    }
}

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and then breaks.
    struct Drip(Vec<u8>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(Error::Broken("gone".into()).into());
            }
            buffer[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn every_end_is_one_and_a_break_is_an_error() {
        let mut lines = Lines::new(Drip("\u{feff}a\r\n\rb\n\nä\r".into()));
        let read: Vec<_> = lines.by_ref().take(5).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, ["a", "", "b", "", "ä"]);
        assert_eq!(lines.next(), Some(Err(Error::Broken("gone".into()))));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut lines = Lines::new(io::repeat(b'a')).limit(100_000);
        assert!(matches!(lines.next(), Some(Err(Error::TooLarge(_)))));
        assert_eq!(lines.next(), None);
    }
}
