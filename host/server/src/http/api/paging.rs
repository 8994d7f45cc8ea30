//! Pages of lists: `limit`, an opaque `cursor`, and a `Link` to the next page (RFC 8288).

use std::collections::BTreeMap;

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use moxxy_types::{
    error::Error,
    paging::{Page, PageRequest},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    http::api::{
        answer::{ApiError, Result},
        extract,
        reply::Paginated,
    },
    http::state::HttpState,
};

/// Default number of items per page.
const DEFAULT_LIMIT: u32 = 100;
/// Maximum number of items per page.
const MAX_LIMIT: u32 = 1000;
/// Maximum size of a decoded cursor, in bytes. No item's key is longer.
const MAX_CURSOR_BYTES: usize = 512;

/// Requested page of a list. Other query parameters are allowed only with `OTHERS`; the handler checks them.
#[derive(Debug)]
pub(crate) struct Paging<const OTHERS: bool = false> {
    pub page: PageRequest,
    uri: Uri,
}

/// The parameters of a list. Others are the handler's.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Parameters {
    /// How many items a page has at most.
    #[schemars(range(min = 1, max = 1000), extend("default" = 100))]
    limit: Option<u32>,
    /// Where the page begins, as the `Link` of the page before says.
    cursor: Option<String>,
    #[serde(flatten)]
    #[schemars(skip)]
    others: BTreeMap<String, String>,
}

impl<const OTHERS: bool> Paging<OTHERS> {
    pub(crate) fn show<T>(&self, slice: Page<T>) -> Paginated<T> {
        Paginated { items: slice.items, next: slice.next.map(|after| self.next(&after)) }
    }

    /// Returns the URL of the next page: this page's URL with another cursor.
    fn next(&self, after: &str) -> String {
        let given = form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        let kept = given.filter(|(name, _)| name != "cursor");
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(kept).append_pair("cursor", &BASE64URL.encode(after)).finish();
        format!("{}?{query}", self.uri.path())
    }
}

impl<const OTHERS: bool> FromRequestParts<HttpState> for Paging<OTHERS> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self> {
        let Parameters { limit, cursor, others } = extract::query(&parts.uri)?;
        if let Some(unknown) = others.keys().next().filter(|_| !OTHERS) {
            return Err(
                extract::wrong_query(unknown, "this list has no such parameter, only `limit` and `cursor`").into()
            );
        }
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::invalid_parameter("limit", format!("it is 1 to {MAX_LIMIT}")).into());
        }
        let after = cursor.map(|cursor| decoded(&cursor)).transpose()?;
        Ok(Self { page: PageRequest { limit, after }, uri: parts.uri.clone() })
    }
}

fn decoded(cursor: &str) -> Result<String, Error> {
    let bytes = BASE64URL.decode(cursor).ok().filter(|bytes| bytes.len() <= MAX_CURSOR_BYTES);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Error::invalid_parameter("cursor", "it is not one that a `Link` of this list had"))
}
