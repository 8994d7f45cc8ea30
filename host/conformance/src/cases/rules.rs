//! Cases for rules that apply during the whole suite. They run last.

use super::{Fault, Tried};
use crate::harness::Harness;

pub async fn hosts(bench: &Harness<'_>) -> Tried {
    bench.monitor.host_violation().map_or(Ok(()), |found| Err(found.into()))
}

pub async fn key(bench: &Harness<'_>) -> Tried {
    if let Some(found) = bench.monitor.key_violation() {
        return Err(found.into());
    }
    match (bench.monitor.has_opened(), bench.monitor.has_carried()) {
        (false, _) => Err(Fault::Skipped("it opens no secret, as it is configured")),
        (true, false) => Err("it opens a secret, and sends it in no request".to_owned().into()),
        (true, true) => Ok(()),
    }
}
