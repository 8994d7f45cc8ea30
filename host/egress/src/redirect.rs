//! Redirects by RFC 9110: which responses are followed, and with which method and headers.

use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE,
        LOCATION,
    },
};

/// The next request of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub location: String,
    pub method: Method,
}

/// Returns the redirect that a response requests. A streamed body cannot be sent twice: if the redirect
/// requires it, the result is `None` and the component receives the redirect response.
pub(crate) fn redirect_of<B>(response: &Response<B>, method: &Method, has_body: bool) -> Option<Redirect> {
    let location = response.headers().get(LOCATION)?.as_bytes();
    let location = std::str::from_utf8(location).ok()?.to_owned();
    let method = match response.status() {
        StatusCode::SEE_OTHER if method != Method::HEAD => Method::GET,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if method == Method::POST => Method::GET,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT
            if !has_body =>
        {
            method.clone()
        }
        _ => return None,
    };
    Some(Redirect { location, method })
}

/// Removes the headers that describe the body, which is not sent again.
pub(crate) fn strip_content(headers: &mut HeaderMap) {
    for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE] {
        headers.remove(name);
    }
}

/// Removes the headers meant only for the origin that the component named.
pub(crate) fn strip_credentials(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, COOKIE] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_change_as_the_standard_says() {
        let cases = [
            (301, "GET", false, Some("GET")),
            (301, "POST", true, Some("GET")),
            (302, "POST", true, Some("GET")),
            (302, "PUT", false, Some("PUT")),
            (302, "PUT", true, None),
            (303, "PUT", true, Some("GET")),
            (303, "HEAD", false, Some("HEAD")),
            (307, "POST", true, None),
            (307, "POST", false, Some("POST")),
            (308, "DELETE", false, Some("DELETE")),
            (300, "GET", false, None),
            (304, "GET", false, None),
            (200, "GET", false, None),
        ];
        for (status, method, has_body, expected) in cases {
            let response = Response::builder().status(status).header(LOCATION, "/x").body(()).unwrap();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let next = redirect_of(&response, &method, has_body).map(|next| next.method.to_string());
            assert_eq!(next.as_deref(), expected, "{status} {method}");
        }
        assert_eq!(redirect_of(&Response::builder().status(302).body(()).unwrap(), &Method::GET, false), None);
    }
}
