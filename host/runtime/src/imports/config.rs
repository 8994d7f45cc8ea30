//! `wasi:config/store`: the operator's configuration.

use crate::{
    bindings::imports::wasi::config::store::{Error, Host},
    state::CallState,
};

impl Host for CallState {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(self.context.config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        Ok(Ok(self.context.config.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}
