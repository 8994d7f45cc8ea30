//! Test cases: what each expects, and how it runs. Ids are stable; new ones are added.

mod errors;
mod leniency;
mod models;
mod requests;
mod rules;
mod stops;
mod streams;

use futures_util::future::BoxFuture;
use moxxy_system::text::is_hidden;
use moxxy_types::checks::{Case, Outcome};

use crate::harness::Harness;

/// Maximum length of a finding, in characters.
const MAX_FINDING_CHARS: usize = 400;

/// Reason why a case did not pass.
pub(crate) enum Fault {
    Failed(String),
    /// The case does not apply.
    Skipped(&'static str),
}

type CaseResult = Result<(), Fault>;

struct TestCase {
    id: &'static str,
    expects: &'static str,
    run: for<'b> fn(&'b Harness<'b>) -> BoxFuture<'b, CaseResult>,
}

macro_rules! suite {
    ($($id:literal $run:path: $expects:literal;)*) => {
        &[$(TestCase { id: $id, expects: $expects, run: |harness| Box::pin($run(harness)) },)*]
    };
}

const SUITE: &[TestCase] = suite! {
    "request.shape" requests::shape: "A conversation with all that there is becomes the wire's request";
    "request.history" requests::history: "Another provider's thought and malformed arguments in the history do no harm";
    "request.twice" requests::identical_requests: "The same request twice has the same bytes, but for the idempotency key's header";
    "request.once" requests::one_request: "A completion is one request, whatever the service answers";
    "request.idempotency" requests::idempotency: "The idempotency key is sent";
    "text.plain" streams::plain: "A text comes whole, in order, and its stop last";
    "text.escaped" streams::escaped: "A text whose letters are escaped is the same";
    "text.prompt" streams::text_without_delay: "Text is passed on while more is yet to come";
    "split.every-byte" streams::split_at_every_byte: "Wherever the stream is cut in two, it says the same";
    "split.utf8" streams::split_characters: "Letters of several bytes survive a cut within them";
    "split.drip" streams::byte_by_byte: "A stream that drips byte by byte says the same";
    "split.framing" streams::framing: "Other line ends, comments and blank lines say the same";
    "unknown.fields" streams::unknown_fields: "Fields that nobody knows are passed over";
    "unknown.events" streams::unknown_events: "Events that nobody knows are passed over";
    "thought" streams::thought: "A thought comes finished, beside the text";
    "calls.one" streams::one_call: "A tool call comes with its name and all of its arguments";
    "calls.parallel" streams::parallel_calls: "Parallel calls whose pieces take turns stay apart";
    "calls.bare" streams::call_without_arguments: "A call without arguments is a call";
    "usage.plain" stops::usage: "Tokens are counted as the service counts them";
    "usage.parts" stops::usage_parts: "Cached tokens are among the input, reasoning among the output, each counted once";
    "stop.end-turn" stops::end_turn: "The end of an answer is `end-turn`";
    "stop.tool-use" stops::tool_use: "An answer that calls tools stops with `tool-use`";
    "stop.max-tokens" stops::max_tokens: "An answer that was too long stops with `max-tokens`";
    "stop.refusal" stops::refusal: "An answer that the model declined stops with `refusal`";
    "stop.other" stops::other: "Any other reason comes in the service's words";
    "cut.every-byte" errors::truncated_at_every_byte: "A stream that ends before the reason of its stop, anywhere, is `transport`, and no answer";
    "cut.connection" errors::connection_broken: "A connection that breaks is `transport`, after what came before";
    "error.kinds" errors::error_kinds: "Each status is the error of its kind, with the service's sentence";
    "error.retry-after" errors::retry_after: "How long the service wants us to wait is passed on, in milliseconds";
    "error.bodies" errors::error_bodies: "Bodies that are empty, a page, a text, broken or huge do not change the kind";
    "error.context-too-long" errors::context_too_long: "A conversation that is too long is `context-too-long`";
    "error.refused" errors::content_refused: "Content that the service refuses is `refused`";
    "error.named" errors::named_errors: "Other errors that the body names are of their kinds";
    "error.in-stream" errors::error_in_stream: "An error in the midst of a stream is of its kind, after what came before";
    "error.unreachable" errors::unreachable: "A service that is not reached is `transport`";
    "error.garbage" errors::malformed_stream: "A stream that makes no sense is `transport`";
    "lenient.after-stop" leniency::ends_after_stop: "A stream that ends right after the reason of its stop, without a line end, is whole";
    "lenient.no-terminator" leniency::ends_without_terminator: "A stream without its end marker and its last line end is whole";
    "lenient.no-stop" leniency::no_stop_reason: "A stream that ends without a reason is whole: `end-turn`, or `tool-use` after calls";
    "lenient.no-stream" leniency::no_stream: "One JSON value in place of the stream is the answer";
    "lenient.keep-alive" leniency::keep_alive: "Comments, blank lines and empty pieces say nothing";
    "lenient.types" leniency::types: "Fields on which the answer does not depend may have any type, or be absent";
    "lenient.usage" leniency::usage: "An answer whose usage is absent, or of another type, is an answer";
    "lenient.surrogates" leniency::surrogates: "A character whose halves come in two pieces is one; half of one is replaced";
    "lenient.two-calls" leniency::two_calls_in_one_event: "Two calls in one event are two";
    "lenient.no-arguments" leniency::no_arguments: "Arguments that are null, empty or absent are none";
    "lenient.arguments" leniency::arguments_in_other_form: "Arguments are text or an object, whichever comes";
    "lenient.byte-order-mark" leniency::byte_order_mark: "A byte order mark before the stream is passed over";
    "lenient.media-type" leniency::media_type: "A stream with another media type, or with none, says the same";
    "cancel.midst" stops::dropped_mid_stream: "Dropped in the midst of a stream, the connection is closed";
    "cancel.early" stops::dropped_before_response: "Dropped before the service answers, the connection is closed";
    "models.listed" models::listed: "The service's models are listed, with what it tells of them";
    "models.errors" models::errors: "Where the service does not tell its models, the error is of its kind";
    "rule.hosts" rules::hosts: "Only hosts and methods of the manifest are asked, all through the suite";
    "rule.key" rules::key: "Keys stand where the manifest says, as placeholders, and are told to nobody";
};

/// Runs the cases one after the other.
pub(crate) async fn run(harness: &Harness<'_>) -> Vec<Case> {
    let mut cases = Vec::with_capacity(SUITE.len());
    for case in SUITE {
        let result = match harness.has_hung() {
            true => Err(Fault::Failed("not tried any more: it hung before, or the time is up".to_owned())),
            false => (case.run)(harness).await,
        };
        let (outcome, found) = match result {
            Ok(()) => (Outcome::Passed, None),
            Err(Fault::Failed(found)) => (Outcome::Failed, Some(harness.monitor.readable(&found))),
            Err(Fault::Skipped(why)) => (Outcome::Skipped, Some(why.to_owned())),
        };
        let found = found.map(|found| sanitize(&found));
        cases.push(Case { id: case.id.to_owned(), expects: case.expects.to_owned(), outcome, found });
    }
    cases
}

/// Replaces hidden characters and truncates a finding, because it contains untrusted text.
fn sanitize(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).take(MAX_FINDING_CHARS).collect()
}

impl Fault {
    /// Says for what it was found.
    fn with(self, what: &str) -> Self {
        match self {
            Self::Failed(found) => Self::Failed(format!("{what}: {found}")),
            skipped => skipped,
        }
    }
}

impl From<String> for Fault {
    fn from(found: String) -> Self {
        Self::Failed(found)
    }
}
