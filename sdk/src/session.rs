//! The call that is under way: whom it is for, how far it is, and randomness for what it makes.
//! For skills.

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
