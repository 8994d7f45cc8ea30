//! The host of an ordinary test: what a thread's calls work on. Keys and values have the real host's
//! limits.

use std::{cell::RefCell, collections::BTreeMap};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Digest as _;

use crate::{
    bindings::plugin::moxxy::plugin::vault,
    host::mock_http::Given,
    http::Request,
    log::Level,
    session::{AskError, Caller},
};

pub(crate) use vault::Error;

const KEY: usize = 256;
const VALUE: usize = 1024 * 1024;
const RANDOM: u32 = 65_536;

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub config: BTreeMap<String, String>,
    pub values: BTreeMap<String, Vec<u8>>,
    pub secrets: BTreeMap<String, String>,
    pub caller: Option<Caller>,
    pub lines: Vec<(Level, String, String)>,
    pub progress: Vec<(String, Option<f64>)>,
    pub answers: BTreeMap<String, String>,
    pub responses: Vec<Given>,
    pub requests: Vec<Request>,
    /// How many of them were sent before the call that is made.
    pub before: usize,
}

impl Default for State {
    /// A program calls the tool itself.
    fn default() -> Self {
        let caller = Some(Caller { agent: "test".to_owned(), session: None, run: None });
        let (config, values, secrets, answers) = Default::default();
        let (lines, progress, responses, requests) = Default::default();
        Self { config, values, secrets, caller, lines, progress, answers, responses, requests, before: 0 }
    }
}

/// An opened secret.
#[derive(Debug)]
pub(crate) struct Secret {
    name: String,
}

/// Works on this thread's host.
pub(crate) fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(work)
}

pub(crate) fn config(key: &str) -> Result<Option<String>, String> {
    Ok(with(|state| state.config.get(key).cloned()))
}

pub(crate) fn configuration() -> Result<Vec<(String, String)>, String> {
    Ok(with(|state| state.config.clone().into_iter().collect()))
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    with(|state| state.lines.push((level, context.to_owned(), message.to_owned())));
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, String> {
    Ok(with(|state| state.values.get(key).cloned()))
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), String> {
    check_key(key)?;
    if value.len() > VALUE {
        return Err(format!("a value has at most {VALUE} bytes, not {}", value.len()));
    }
    with(|state| state.values.insert(key.to_owned(), value.to_vec()));
    Ok(())
}

pub(crate) fn delete(key: &str) -> Result<(), String> {
    check_key(key)?;
    with(|state| state.values.remove(key));
    Ok(())
}

pub(crate) fn keys() -> Result<Vec<String>, String> {
    Ok(with(|state| state.values.keys().cloned().collect()))
}

pub(crate) fn caller() -> Option<Caller> {
    with(|state| state.caller.clone())
}

pub(crate) fn progress(message: &str, done: Option<f64>) {
    with(|state| state.progress.push((message.to_owned(), done)));
}

pub(crate) fn ask(question: &str) -> Result<String, AskError> {
    let changes = |request: &Request| !matches!(&*request.method, "GET" | "HEAD");
    with(|state| match state.answers.get(question) {
        Some(answer) => Ok(answer.clone()),
        None if state.requests.iter().skip(state.before).any(changes) => Err(AskError::TooLate),
        None => Err(AskError::Pending),
    })
}

pub(crate) fn random(length: u32) -> Vec<u8> {
    assert!(length <= RANDOM, "at most {RANDOM} random bytes at once, not {length}");
    let mut bytes = vec![0; length as usize];
    #[expect(clippy::expect_used, reason = "the host's random bytes cannot fail either")]
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

pub(crate) fn open(name: &str) -> Result<Secret, Error> {
    match with(|state| state.secrets.contains_key(name)) {
        true => Ok(Secret { name: name.to_owned() }),
        false => Err(Error::Denied(format!("no grant lets this plugin use the secret {name:?}"))),
    }
}

pub(crate) fn placeholder(secret: &Secret) -> String {
    placeholder_of(&secret.name)
}

/// Of fixed length, as the real ones are, which are random.
pub(crate) fn placeholder_of(name: &str) -> String {
    let digest: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02X}")).collect();
    format!("PLACEHOLDER{:.21}", digest)
}

pub(crate) fn hmac_sha256(secret: &Secret, data: &[u8]) -> Result<Vec<u8>, Error> {
    let key = reveal(secret)?;
    let mut hmac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).map_err(|e| Error::Other(e.to_string()))?;
    hmac.update(data);
    Ok(hmac.finalize().into_bytes().to_vec())
}

pub(crate) fn reveal(secret: &Secret) -> Result<String, Error> {
    let value = with(|state| state.secrets.get(&secret.name).cloned());
    value.ok_or_else(|| Error::Denied(format!("the secret {:?} is gone", secret.name)))
}

fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        1..=KEY => Ok(()),
        length => Err(format!("a key has 1 to {KEY} bytes, not {length}")),
    }
}
