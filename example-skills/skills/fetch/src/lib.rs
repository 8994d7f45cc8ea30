//! A skill that fetches web pages as readable text. It asks for any host, and reaches those that the
//! operator names.

mod charset;
mod layout;
mod page;

use moxxy_sdk::{http, skill::Error, tool};
use page::Page;

moxxy_sdk::skill! {
    tools: [fetch],
    manifest: |manifest| manifest.host("*", &["GET"], "To fetch the pages of the hosts that you name."),
}

/// How many characters of a page are told at once.
const LENGTH: usize = 20_000;

/// Fetch a web page or a text file, and return what there is to read, with its links. Of a long one the
/// first part comes, and is followed by how to get the next.
#[tool(read_only)]
fn fetch(
    /// The address, which begins with https://.
    url: String,
    /// How many characters to pass over, as the part before says; none unless told.
    #[serde(default)]
    from: usize,
) -> Result<String, Error> {
    let request = http::get(&url).header("Accept", "text/html, text/*;q=0.9, application/json;q=0.8, */*;q=0.1");
    let response = request.retries(1).send()?.ok()?;
    let media_type = response.header("Content-Type").unwrap_or("text/html").to_ascii_lowercase();
    let page = match media_type.split(';').next().unwrap_or_default().trim() {
        "text/html" | "application/xhtml+xml" => Page::of_html(&charset::decode(&media_type, response.bytes()?)),
        plain if is_text(plain) => Page { title: String::new(), text: charset::decode(&media_type, response.bytes()?) },
        other => return Err(Error::failed(format!("{url} is no text but {other}"))),
    };
    part(&page, from)
}

fn is_text(media_type: &str) -> bool {
    let ends = ["json", "xml", "yaml", "javascript", "toml"];
    media_type.starts_with("text/") || ends.iter().any(|end| media_type.ends_with(end))
}

fn part(page: &Page, from: usize) -> Result<String, Error> {
    let length = page.text.chars().count();
    if from > 0 && from >= length {
        return Err(Error::invalid(format!("`from` is {from}, but the page has {length} characters")));
    }
    let mut part: String = page.text.chars().skip(from).take(LENGTH).collect();
    if from == 0 && !page.title.is_empty() {
        part = format!("{}\n\n{part}", page.title);
    }
    if length > from.saturating_add(LENGTH) {
        let next = from + LENGTH;
        part.push_str(&format!("\n\n[{} characters more: fetch it with from={next}]", length - next));
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    const URL: &str = "https://example.com/";

    fn fetched(host: &mut Host, from: usize) -> Result<String, String> {
        let output = host.call::<fetch>(json!({ "url": URL, "from": from }));
        output.map(|output| output.content).map_err(|error| error.to_string())
    }

    fn typed(media_type: &str, body: &str) -> Host {
        Host::new().response_with("GET", URL, 200, &[("Content-Type", media_type)], body)
    }

    #[test]
    fn a_page_becomes_text() {
        let mut host = typed("text/html; charset=utf-8", "<title>Hello</title><p>One <b>two</b>.");
        assert_eq!(fetched(&mut host, 0).unwrap(), "Hello\n\nOne two.");
        assert_eq!(fetched(&mut typed("application/json", "{\"a\": 1}"), 0).unwrap(), "{\"a\": 1}");
    }

    #[test]
    fn a_long_page_comes_in_parts() {
        let mut host = typed("text/plain", &"ä".repeat(LENGTH + 5));
        let first = fetched(&mut host, 0).unwrap();
        assert!(first.ends_with("[5 characters more: fetch it with from=20000]"), "{first}");
        assert_eq!(fetched(&mut host, LENGTH).unwrap(), "äääää");
        assert!(fetched(&mut host, LENGTH + 5).unwrap_err().contains("20005 characters"));
    }

    #[test]
    fn what_is_no_page_is_said() {
        assert!(fetched(&mut typed("image/png", ""), 0).unwrap_err().contains("no text but image/png"));
        let mut missing = Host::new().response("GET", URL, 404, "not here");
        assert!(fetched(&mut missing, 0).unwrap_err().contains("404: not here"));
    }
}
