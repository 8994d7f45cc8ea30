//! `session`: the caller, progress reports, questions to the user, and randomness.

use crate::{
    Progress,
    bindings::imports::moxxy::plugin::session::{AskError, Caller, Host},
    state::CallState,
};

/// Maximum length of a progress message, in bytes. Longer ones are truncated.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Maximum length of a question, in bytes.
const MAX_QUESTION_BYTES: usize = 16 * 1024;
/// Maximum number of questions per call.
const MAX_QUESTIONS: usize = 16;
/// Maximum number of random bytes per request.
const MAX_RANDOM_BYTES: usize = 65_536;

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
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            let done = done.filter(|done| done.is_finite()).map(|done| done.clamp(0.0, 1.0));
            reports.send_replace(Some(Progress { message, done }));
        }
        Ok(())
    }

    fn ask(&mut self, question: String) -> wasmtime::Result<Result<String, AskError>> {
        let Some(answers) = &self.context.answers else {
            return Ok(Err(AskError::Other("nobody can be asked: the tool is not called by a run".into())));
        };
        let ordinal = self.question_count;
        self.question_count += 1;
        if let Some(asked) = answers.get(ordinal) {
            // Stored questions have their secrets redacted.
            let mut redacted = question.clone();
            if let Some(redactor) = self.context.secrets.as_ref().and_then(|secrets| secrets.redactor()) {
                redactor.replace(&mut redacted);
            }
            if asked.question != question && asked.question != redacted {
                return Ok(Err(AskError::Other("the call asked something else when it was made first".into())));
            }
            return Ok(asked.answer.clone().ok_or(AskError::Unanswered));
        }
        let other = |what: String| Ok(Err(AskError::Other(what)));
        if self.hooks.sent_change {
            return Ok(Err(AskError::TooLate));
        }
        if ordinal >= MAX_QUESTIONS {
            return other(format!("a call asks at most {MAX_QUESTIONS} questions"));
        }
        if !(1..=MAX_QUESTION_BYTES).contains(&question.trim().len()) {
            return other(format!("a question has 1 to {MAX_QUESTION_BYTES} bytes"));
        }
        // One question at a time: the next may depend on the answer.
        self.pending_question.get_or_insert(question);
        self.hooks.awaits_answer = true;
        Ok(Err(AskError::Pending))
    }

    fn random(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let length = length as usize;
        if length > MAX_RANDOM_BYTES {
            // The wording of `wasi:random`, so that it is reported as the same limit.
            wasmtime::bail!("requested len {length} exceeds limit {MAX_RANDOM_BYTES}");
        }
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).map_err(|error| wasmtime::format_err!("there is no randomness: {error}"))?;
        Ok(bytes)
    }
}
