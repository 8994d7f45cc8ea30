//! Standard output and error. Only the end of the output is kept.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use moxxy_secrets::Redactor;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Length of the output in error messages, in bytes.
const MAX_SHOWN_BYTES: usize = 4096;
/// Number of bytes searched for secrets. More than shown, because a secret may begin before the shown part.
const MAX_CAPTURED_BYTES: usize = MAX_SHOWN_BYTES + 16 * 1024;
/// Number of bytes that a component may write at once.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// The output of a call, for the error message if it fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    tail: Vec<u8>,
    written: usize,
}

impl Captured {
    /// Returns the end of the output, with secrets redacted and without control characters, which could corrupt
    /// a log.
    pub(crate) fn text(&self, redactor: &Redactor) -> String {
        let bytes = self.0.lock().map(|captured| captured.tail.clone()).unwrap_or_default();
        let redacted = redactor.bytes(&bytes);
        let text =
            String::from_utf8_lossy(redacted.get(redacted.len().saturating_sub(MAX_SHOWN_BYTES)..).unwrap_or_default());
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
    }

    /// Returns the number of bytes written.
    pub(crate) fn written(&self) -> usize {
        self.0.lock().map_or(0, |captured| captured.written)
    }

    fn capture(&self, bytes: &[u8]) {
        if let Ok(mut captured) = self.0.lock() {
            captured.written = captured.written.saturating_add(bytes.len());
            // The end explains why the call failed.
            let bytes = bytes.get(bytes.len().saturating_sub(MAX_CAPTURED_BYTES)..).unwrap_or_default();
            let excess = (captured.tail.len() + bytes.len()).saturating_sub(MAX_CAPTURED_BYTES);
            captured.tail.drain(..excess);
            captured.tail.extend(bytes);
        }
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.capture(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.capture(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
