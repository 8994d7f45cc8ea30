//! Imports of the previous version, which call those of the current one.

use wasmtime::component::{HasSelf, Linker, Resource};

use super::bindings::imports::{
    Imports,
    moxxy::plugin::{session, vault, vault_reveal, vault_sign},
};
use crate::{
    bindings::{
        imports::moxxy::plugin::session as current_session,
        waiting::moxxy::plugin::{vault as current_vault, vault_reveal as current_reveal, vault_sign as current_sign},
    },
    imports::vault::Secret,
    state::CallState,
};

pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    Imports::add_to_linker::<_, HasSelf<CallState>>(linker, CallState::count_host_call)
}

impl session::Host for CallState {
    async fn get_caller(&mut self) -> wasmtime::Result<Option<session::Caller>> {
        let caller = current_session::Host::get_caller(self)?;
        Ok(caller.map(|current_session::Caller { agent, session, run }| session::Caller { agent, session, run }))
    }

    async fn progress(&mut self, message: String, done: Option<f64>) -> wasmtime::Result<()> {
        current_session::Host::progress(self, message, done)
    }

    async fn ask(&mut self, question: String) -> wasmtime::Result<Result<String, session::AskError>> {
        use current_session::AskError as E;
        Ok(current_session::Host::ask(self, question)?.map_err(|error| match error {
            E::Pending => session::AskError::Pending,
            E::TooLate => session::AskError::TooLate,
            E::Unanswered => session::AskError::Unanswered,
            E::Other(reason) => session::AskError::Other(reason),
        }))
    }

    async fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        current_session::Host::random(self, length)
    }
}

impl vault::Host for CallState {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Secret>, vault::Error>> {
        Ok(current_vault::Host::open(self, name).await?.map_err(vault_error))
    }
}

impl vault::HostSecret for CallState {
    async fn placeholder(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        current_vault::HostSecret::placeholder(self, secret).await
    }

    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        current_vault::HostSecret::drop(self, secret).await
    }
}

impl vault_sign::Host for CallState {
    async fn hmac_sha256(
        &mut self,
        secret: Resource<Secret>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, vault::Error>> {
        Ok(current_sign::Host::hmac_sha256(self, secret, data).await?.map_err(vault_error))
    }
}

impl vault_reveal::Host for CallState {
    async fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<Result<String, vault::Error>> {
        Ok(current_reveal::Host::reveal(self, secret).await?.map_err(vault_error))
    }
}

fn vault_error(error: current_vault::Error) -> vault::Error {
    match error {
        current_vault::Error::Denied(reason) => vault::Error::Denied(reason),
        current_vault::Error::Other(reason) => vault::Error::Other(reason),
    }
}
