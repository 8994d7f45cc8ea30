//! `vault`, `vault-sign`, `vault-reveal`: access to the secrets of the call's context.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::{
    bindings::waiting::moxxy::plugin::{vault, vault_reveal, vault_sign},
    context::{Denial, Secrets},
    state::CallState,
};

/// An opened secret.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "generated bindings re-export it")]
pub struct Secret {
    name: String,
    placeholder: String,
}

type HostResult<T> = wasmtime::Result<Result<T, vault::Error>>;

impl vault::Host for CallState {
    async fn open(&mut self, name: String) -> HostResult<Resource<Secret>> {
        let secrets = match self.secrets() {
            Ok(secrets) => secrets,
            Err(error) => return Ok(Err(error)),
        };
        match secrets.open(name.clone()).await {
            Ok(placeholder) => Ok(Ok(self.table.push(Secret { name, placeholder })?)),
            Err(denial) => Ok(Err(denial.into())),
        }
    }
}

impl vault::HostSecret for CallState {
    async fn placeholder(&mut self, secret: Resource<Secret>) -> wasmtime::Result<String> {
        Ok(self.table.get(&secret)?.placeholder.clone())
    }

    async fn drop(&mut self, secret: Resource<Secret>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

impl vault_sign::Host for CallState {
    async fn hmac_sha256(&mut self, secret: Resource<Secret>, data: Vec<u8>) -> HostResult<Vec<u8>> {
        let name = self.table.get(&secret)?.name.clone();
        let secrets = match self.secrets() {
            Ok(secrets) => secrets,
            Err(error) => return Ok(Err(error)),
        };
        Ok(secrets.sign(name, data).await.map(Vec::from).map_err(Into::into))
    }
}

impl vault_reveal::Host for CallState {
    async fn reveal(&mut self, secret: Resource<Secret>) -> HostResult<String> {
        let name = self.table.get(&secret)?.name.clone();
        let secrets = match self.secrets() {
            Ok(secrets) => secrets,
            Err(error) => return Ok(Err(error)),
        };
        let revealed = secrets.reveal(name).await.map_err(Into::into);
        Ok(revealed.map(|value| String::from_utf8_lossy(value.expose()).into_owned()))
    }
}

impl CallState {
    fn secrets(&self) -> Result<Arc<dyn Secrets>, vault::Error> {
        let none = || vault::Error::Denied(format!("`{}` can use no secrets here", self.context.component));
        self.context.secrets.clone().ok_or_else(none)
    }
}

impl From<Denial> for vault::Error {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Denied(reason) => Self::Denied(reason),
            Denial::Other(reason) => Self::Other(reason),
        }
    }
}
