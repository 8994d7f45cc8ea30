//! What a tool answers.

use serde::Serialize;

use super::Error;
use crate::bindings::tools::exports::moxxy::plugin::tools;

/// A tool's result: what the model reads, and whether that is JSON.
///
/// ```
/// use moxxy_sdk::skill::Output;
///
/// let output = Output::text("done");
/// assert_eq!((&*output.content, &*output.media_type), ("done", "text/plain"));
/// ```
pub use tools::Output;

impl Output {
    /// Plain text.
    ///
    /// ```
    /// let output = moxxy_sdk::skill::Output::text("done");
    /// ```
    pub fn text(content: impl Into<String>) -> Self {
        Self { content: content.into(), media_type: "text/plain".to_owned() }
    }

    /// One JSON value.
    ///
    /// ```
    /// let output = moxxy_sdk::skill::Output::json(&[1, 2, 3])?;
    /// assert_eq!(output.content, "[1,2,3]");
    /// # Ok::<(), moxxy_sdk::skill::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the value has no JSON form, such as a map whose keys are lists.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let content =
            serde_json::to_string(value).map_err(|e| Error::failed(format!("the result is not JSON: {e}")))?;
        Ok(Self { content, media_type: "application/json".to_owned() })
    }
}

/// A result that is one JSON value.
///
/// ```
/// use moxxy_sdk::{skill::Json, tool};
///
/// /// Splits a text into words.
/// #[tool(read_only)]
/// fn words(text: String) -> Json<Vec<String>> {
///     Json(text.split_whitespace().map(str::to_owned).collect())
/// }
/// # assert_eq!(words("a b".into()).0, ["a", "b"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What a tool may return: a text, [`Json`], an [`Output`], nothing, or a `Result` of these with an
/// error that becomes an [`Error`].
///
/// ```
/// use moxxy_sdk::{keyvalue, tool};
///
/// /// Forgets the draft.
/// #[tool(idempotent)]
/// fn forget() -> Result<(), keyvalue::Error> {
///     keyvalue::delete("draft")
/// }
/// # assert_eq!(moxxy_sdk::testing::Host::new().call::<forget>(serde_json::json!({})).unwrap().content, "done");
/// ```
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    note = "return a text, `Json(…)` around anything that is `Serialize`, or a `Result` of these"
)]
pub trait IntoOutput {
    /// Turns it into a result.
    ///
    /// # Errors
    ///
    /// What the tool says, or that the value has no JSON form.
    fn into_output(self) -> Result<Output, Error>;
}

impl IntoOutput for Output {
    fn into_output(self) -> Result<Output, Error> {
        Ok(self)
    }
}

impl IntoOutput for String {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::text(self))
    }
}

impl IntoOutput for &str {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::text(self))
    }
}

/// The text `done`: a model makes more of that than of nothing.
impl IntoOutput for () {
    fn into_output(self) -> Result<Output, Error> {
        Ok(Output::text("done"))
    }
}

impl<T: Serialize> IntoOutput for Json<T> {
    fn into_output(self) -> Result<Output, Error> {
        Output::json(&self.0)
    }
}

impl<T: IntoOutput, E: Into<Error>> IntoOutput for Result<T, E> {
    fn into_output(self) -> Result<Output, Error> {
        self.map_err(Into::into)?.into_output()
    }
}
