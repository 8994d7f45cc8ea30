//! `vault`, `vault-sign`, `vault-reveal`: there are no grants yet, so every secret is denied.

use wasmtime::component::Resource;

use crate::plugins::{
    bindings::imports::moxxy::plugin::{vault, vault_reveal, vault_sign},
    state::CallState,
};

/// An opened secret. None can be made while nothing grants one.
#[derive(Debug)]
pub enum Secret {}

impl vault::Host for CallState {
    fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Secret>, vault::Error>> {
        let component = &self.context.component;
        let message = format!(
            "no grant lets `{component}` use the secret {name:?}, and in this version none can be made: use what \
             needs no secret"
        );
        Ok(Err(vault::Error::Denied(message)))
    }
}

impl vault::HostSecret for CallState {
    fn placeholder(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        match *self.table.get(&secret)? {}
    }

    fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        match self.table.delete(secret)? {}
    }
}

impl vault_sign::Host for CallState {
    fn hmac_sha256(
        &mut self,
        secret: Resource<Secret>,
        _data: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, vault::Error>> {
        match *self.table.get(&secret)? {}
    }
}

impl vault_reveal::Host for CallState {
    fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<Result<String, vault::Error>> {
        match *self.table.get(&secret)? {}
    }
}
