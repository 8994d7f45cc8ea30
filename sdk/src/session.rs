//! The call that is under way: whom it is for, how far it is, what the user says, and randomness for
//! what it makes. For skills.

use std::fmt;

use crate::host;

/// Whom a call is for.
///
/// ```
/// use moxxy_sdk::{session, testing::Host};
///
/// let mut host = Host::new().caller("ada", "default", "run_1");
/// assert_eq!(host.run(|| session::caller().unwrap().agent), "ada");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The agent's name.
    pub agent: String,
    /// The conversation, unique within the agent; `None` when a program calls the tool itself.
    pub session: Option<String>,
    /// The run, unique on the server; `None` when a program calls the tool itself.
    pub run: Option<String>,
}

/// Returns whom this call is for; `None` while the skill is asked at install what it is.
///
/// ```
/// let agent = moxxy_sdk::session::caller().map(|caller| caller.agent);
/// ```
pub fn caller() -> Option<Caller> {
    host::caller()
}

/// Tells whoever waits how far the call is: a sentence, of which 1,024 bytes are kept, and the part
/// that is done, from 0 to 1, if that can be said. Each report is an event `skill.progress`; of
/// those that come faster than ten in a second the last one counts. The model does not see them.
///
/// ```
/// let lines = ["a", "b", "c"];
/// for (index, line) in lines.iter().enumerate() {
///     let done = index as f64 / lines.len() as f64;
///     moxxy_sdk::session::progress(&format!("importing {line}"), Some(done));
/// }
/// ```
pub fn progress(message: &str, done: Option<f64>) {
    host::progress(message, done);
}

/// Asks the user a question, of at most 16,384 bytes, and returns the answer.
///
/// A person may think for a day, and no call is held for so long. So the first time this fails with
/// [`AskError::Pending`]: hand that on with `?`. What the call wrote is discarded then, and when the
/// answer is there, the call is made again with the same arguments, asks again, and has it. To the
/// reader it looks like one function:
///
/// ```
/// use moxxy_sdk::{http, session, skill::Error, testing::Host, tool};
/// use serde_json::json;
///
/// /// Deletes a page of the wiki.
/// #[tool]
/// fn delete_page(
///     /// The page's name.
///     name: String,
/// ) -> Result<String, Error> {
///     let answer = session::ask(&format!("Delete the page {name:?}? (yes or no)"))?;
///     if answer != "yes" {
///         return Ok("The user wants to keep it.".to_owned());
///     }
///     http::delete(format!("https://wiki.example.com/pages/{name}")).send()?;
///     Ok("It is deleted.".to_owned())
/// }
///
/// // In a test:
/// let url = "https://wiki.example.com/pages/old";
/// let mut host = Host::new().response("DELETE", url, 204, "");
/// assert_eq!(host.call::<delete_page>(json!({ "name": "old" })), Err(Error::Pending));
/// let mut host = host.answer("Delete the page \"old\"? (yes or no)", "yes");
/// assert_eq!(host.call::<delete_page>(json!({ "name": "old" })).unwrap().content, "It is deleted.");
/// ```
///
/// A call asks the same questions in the same order each time, at most 16, and before it changes
/// anything elsewhere: after a request other than GET or HEAD, which would be repeated, it is
/// [`AskError::TooLate`], and until there is an answer such requests are refused.
///
/// # Errors
///
/// [`AskError`] says each.
pub fn ask(question: &str) -> Result<String, AskError> {
    host::ask(question)
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// There is none yet. As the tool's error it has the call made again when there is one.
    Pending,
    /// The call sent a request other than GET or HEAD before. Ask first, then act.
    TooLate,
    /// Nobody answered in time.
    Unanswered,
    /// Nobody can be asked, because the tool is not called by a run; or the question is wrong.
    Other(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "the user was asked and has not answered yet",
            Self::TooLate => "the user can only be asked before a request that changes something",
            Self::Unanswered => "the user did not answer in time",
            Self::Other(message) => message,
        })
    }
}

impl std::error::Error for AskError {}

/// Returns random bytes that nobody can guess, fit for keys and tokens: at most 65,536 at once.
///
/// ```
/// let key: [u8; 32] = moxxy_sdk::session::random();
/// # assert_ne!(key, [0; 32]);
/// ```
pub fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= 65_536, "at most 65,536 random bytes at once") };
    let bytes = host::random(N as u32);
    let mut array = [0; N];
    array.copy_from_slice(&bytes);
    array
}

/// Returns a random number of 32 bits.
///
/// ```
/// let coin = moxxy_sdk::session::random_u32() % 2 == 0;
/// ```
pub fn random_u32() -> u32 {
    u32::from_le_bytes(random())
}
