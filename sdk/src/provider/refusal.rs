//! What a service says when it does not do what it was asked.

use std::io::Read as _;

use serde_json::Value;

use super::{Error, Retry};
use crate::http::Response;

/// How much of an error's body is read, in bytes.
const BODY: u64 = 64 * 1024;
/// How much of what the service says is told, in characters.
const MESSAGE: usize = 500;
/// Where services put the sentence that says what is wrong.
const PLACES: [&str; 10] = [
    "/error/message",
    "/message",
    "/detail/message",
    "/detail",
    "/error",
    "/error_description",
    "/error_msg",
    "/msg",
    "/fault/faultstring",
    "/title",
];
/// Where services put lists of details.
const LISTS: [&str; 5] = ["/detail", "/message/detail", "/errors", "/error/details", "/error/errors"];

/// What a service says when it does not do what it was asked: a status, JSON, and a sentence in it.
///
/// ```
/// use moxxy_sdk::{http, provider::{Error, Refusal}, testing::Host};
///
/// fn ask() -> Result<String, Error> {
///     let response = http::get("https://api.example.com/").send()?;
///     let response = Refusal::check(response).map_err(|refusal| match refusal.text("/error/code") {
///         Some("too_long") => Error::context_too_long(refusal.message(), None),
///         _ => refusal.into(),
///     })?;
///     Ok(response.text()?)
/// }
///
/// // In a test:
/// let answered = |status, body: &str| {
///     Host::new().response("GET", "https://api.example.com/", status, body).run(ask).unwrap_err()
/// };
/// let body = r#"{ "error": { "code": "too_long", "message": "That is too long." } }"#;
/// assert_eq!(answered(400, body), Error::context_too_long("That is too long.", None));
/// assert_eq!(answered(400, "{}"), Error::InvalidRequest("the service answered 400".into()));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    status: u16,
    retry_after: Option<u64>,
    location: Option<String>,
    body: Value,
    plain: String,
}

impl Refusal {
    /// Makes a refusal of a status that is not 200 to 299. See [`Refusal`] for an example.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn check(response: Response) -> Result<Response, Self> {
        if (200..300).contains(&response.status()) { Ok(response) } else { Err(Self::read(response)) }
    }

    /// Reads what a response says, whatever its status.
    ///
    /// ```
    /// use moxxy_sdk::{http, provider::Refusal, testing::Host};
    ///
    /// let mut host = Host::new().response("GET", "https://example.com/", 200, r#"{ "error": "not today" }"#);
    /// let refusal = host.run(|| Refusal::read(http::get("https://example.com/").send().unwrap()));
    /// assert_eq!(refusal.message(), "not today");
    /// ```
    pub fn read(response: Response) -> Self {
        let (status, wait) = (response.status(), response.retry_after());
        let location = response.header("Location").filter(|_| (300..400).contains(&status)).map(str::to_owned);
        let mut body = Vec::new();
        // What there is of it is enough.
        drop(response.take(BODY).read_to_end(&mut body));
        let json = serde_json::from_slice(&body).unwrap_or_default();
        let plain = String::from_utf8_lossy(&body).into_owned();
        let retry_after = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Self { status, retry_after, location, body: json, plain }
    }

    /// What comes in the midst of a stream, as JSON. The status is what the service would have answered
    /// with, if it says so.
    ///
    /// ```
    /// use moxxy_sdk::provider::{Error, Refusal};
    ///
    /// let refusal = Refusal::new(503, serde_json::json!({ "error": { "message": "busy" } }));
    /// assert!(matches!(refusal.into(), Error::Overloaded(_)));
    /// ```
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, retry_after: None, location: None, body, plain: String::new() }
    }

    /// The status.
    ///
    /// ```
    /// assert_eq!(moxxy_sdk::provider::Refusal::new(503, ().into()).status(), 503);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body; null if it is no JSON.
    ///
    /// ```
    /// let refusal = moxxy_sdk::provider::Refusal::new(503, serde_json::json!({ "code": 7 }));
    /// assert_eq!(refusal.body()["code"], 7);
    /// ```
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The text at a JSON Pointer, if there is one. See [`Refusal`] for an example.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// The sentence that says what is wrong, on one line and not too long. A key that it shows, in part
    /// mostly, is left out.
    ///
    /// ```
    /// use moxxy_sdk::provider::Refusal;
    /// use serde_json::json;
    ///
    /// let refusal = Refusal::new(401, json!({ "error": { "message": "Wrong key: sk-ab**yz.\nTry another." } }));
    /// assert_eq!(refusal.message(), "Wrong key: [key] Try another.");
    /// ```
    pub fn message(&self) -> String {
        let plain = || Some(&self.plain).filter(|_| self.body.is_null()).and_then(|plain| plain_reason(plain));
        let told = reason(&self.body).or_else(plain);
        let Some(told) = told.filter(|told| !told.trim().is_empty()) else {
            return match &self.location {
                Some(location) => format!("the service redirects to {location:.200}"),
                None => format!("the service answered {}", self.status),
            };
        };
        let shown = |word: &str| word.contains("**") || word.trim_start_matches(['"', '\'', '`']).starts_with("sk-");
        let words = told.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.take(MESSAGE).map(|word| if shown(word) { "[key]" } else { word }).collect();
        words.join(" ").chars().take(MESSAGE).collect()
    }

    /// Whether the sentence has one of these in it, in whatever letters. They are written in small ones.
    ///
    /// ```
    /// let refusal = moxxy_sdk::provider::Refusal::new(400, serde_json::json!({ "error": "The Prompt is too long" }));
    /// assert!(refusal.says(&["too long", "too large"]));
    /// ```
    pub fn says(&self, phrases: &[&str]) -> bool {
        let told = self.message().to_lowercase();
        phrases.iter().any(|phrase| told.contains(phrase))
    }

    /// The sentence, with how long the service wants us to wait.
    ///
    /// ```
    /// let retry = moxxy_sdk::provider::Refusal::new(529, serde_json::json!({ "error": "busy" })).retry();
    /// assert_eq!((&*retry.message, retry.retry_after), ("busy", None));
    /// ```
    pub fn retry(&self) -> Retry {
        Retry { message: self.message(), retry_after: self.retry_after }
    }
}

