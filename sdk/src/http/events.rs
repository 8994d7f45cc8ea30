//! Server-sent events, as the WHATWG's HTML standard has them.

use std::io::Read;

use super::{
    Error,
    lines::{LIMIT, Lines},
};

/// An event of a stream. See [`Events`].
///
/// ```
/// let event = moxxy_sdk::http::Events::new(&b"event: ping\ndata: {}\n\n"[..]).next().unwrap().unwrap();
/// assert_eq!((&*event.name, &*event.data), ("ping", "{}"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What the stream calls it; `message` if it does not say.
    pub name: String,
    /// Its data; several lines of it are joined by LF.
    pub data: String,
}

/// The server-sent events of a body, each as soon as it is complete. One that the end of the body cuts
/// off does not count, unless they are [`lenient`](Self::lenient). Comments, unless
/// [`with_comments`](Self::with_comments) asks for them, and events without data are passed over; after an error there
/// are no more.
///
/// [`Response::events`](super::Response::events) makes one:
///
/// ```
/// use moxxy_sdk::{http, testing::Host};
///
/// let body = ": hello\n\ndata: one\n\ndata: two\ndata: three\n\ndata: cut";
/// let mut host = Host::new().response("GET", "https://example.com/stream", 200, body);
/// let data = host.run(|| -> Result<Vec<String>, http::Error> {
///     let events = http::get("https://example.com/stream").send()?.ok()?.events();
///     events.map(|event| event.map(|event| event.data)).collect()
/// });
/// assert_eq!(data.unwrap(), ["one", "two\nthree"]);
/// ```
#[derive(Debug)]
pub struct Events<R> {
    lines: Lines<R>,
    limit: usize,
    is_first: bool,
    is_lenient: bool,
    has_comments: bool,
    has_ended: bool,
}

impl<R: Read> Events<R> {
    /// The events of anything that is read.
    ///
    /// ```
    /// let mut events = moxxy_sdk::http::Events::new(&b"data: one\n\n"[..]);
    /// assert_eq!(events.next().unwrap().unwrap().data, "one");
    /// assert_eq!(events.next(), None);
    /// ```
    pub fn new(reader: R) -> Self {
        Self {
            lines: Lines::new(reader),
            limit: LIMIT,
            is_first: true,
            is_lenient: false,
            has_comments: false,
            has_ended: false,
        }
    }

    /// Allows events of at most so many bytes, in place of 4 MiB. A larger one is an error.
    ///
    /// ```
    /// use moxxy_sdk::http::{Error, Events};
    ///
    /// let mut events = Events::new(&b"data: one\ndata: two\n\n"[..]).limit(9);
    /// assert_eq!(events.next().unwrap().unwrap().data, "one\ntwo");
    /// let mut events = Events::new(&b"data: one\ndata: two\ndata: three\n\n"[..]).limit(9);
    /// assert!(matches!(events.next(), Some(Err(Error::TooLarge(_)))));
    /// ```
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self { lines: self.lines.limit(bytes), limit: bytes, ..self }
    }

    /// Accepts what services send in place of such a stream: a last event that the end of the body cuts off, because
    /// its blank line is missing, and a body that is one JSON value, which makes one event.
    ///
    /// ```
    /// let data = |body: &'static str| {
    ///     let mut events = moxxy_sdk::http::Events::new(body.as_bytes()).lenient();
    ///     events.next().unwrap().unwrap().data
    /// };
    /// assert_eq!(data("data: one"), "one");
    /// assert_eq!(data("{\n  \"text\": \"one\"\n}"), "{\n  \"text\": \"one\"\n}");
    /// ```
    #[must_use]
    pub fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// Yields comments as well, as events of the name `:`. Services send them to say that they are still at work.
    ///
    /// ```
    /// let mut events = moxxy_sdk::http::Events::new(&b": ping\n\n"[..]).with_comments();
    /// assert_eq!(events.next().unwrap().unwrap().name, ":");
    /// ```
    #[must_use]
    pub fn with_comments(self) -> Self {
        Self { has_comments: true, ..self }
    }

    /// Returns what is read, such as the response.
    ///
    /// ```
    /// let mut events = moxxy_sdk::http::Events::new(&b"data: one"[..]);
    /// assert_eq!(events.get_mut().len(), 9);
    /// ```
    pub fn get_mut(&mut self) -> &mut R {
        self.lines.get_mut()
    }

    fn event(&mut self) -> Result<Option<Event>, Error> {
        let (mut name, mut data) = (String::new(), None::<String>);
        for line in self.lines.by_ref() {
            let line = line?;
            if !line.is_empty() && std::mem::take(&mut self.is_first) && self.is_lenient && line.starts_with(['{', '['])
            {
                return self.whole(line).map(Some);
            }
            if line.is_empty() {
                match data.take().filter(|data| !data.is_empty()) {
                    Some(data) if name.is_empty() => return Ok(Some(Event { name: "message".to_owned(), data })),
                    Some(data) => return Ok(Some(Event { name, data })),
                    None => name.clear(),
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut data) {
                ("", None) if self.has_comments => {
                    return Ok(Some(Event { name: ":".to_owned(), data: value.to_owned() }));
                }
                ("event", _) => value.clone_into(&mut name),
                ("data", None) => data = Some(value.to_owned()),
                ("data", Some(data)) if data.len() + value.len() < self.limit => {
                    data.push('\n');
                    data.push_str(value);
                }
                ("data", Some(_)) => {
                    return Err(Error::TooLarge(format!("an event has more than {} bytes", self.limit)));
                }
                _ => {}
            }
        }
        let last = data.filter(|data| self.is_lenient && !data.is_empty());
        Ok(last.map(|data| Event { name: if name.is_empty() { "message".to_owned() } else { name }, data }))
    }

    /// Reads the rest of a body that is one JSON value.
    fn whole(&mut self, first_line: String) -> Result<Event, Error> {
        let mut data = first_line;
        for line in self.lines.by_ref() {
            let line = line?;
            if data.len() + line.len() >= self.limit {
                return Err(Error::TooLarge(format!("the response has more than {} bytes", self.limit)));
            }
            data.push('\n');
            data.push_str(&line);
        }
        Ok(Event { name: "message".to_owned(), data })
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let event = self.event().transpose();
        self.has_ended = !matches!(event, Some(Ok(_)));
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Vec<(String, String)> {
        Events::new(body).map(|event| event.map(|event| (event.name, event.data)).unwrap()).collect()
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let told = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        let cases = [
            ("\u{feff}data: a\n\n", vec![told("message", "a")]),
            ("data:a\n\ndata:  b\n\n", vec![told("message", "a"), told("message", " b")]),
            ("event: x\n\ndata: a\n\n", vec![told("message", "a")]),
            ("event: x\r\ndata: a\r\n\r\n", vec![told("x", "a")]),
            ("data: a\rdata: b\r\r", vec![told("message", "a\nb")]),
            ("data\n\ndata:\n\n: note\nid: 7\nretry: 9\nodd: 1\ndata: a\n\n", vec![told("message", "a")]),
            ("data: a\n", vec![]),
            ("data: {\"a\": \"b: c\"}\n\n", vec![told("message", "{\"a\": \"b: c\"}")]),
        ];
        for (body, events) in cases {
            assert_eq!(read(body.as_bytes()), events, "{body:?}");
        }
    }
}
