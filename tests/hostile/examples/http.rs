//! A skill that sends any request, whatever it was granted.

use std::io::Read as _;

use moxxy_sdk::{
    http::Request,
    session,
    skill::{Error, Manifest, Output, Skill, Tool, arguments},
};
use serde::Deserialize;
use serde_json::{Value, json};

struct Http;

#[derive(Deserialize)]
struct Get {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// How many bytes its body has.
    #[serde(default)]
    bytes: usize,
    /// How often it is sent.
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

impl Skill for Http {
    fn manifest() -> Manifest {
        let both = &["GET", "POST"];
        hostile::manifest("http")
            .host("127.0.0.1", both, "To reach a server of the test.")
            .host("localhost", &[], "To reach a server of the test.")
            .host("::1", &[], "To reach a server of the test.")
            .host("named.example", &[], "To reach a host by its name.")
            .host("*.wild.example", &[], "To reach hosts by their suffix.")
    }

    fn tools() -> Vec<Tool> {
        let parameters = json!({
            "type": "object",
            "properties": { "url": { "type": "string" } },
            "required": ["url"],
        });
        vec![
            Tool::new("get", "Send a request.", parameters.clone()),
            Tool::new("stream", "Fetch a URL, and tell of its first piece as progress.", parameters),
        ]
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        match tool {
            "get" => get(arguments(input)?),
            "stream" => stream(arguments(input)?),
            _ => Err(Error::unknown_tool(tool)),
        }
    }
}

moxxy_sdk::export_skill!(Http);

fn request(get: &Get) -> Request {
    let request = Request::new(get.method.as_deref().unwrap_or("GET"), &get.url);
    let request = get.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    if get.bytes == 0 { request } else { request.body("text/plain", vec![b'x'; get.bytes]) }
}

fn get(get: Get) -> Result<Output, Error> {
    let mut last = json!(null);
    for _ in 0..get.times {
        let response = request(&get).send()?;
        let headers = response.headers().to_vec();
        last = json!({ "status": response.status(), "headers": headers, "body": response.text()? });
    }
    Output::json(&last)
}

fn stream(get: Get) -> Result<Output, Error> {
    let mut response = request(&get).send()?;
    let mut first = [0; 1024];
    let count = response.read(&mut first)?;
    session::progress(&String::from_utf8_lossy(first.get(..count).unwrap_or_default()), None);
    Ok(Output::text(response.text()?))
}
