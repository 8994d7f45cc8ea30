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
const KEPT: usize = 4096;
/// Number of bytes searched for secrets. More than shown, because a secret may begin before the shown part.
const CAPTURED: usize = KEPT + 16 * 1024;
/// Number of bytes that a component may write at once.
const CHUNK: usize = 64 * 1024;

/// The output of a call, for the error message if it fails.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    kept: Vec<u8>,
    written: usize,
}

impl Captured {
    /// Returns the end of the output, with secrets redacted and without control characters, which could corrupt
    /// a log.
    pub fn text(&self, redactor: &Redactor) -> String {
        let bytes = self.0.lock().map(|captured| captured.kept.clone()).unwrap_or_default();
        let clean = redactor.bytes(&bytes);
        let text = String::from_utf8_lossy(clean.get(clean.len().saturating_sub(KEPT)..).unwrap_or_default());
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
    }

    /// Returns the number of bytes written.
    pub fn written(&self) -> usize {
        self.0.lock().map_or(0, |captured| captured.written)
    }

    fn keep(&self, bytes: &[u8]) {
        if let Ok(mut captured) = self.0.lock() {
            captured.written = captured.written.saturating_add(bytes.len());
            // The end explains why the call failed.
            let bytes = bytes.get(bytes.len().saturating_sub(CAPTURED)..).unwrap_or_default();
            let surplus = (captured.kept.len() + bytes.len()).saturating_sub(CAPTURED);
            captured.kept.drain(..surplus);
            captured.kept.extend(bytes);
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
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
