//! Cases for rules that apply during the whole suite. They run last.

use super::{CaseResult, Fault};
use crate::harness::Harness;

pub(super) async fn hosts(harness: &Harness<'_>) -> CaseResult {
    harness.monitor.host_violation().map_or(Ok(()), |found| Err(found.into()))
}

pub(super) async fn key(harness: &Harness<'_>) -> CaseResult {
    if let Some(found) = harness.monitor.key_violation() {
        return Err(found.into());
    }
    match (harness.monitor.has_opened(), harness.monitor.has_injected()) {
        (false, _) => Err(Fault::Skipped("it opens no secret, as it is configured")),
        (true, false) => Err("it opens a secret, and sends it in no request".to_owned().into()),
        (true, true) => Ok(()),
    }
}
