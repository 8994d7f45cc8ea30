//! `session`: whom a call is for, how far it is, and randomness.

use crate::plugins::{
    Progress,
    bindings::imports::moxxy::plugin::session::{Caller, Host},
    state::CallState,
};

/// The most that is kept of a report, in bytes.
const MESSAGE: usize = 1024;
/// The most random bytes at once.
const RANDOM: usize = 65_536;

impl Host for CallState {
    fn get_caller(&mut self) -> wasmtime::Result<Option<Caller>> {
        Ok(self.context.caller.as_ref().map(|caller| {
            let (session, run) =
                caller.run.as_ref().map(|(session, run)| (session.to_string(), run.to_string())).unzip();
            Caller { agent: caller.agent.to_string(), session, run }
        }))
    }

    fn progress(&mut self, mut message: String, done: Option<f64>) -> wasmtime::Result<()> {
        if let Some(reports) = &self.context.progress {
            if let Some(redactor) = self.context.secrets.as_ref().and_then(|secrets| secrets.redactor()) {
                redactor.replace(&mut message);
            }
            message.truncate(message.floor_char_boundary(MESSAGE));
            let done = done.filter(|done| done.is_finite()).map(|done| done.clamp(0.0, 1.0));
            reports.send_replace(Some(Progress { message, done }));
        }
        Ok(())
    }

    fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let length = length as usize;
        if length > RANDOM {
            // In the words of `wasi:random`, so that it is the same limit.
            wasmtime::bail!("requested len {length} exceeds limit {RANDOM}");
        }
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).map_err(|error| wasmtime::format_err!("there is no randomness: {error}"))?;
        Ok(bytes)
    }
}