/// By the status alone.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::of_status(refusal.status, refusal.message(), refusal.retry_after)
    }
}

/// Returns what a JSON body says, from the places that services and proxies are known to use.
fn reason(body: &Value) -> Option<String> {
    if let Some(first) = body.as_array().and_then(|items| items.first()) {
        return reason(first);
    }
    let told = PLACES.into_iter().find_map(|place| body.pointer(place)?.as_str()).map(str::trim);
    let told = told.filter(|told| !told.is_empty()).map(str::to_owned);
    // What the service behind a router said.
    let behind = body.pointer("/error/metadata/raw").and_then(Value::as_str).map(|raw| {
        let inner: Value = serde_json::from_str(raw).unwrap_or_default();
        reason(&inner).unwrap_or_else(|| raw.to_owned())
    });
    let by = body.pointer("/error/metadata/provider_name").and_then(Value::as_str);
    match (told, behind, by) {
        (Some(told), Some(behind), Some(by)) => Some(format!("{told}: {by}: {behind}")),
        (Some(told), Some(behind), None) => Some(format!("{told}: {behind}")),
        (Some(told), None, _) => Some(told),
        (None, Some(behind), _) => Some(behind),
        (None, None, _) => {
            LISTS.into_iter().find_map(|place| list(body.pointer(place)?.as_array()?)).or_else(|| whole(body))
        }
    }
}

/// Returns what a list of details says, each with its place.
fn list(details: &[Value]) -> Option<String> {
    let name = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
    let detail = |detail: &Value| {
        let said = ["msg", "message", "detail", "reason"].into_iter().find_map(|field| detail.get(field)?.as_str());
        let said = said.or_else(|| detail.as_str())?;
        let place = detail.get("loc").and_then(Value::as_array).map(|loc| loc.iter().map(name).collect::<Vec<_>>());
        let place = place.map(|place| place.join(".")).or_else(|| Some(detail.get("field")?.as_str()?.to_owned()));
        Some(place.map_or_else(|| said.to_owned(), |place| format!("{place}: {said}")))
    };
    let details: Vec<String> = details.iter().filter_map(detail).collect();
    (!details.is_empty()).then(|| details.join("; "))
}

/// Returns a body that says nothing at a known place.
fn whole(body: &Value) -> Option<String> {
    let is_empty = match body {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    (!is_empty).then(|| body.to_string())
}

/// Returns what a body that is no JSON says. Of a page, which comes from something that stands before the service, that
/// is its title.
fn plain_reason(body: &str) -> Option<String> {
    let body = body.trim();
    if !body.starts_with('<') {
        return Some(body.to_owned());
    }
    let lower = body.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower.get(start..)?.find("</title>")?;
    Some(format!("a page of HTML, titled {:?}", body.get(start..end)?.trim()))
}
