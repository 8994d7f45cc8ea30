//! Constructors of routes. Each takes an operation id, a text and a handler. The first line of the text is the summary,
//! the rest the description.

use aide::{
    OperationInput, OperationOutput,
    axum::routing::{self, ApiMethodRouter},
    operation::OperationHandler,
    transform::TransformOperation,
};
use axum::{handler::Handler, middleware::from_fn};

use crate::{http::api::idempotency, http::state::HttpState};

macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $with:ident $(, $around:path)?) => {
        $(#[$doc])*
        pub(crate) fn $name<H, I, O, T>(id: &'static str, text: &'static str, handler: H) -> ApiMethodRouter<HttpState>
        where
            H: Handler<T, HttpState> + OperationHandler<I, O>,
            I: OperationInput,
            O: OperationOutput,
            T: 'static,
        {
            routing::$with(handler, described::<H>(id, text))$(.layer(from_fn($around)))?
        }
    };
}

method!(get, get_with);
method!(put, put_with);
method!(patch, patch_with);
method!(delete, delete_with);
method!(
    /// A POST that is executed once per `Idempotency-Key`.
    post, post_with, idempotency::execute_once
);
method!(
    /// A POST whose handler stores the `Idempotency-Key` together with the resource that it creates.
    claiming_post, post_with, idempotency::delegate_key
);

fn described<H>(id: &'static str, text: &'static str) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
    // The tag is the module of the handler: `agents` for `moxxy::http::agents::list`.
    let noun = std::any::type_name::<H>().rsplit("::").nth(1).unwrap_or_default();
    let (summary, description) = text.split_once('\n').unwrap_or((text, ""));
    move |operation| {
        let operation = operation.id(id).summary(summary).tag(noun);
        if description.is_empty() { operation } else { operation.description(description) }
    }
}
