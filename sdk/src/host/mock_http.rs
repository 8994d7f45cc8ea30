//! The network of an ordinary test: responses that were given beforehand.

use std::{
    collections::VecDeque,
    io::{self, Read},
    time::Duration,
};

use crate::{
    host::mock_host::with,
    http::{Error, Request},
};

/// A response that a test gives.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub method: String,
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Each is read by itself.
    pub body: VecDeque<Vec<u8>>,
}

/// A response's head, and its body.
#[derive(Debug)]
pub(crate) struct Received {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// What is still to be read.
#[derive(Debug)]
pub(crate) struct Body(VecDeque<Vec<u8>>);

impl Body {
    /// No test waits.
    pub(crate) fn set_timeout(&mut self, _: Duration) {}
}

/// No test waits.
pub(crate) fn sleep(_: Duration) {}

pub(crate) fn send(request: &Request) -> Result<Received, Error> {
    let fits = |given: &Given| given.method == request.method && given.url == request.url;
    let given = with(|state| {
        state.requests.push(request.clone());
        let place = state.responses.iter().position(fits)?;
        let last = state.responses.iter().filter(|given| fits(given)).count() == 1;
        if last { state.responses.get(place).cloned() } else { Some(state.responses.remove(place)) }
    });
    let (method, url) = (&request.method, &request.url);
    let Given { status, headers, body, .. } =
        given.ok_or_else(|| Error::Denied(format!("this test has no response to {method} {url}")))?;
    Ok(Received { status, headers, body: Body(body) })
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // No bytes would be the end.
        while self.0.pop_front_if(|piece| piece.is_empty()).is_some() {}
        let Some(piece) = self.0.front_mut() else { return Ok(0) };
        let count = (&**piece).read(buffer)?;
        piece.drain(..count);
        Ok(count)
    }
}
