//! Retries of failed model calls with exponential back-off. A call is retried after a transient failure, if no part
//! of its answer was passed on. Attempts are counted in the stored calls, so a restart changes nothing.

use std::time::Duration;

use moxxy_runtime::Failure;
use moxxy_types::{
    ids::StepId,
    model_calls::{ModelCall, Status},
};

/// Codes of transient failures; `busy` is the server's own.
const TRANSIENT_CODES: [&str; 5] =
    ["provider_rate_limited", "provider_overloaded", "provider_loading", "provider_unreachable", "busy"];
/// First pause; each further one is twice as long.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause. If a service asks for a longer one, the call is not retried.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Returns the number of consecutive transient failures and the code of the last one, or `None` if the last call did
/// not fail transiently.
pub(in crate::services) fn tries(calls: &[ModelCall]) -> Option<(usize, String)> {
    let is_transient = |call: &&ModelCall| call.code().is_some_and(|code| TRANSIENT_CODES.contains(&code));
    // An interrupted call says nothing about the service.
    let made = || calls.iter().rev().filter(|call| call.status != Status::Interrupted);
    let last = made().next().filter(is_transient)?.code()?.to_owned();
    let since_completed = made().take_while(|call| call.status != Status::Completed);
    Some((since_completed.filter(is_transient).count(), last))
}

/// Returns the pause before the retry of a call that failed `failed` times in a row, or `None` if it is not retried.
pub(in crate::services) fn pause(failure: &Failure, step: &StepId, failed: usize, most: usize) -> Option<Duration> {
    if !TRANSIENT_CODES.contains(&failure.code()) || failed > most {
        return None;
    }
    let asked = match failure {
        Failure::ComponentError { retry_after, .. } => retry_after.map(Duration::from_millis),
        _ => None,
    };
    let exponent = u32::try_from(failed.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let pause = asked.unwrap_or(MIN_PAUSE.saturating_mul(1 << exponent).min(MAX_PAUSE));
    // Jitter of up to a quarter of the pause, so that calls that failed together are not retried together.
    let spread =
        step.as_str().bytes().rev().take(8).fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)) % 256;
    (pause <= MAX_PAUSE).then(|| pause + pause.mul_f64(f64::from(spread) / 1024.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: &'static str, retry_after: Option<u64>) -> Failure {
        Failure::ComponentError { code, message: String::new(), retry_after, learned: None }
    }

    #[test]
    fn pauses_grow_unless_the_service_says_how_long() {
        let step = StepId::random();
        let seconds = |failure: &Failure, count| pause(failure, &step, count, 10).map(|pause| pause.as_secs_f64());
        let overloaded = failed("provider_overloaded", None);
        for (count, least) in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 60.0)] {
            let pause = seconds(&overloaded, count).unwrap();
            assert!((least..=least * 1.25).contains(&pause), "{count}: {pause}");
        }
        let told = seconds(&failed("provider_rate_limited", Some(7000)), 1).unwrap();
        assert!((7.0..=8.75).contains(&told), "{told}");
        assert_eq!(seconds(&failed("provider_rate_limited", Some(61_000)), 1), None);
        assert_eq!(seconds(&overloaded, 11), None);
        assert_eq!(seconds(&failed("provider_authentication", None), 1), None);
    }
}
