//! Client of the server's event stream.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    client::{Call, Client},
    failure::{CliResult, Exit, Failure},
};

/// Maximum time without data. The server sends something more often than that.
const SILENCE: Duration = Duration::from_secs(60);

/// Stream of server-sent events.
pub(crate) struct Stream {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
    /// Fields of the event that is being received.
    id: Option<String>,
    data: String,
}

/// Event with its text and its parsed value. The position in the log is `None` for an event that is not logged.
pub(crate) struct SseEvent {
    pub position: Option<String>,
    pub text: String,
    pub value: Value,
}

impl Stream {
    pub(crate) async fn open(client: &Client, call: Call) -> CliResult<Self> {
        let response: Response = client.send(&call).await?;
        Ok(Self { bytes: response.bytes_stream().boxed(), buffer: Vec::new(), id: None, data: String::new() })
    }

    /// Returns the next event, or an error if the stream has ended or is silent.
    pub(crate) async fn next(&mut self) -> CliResult<SseEvent> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(sent) = self.line(String::from_utf8_lossy(&line).trim_end())? {
                    return Ok(sent);
                }
            }
            match timeout(SILENCE, self.bytes.next()).await {
                Ok(Some(Ok(bytes))) => self.buffer.extend(bytes),
                Ok(Some(Err(_)) | None) => return Err(ended("The server ended the stream of events")),
                Err(_) => return Err(ended("The server went silent")),
            }
        }
    }

    /// Processes a line. An empty line completes an event that has data.
    fn line(&mut self, line: &str) -> CliResult<Option<SseEvent>> {
        match line.split_once(':') {
            Some(("id", id)) => self.id = Some(id.trim().to_owned()),
            Some(("data", data)) => self.data.push_str(data.trim_start()),
            None if line.is_empty() => {
                let (position, text) = (self.id.take(), std::mem::take(&mut self.data));
                if text.is_empty() {
                    return Ok(None);
                }
                let strange = |_| ended("The server sent an event that is not JSON");
                let value = serde_json::from_str(&text).map_err(strange)?;
                return Ok(Some(SseEvent { position, text, value }));
            }
            _ => {}
        }
        Ok(None)
    }
}

fn ended(message: &str) -> Failure {
    Failure::new(Exit::Unreachable, "stream_ended", message)
}
