//! The part of a session's history that a run's prompts are made of. It begins where the session's prompt begins, and
//! only messages that are new since the last step are read.

use moxxy_store::{self as store, Db};
use moxxy_types::{
    error::Result,
    ids::{MessageId, SessionId},
    messages::{Message, Role, ToolCall},
    runs::Run,
};

use crate::services::messages;

/// Messages of a session, from the beginning of its prompt on, and the task of the run if that is older.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: Vec<Message>,
    /// Position of each message.
    positions: Vec<i64>,
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
    position: i64,
    left_out: i64,
}

impl History {
    /// Reads what is new.
    pub(super) async fn refresh(&mut self, db: &mut Db, run: &Run) -> Result<()> {
        let next = match self.positions.last() {
            Some(last) if self.is_loaded => last + 1,
            _ => self.load(db, run).await?,
        };
        for (position, message) in store::messages::from(db, &run.session_id, next).await? {
            self.positions.push(position);
            self.messages.push(message);
        }
        self.is_loaded = true;
        Ok(())
    }

    /// Begins anew, and returns the position from which on messages are to be read.
    async fn load(&mut self, db: &mut Db, run: &Run) -> Result<i64> {
        let (from, left_out) = store::sessions::context(db, &run.session_id).await?;
        *self = Self { left_out, ..Self::default() };
        if let Some((position, task)) = store::messages::task(db, &run.run_id).await?.filter(|(at, _)| *at < from) {
            self.positions.push(position);
            self.messages.push(task);
            self.has_older_task = true;
        }
        Ok(from)
    }

    /// Reads all of it again at the next refresh.
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

    /// Returns the beginning of a prompt that starts with the message at `index`, the task of the run aside.
    pub(super) fn beginning(&self, index: usize) -> Option<Beginning> {
        let position = *self.positions.get(index)?;
        // The older task stays where it is.
        let dropped = index.checked_sub(usize::from(self.has_older_task))?;
        let session = self.messages.first()?.session_id.clone();
        Some(Beginning { session, position, left_out: self.left_out + i64::try_from(dropped).ok()? })
    }
}

impl Beginning {
    /// Stores the beginning, so that later prompts have it, too.
    pub(super) async fn store(&self, tx: &mut store::Tx) -> Result<()> {
        store::sessions::set_context(tx, &self.session, self.position, self.left_out).await
    }
}
