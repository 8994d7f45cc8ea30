//! The imports of a component.

use crate::{
    bindings::{
        plugin::{
            moxxy::plugin::{vault, vault_reveal, vault_sign},
            wasi::{config::store as config, logging::logging},
        },
        tools::{moxxy::plugin::session, wasi::keyvalue::store},
    },
    log::Level,
    session::{AskError, Caller},
};

pub(crate) use vault::{Error, Secret};

pub(crate) fn config(key: &str) -> Result<Option<String>, String> {
    config::get(key).map_err(unreadable)
}

pub(crate) fn configuration() -> Result<Vec<(String, String)>, String> {
    config::get_all().map_err(unreadable)
}

fn unreadable(error: config::Error) -> String {
    match error {
        config::Error::Upstream(message) | config::Error::Io(message) => message,
    }
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    logging::log(level, context, message);
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, String> {
    bucket()?.get(key).map_err(text)
}

pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), String> {
    bucket()?.set(key, value).map_err(text)
}

pub(crate) fn delete(key: &str) -> Result<(), String> {
    bucket()?.delete(key).map_err(text)
}

pub(crate) fn keys() -> Result<Vec<String>, String> {
    let bucket = bucket()?;
    let mut page = bucket.list_keys(None).map_err(text)?;
    let mut keys = page.keys;
    while let Some(cursor) = page.cursor {
        page = bucket.list_keys(Some(cursor)).map_err(text)?;
        keys.append(&mut page.keys);
    }
    Ok(keys)
}

pub(crate) fn caller() -> Option<Caller> {
    let session::Caller { agent, session, run } = session::get_caller()?;
    Some(Caller { agent, session, run })
}

pub(crate) fn progress(message: &str, done: Option<f64>) {
    session::progress(message, done);
}

pub(crate) fn ask(question: &str) -> Result<String, AskError> {
    session::ask(question).map_err(|error| match error {
        session::AskError::Pending => AskError::Pending,
        session::AskError::TooLate => AskError::TooLate,
        session::AskError::Unanswered => AskError::Unanswered,
        session::AskError::Other(message) => AskError::Other(message),
    })
}

pub(crate) fn random(length: u32) -> Vec<u8> {
    session::random(length)
}

pub(crate) fn open(name: &str) -> Result<Secret, Error> {
    vault::open(name)
}

pub(crate) fn placeholder(secret: &Secret) -> String {
    secret.placeholder()
}

pub(crate) fn hmac_sha256(secret: &Secret, data: &[u8]) -> Result<Vec<u8>, Error> {
    vault_sign::hmac_sha256(secret, data)
}

pub(crate) fn reveal(secret: &Secret) -> Result<String, Error> {
    vault_reveal::reveal(secret)
}

fn bucket() -> Result<store::Bucket, String> {
    store::open("default").map_err(text)
}

fn text(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "there is no such store".to_owned(),
        store::Error::AccessDenied => "there is no store for this plugin here".to_owned(),
        store::Error::Other(message) => message,
    }
}
