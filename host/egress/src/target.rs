//! Target of a request: one URL, parsed once. The policy check, the connection and the request line use this
//! one value, so two parsers cannot disagree about it.

use http::Uri;
use url::{Host, Url};

use super::error::Refusal;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
}

impl Target {
    /// Parses an absolute URL. Forms that other parsers may read differently are refused.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (_, rest) = text.split_once("://").ok_or(Refusal::Malformed("it does not begin with https://"))?;
        let (authority, path) =
            until_any_of(rest, &['?', '#']).split_once('/').unwrap_or((until_any_of(rest, &['?', '#']), ""));
        if authority.contains('@') {
            return Err(Refusal::Malformed("it has user information in it; send credentials in a header"));
        }
        check_characters(text)?;
        if path.split('/').any(is_dot_segment) {
            return Err(Refusal::Malformed("its path has dot segments; write the path that is meant"));
        }
        Self::new(Url::parse(text).map_err(|_| Refusal::Malformed("it is not a URL"))?)
    }

    /// Resolves the location of a redirect against this URL.
    pub fn join(&self, location: &str) -> Result<Self, Refusal> {
        check_characters(location)?;
        Self::new(self.url.join(location).map_err(|_| Refusal::Malformed("a redirect leads to what is not a URL"))?)
    }

    fn new(mut url: Url) -> Result<Self, Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Malformed("it does not begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Malformed("it has user information in it; send credentials in a header"));
        }
        if url.port() == Some(0) {
            return Err(Refusal::Malformed("there is no port 0"));
        }
        // The URL parser did not resolve the remaining dot segments, but the server might.
        if url.path().split('/').any(is_dot_segment) {
            return Err(Refusal::Malformed("its path has dot segments; write the path that is meant"));
        }
        url.set_fragment(None);
        // A trailing root dot does not matter to the server, but would defeat a comparison of names.
        if let Some(name) = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned) {
            url.set_host(Some(&name)).map_err(|_| Refusal::Malformed("it names no host"))?;
        }
        match url.host() {
            Some(Host::Domain(name)) if !is_name(name) => Err(Refusal::Malformed("it names no host")),
            Some(_) => Ok(Self { url }),
            None => Err(Refusal::Malformed("it names no host")),
        }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub fn host(&self) -> Host<&str> {
        // `new` ensures that there is a host.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Host and port for messages.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Value of the header `Host`.
    pub fn host_header(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_string(),
        }
    }

    /// The request target, in origin form.
    pub fn path_and_query(&self) -> Result<Uri, Refusal> {
        let text = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        text.parse().map_err(|_| Refusal::Malformed("its path or its query has characters that cannot be sent"))
    }

    /// Whether the path contains percent-encoded slashes or backslashes.
    pub fn has_encoded_slashes(&self) -> bool {
        let path = self.url.path().to_ascii_lowercase();
        path.contains("%2f") || path.contains("%5c")
    }

    pub fn has_same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }
}

/// Accepts letters, digits, `-` and `_` in labels. The URL parser accepts more, but other parsers do not.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}

/// Refuses characters that URL parsers remove (spaces, control characters) or read as slashes (backslashes).
fn check_characters(text: &str) -> Result<(), Refusal> {
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Refusal::Malformed("it has spaces or control characters in it"));
    }
    if until_any_of(text, &['?', '#']).contains('\\') {
        return Err(Refusal::Malformed("it has a backslash in it"));
    }
    let path = until_any_of(text, &['?', '#']);
    if path.to_ascii_lowercase().contains("%2e") && path.split('/').any(is_dot_segment) {
        return Err(Refusal::Malformed("its path has dot segments; write the path that is meant"));
    }
    Ok(())
}

/// Whether a segment is `.` or `..`, in any encoding.
fn is_dot_segment(segment: &str) -> bool {
    // Some servers treat the text after a `;` as parameters of the segment.
    let segment = segment.to_ascii_lowercase().replace("%2e", ".").replace("%3b", ";");
    matches!(segment.split(';').next(), Some("." | ".."))
}

fn until_any_of<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split(ends).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_reading() {
        let cases = [
            ("https://api.example.com", "https://api.example.com/"),
            ("https://API.Example.COM:443/A?b=c#d", "https://api.example.com/A?b=c"),
            ("https://api.example.com./x", "https://api.example.com/x"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://0x7f.1/", "https://127.0.0.1/"),
            ("https://2130706433/", "https://127.0.0.1/"),
            ("https://0177.0.0.1/", "https://127.0.0.1/"),
            ("https://127.1/", "https://127.0.0.1/"),
            ("https://127.0.0.1./", "https://127.0.0.1/"),
            ("https://%31%32%37.0.0.1/", "https://127.0.0.1/"),
            ("https://①②⑦.0.0.1/", "https://127.0.0.1/"),
            ("https://[0:0:0:0:0:0:0:1]/", "https://[::1]/"),
            ("https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
            ("https://a.example/x%2fy?next=../..\\", "https://a.example/x%2fy?next=../..\\"),
            ("https://a.example/%252e%252e/..a/...", "https://a.example/%252e%252e/..a/..."),
        ];
        for (text, url) in cases {
            assert_eq!(Target::parse(text).map(|target| target.url.to_string()), Ok(url.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let cases = [
            ("api.example.com/", "https://"),
            ("ftp://api.example.com/", "https://"),
            ("https:///", "URL"),
            ("https://", "URL"),
            ("https://user@api.example.com/", "user information"),
            ("https://user:pass@api.example.com/", "user information"),
            ("https://api.example.com@127.0.0.1/", "user information"),
            ("https://@api.example.com/", "user information"),
            ("https://api.example.com\\@127.0.0.1/", "user information"),
            ("https://api.example.com\\.evil.example/", "backslash"),
            ("https://api.example.com/a\\b", "backslash"),
            ("https://api.example.com/repos/../admin", "dot segments"),
            ("https://api.example.com/repos/./x", "dot segments"),
            ("https://api.example.com/repos/%2e%2e/admin", "dot segments"),
            ("https://api.example.com/repos/.%2E/admin", "dot segments"),
            ("https://api.example.com/repos/..", "dot segments"),
            ("https://api.example.com/repos/..;/admin", "dot segments"),
            ("https://api.example.com/repos/%2e%2e%3bx/admin", "dot segments"),
            ("https://api.example.com/.\t./admin", "control characters"),
            ("https://api.example.com/a b", "spaces"),
            ("https://api.example.com:0/", "port 0"),
            ("https://api.example.com../", "names no host"),
            ("https://a..example/", "names no host"),
            ("https://a{b.example/", "names no host"),
            ("https://a*b.example/", "names no host"),
            ("https://256.1.1.1/", "URL"),
            ("https://1.2.3.4.5/", "URL"),
            ("https://[::1%25eth0]/", "URL"),
        ];
        for (text, reason) in cases {
            let refusal = Target::parse(text).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_redirect_is_read_from_where_it_comes() {
        let from = Target::parse("https://a.example/x/y?z").unwrap();
        let cases = [
            ("../w", Some("https://a.example/w")),
            ("//b.example/", Some("https://b.example/")),
            ("http://b.example:81/#f", Some("http://b.example:81/")),
            ("/%2e%2e/w", None),
            ("\\\\b.example/", None),
            ("https://user@b.example/", None),
            ("file:///etc/passwd", None),
            ("https://a.example/\u{1}", None),
        ];
        for (location, url) in cases {
            let joined = from.join(location).ok().map(|target| target.url.to_string());
            assert_eq!(joined.as_deref(), url, "{location}");
        }
    }
}
