//! Requests to the hosts that the operator granted.
//!
//! ```
//! use moxxy_sdk::http;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Weather {
//!     celsius: f64,
//! }
//!
//! fn weather(city: &str) -> Result<f64, http::Error> {
//!     let request = http::get("https://api.example.com/weather").query("city", city);
//!     let weather: Weather = request.send()?.ok()?.json()?;
//!     Ok(weather.celsius)
//! }
//!
//! // In a test:
//! let mut host = moxxy_sdk::testing::Host::new().response(
//!     "GET",
//!     "https://api.example.com/weather?city=Paris",
//!     200,
//!     r#"{ "celsius": 21.5 }"#,
//! );
//! assert_eq!(host.run(|| weather("Paris")), Ok(21.5));
//! ```
//!
//! A [`Response`] is read as it comes, so that a stream of [`Lines`] or [`Events`] is passed on at once.
//!
//! The manifest asks for each host with the methods that are used there; see
//! [`Manifest::host`](crate::manifest::Manifest::host). The server resolves names, speaks TLS and
//! follows redirects. A secret goes into a request by its placeholder; see [`vault`](crate::vault).

mod error;
mod events;
mod lines;
mod request;
mod response;

pub use error::Error;
pub use events::{Event, Events};
pub use lines::Lines;
pub use request::{Request, encode};
pub use response::Response;

/// Begins a GET request.
///
/// ```
/// let mut host = moxxy_sdk::testing::Host::new().response("GET", "https://example.com/", 200, "hello");
/// let text = host.run(|| moxxy_sdk::http::get("https://example.com/").send()?.text());
/// assert_eq!(text.as_deref(), Ok("hello"));
/// ```
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// Begins a POST request.
///
/// ```
/// # let mut host = moxxy_sdk::testing::Host::new().response("POST", "https://example.com/notes", 201, "");
/// # let sent = host.run(|| -> Result<(), moxxy_sdk::http::Error> {
/// let note = serde_json::json!({ "text": "Buy milk." });
/// moxxy_sdk::http::post("https://example.com/notes").json(&note).send()?.ok()?;
/// # Ok(())
/// # });
/// # assert_eq!(sent, Ok(()));
/// ```
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// Begins a PUT request.
///
/// ```
/// let request = moxxy_sdk::http::put("https://example.com/notes/1").body("text/plain", "Buy milk.");
/// ```
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

/// Begins a PATCH request.
///
/// ```
/// let request = moxxy_sdk::http::patch("https://example.com/notes/1").body("text/plain", "Buy milk.");
/// ```
pub fn patch(url: impl Into<String>) -> Request {
    Request::new("PATCH", url)
}

/// Begins a DELETE request.
///
/// ```
/// let request = moxxy_sdk::http::delete("https://example.com/notes/1");
/// ```
pub fn delete(url: impl Into<String>) -> Request {
    Request::new("DELETE", url)
}
