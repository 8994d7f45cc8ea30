//! The part of a session's history that a run's prompts are made of. It begins where the session's prompt begins. It is
//! read once; the run adds its messages as they arise, because nobody else writes to the session meanwhile.

use moxxy_store::{self as store, Db};
use moxxy_types::{
    error::Result,
    ids::{MessageId, SessionId},
    messages::{Message, Role, ToolCall},
    runs::Run,
};

use crate::services::{messages, tools};

/// Messages of a session, from the beginning of its prompt on, and the task of the run if that is older.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: Vec<Message>,
    /// Number of messages before the beginning of the prompt.
    left_out: i64,
    /// Whether the first message is the task, from before the beginning.
    has_older_task: bool,
    is_loaded: bool,
}

/// Where a session's prompt begins.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    session: SessionId,
    message: MessageId,
    left_out: i64,
}

impl History {
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Reads the messages of the session.
    pub(super) async fn load(&mut self, db: &mut Db, run: &Run) -> Result<()> {
        let (from, left_out) = store::sessions::context(db, &run.session_id).await?;
        let task = store::messages::task(db, &run.run_id).await?.filter(|(position, _)| *position < from);
        let has_older_task = task.is_some();
        let messages = store::messages::from(db, &run.session_id, from).await?;
        let messages = task.map(|(_, task)| task).into_iter().chain(messages).collect();
        *self = Self { messages, left_out, has_older_task, is_loaded: true };
        Ok(())
    }

    /// Adds messages of the run.
    pub(super) fn extend(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.messages.extend(messages);
    }

    /// Lets the next step read all of it again.
    pub(super) fn forget(&mut self) {
        self.is_loaded = false;
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Returns the number of messages of the session that are not in the history.
    pub(super) fn left_out(&self) -> usize {
        usize::try_from(self.left_out).unwrap_or_default().saturating_sub(usize::from(self.has_older_task))
    }

    /// Returns the message of the run whose tool calls have no results yet, and these calls.
    pub(super) fn unanswered(&self, run: &Run) -> Option<(MessageId, Vec<ToolCall>)> {
        let open = messages::unanswered(&self.messages);
        let last = self.messages.iter().rfind(|message| message.role == Role::Assistant);
        let asked = last.filter(|message| message.run_id == run.run_id && !open.is_empty())?;
        Some((asked.id.clone(), open))
    }

    /// Returns the text of the run's last message, if that calls tools of the client.
    pub(super) fn handed_over(&self, run: &Run) -> Option<String> {
        let (last, _) = tools::handed_over(&self.messages, &run.options.client_tools)?;
        (last.run_id == run.run_id).then(|| last.content.clone())
    }

    /// Returns the beginning of a prompt that starts with the message at `index`, the task of the run aside.
    pub(super) fn beginning(&self, index: usize) -> Option<Beginning> {
        let message = self.messages.get(index)?;
        // The older task stays where it is.
        let dropped = index.checked_sub(usize::from(self.has_older_task))?;
        Some(Beginning {
            session: message.session_id.clone(),
            message: message.id.clone(),
            left_out: self.left_out + i64::try_from(dropped).ok()?,
        })
    }
}

impl Beginning {
    /// Stores the beginning, so that later prompts have it, too.
    pub(super) async fn store(&self, tx: &mut store::Tx) -> Result<()> {
        store::sessions::set_context(tx, &self.session, &self.message, self.left_out).await
    }
}
