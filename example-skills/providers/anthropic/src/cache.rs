//! Marks of what the service may cache. It takes four, and looks back from each for what it has cached
//! before: so the conversation has two, of which the first is where it ended the time before.

use crate::{
    options::{Cached, Options, Ttl},
    wire::{Block, Mark, Piece, Said, Tool},
};

impl Options {
    /// The mark for this, if it is to be cached.
    pub(crate) fn mark(&self, what: Cached) -> Option<Mark> {
        let ttl = (self.cache_ttl == Ttl::Hour).then_some("1h");
        self.cache.contains(&what).then_some(Mark { kind: "ephemeral", ttl })
    }

    pub(crate) fn mark_tools(&self, tools: &mut [Tool<'_>]) {
        if let Some(tool) = tools.last_mut() {
            tool.cache_control = self.mark(Cached::Tools);
        }
    }

    pub(crate) fn mark_messages(&self, messages: &mut [Said<'_>]) {
        let Some(mark) = self.mark(Cached::Messages) else { return };
        for message in messages.iter_mut().rev().filter(|message| message.role == "user").take(2) {
            if let Some(Piece::Block(block)) = message.content.last_mut() {
                block.mark(mark);
            }
        }
    }
}

impl Block<'_> {
    fn mark(&mut self, mark: Mark) {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => *cache_control = Some(mark),
            Self::ToolUse { .. } => {}
        }
    }
}
