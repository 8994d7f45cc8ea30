//! Compaction of a conversation that exceeds the context window. Results of more than a quarter of it are shortened to
//! that where the prompt up to them takes more than three quarters. This depends only on what precedes a result, so that
//! the prompt's beginning stays the same and services can cache it. If that is not enough, messages are dropped in
//! groups, the oldest first, until half of the window is free, so that the prompt then begins at the same message for
//! many calls. A message that calls tools stays together with the results. The task and the newest group are always
//! kept, unless that group is of an earlier run and does not fit. Notes tell the model about both; the stored history is
//! unchanged.
//!
//! Sizes are in bytes, because only the provider knows how its model counts tokens. Usually 3 or 4 bytes of text make
//! a token; hard limits assume 2.

use moxxy_runtime::models;
use moxxy_types::{
    error::Result,
    ids::RunId,
    messages::{Message, Role},
};

use crate::services::messages;

/// Bytes per token in estimates of what fits.
const USUAL: u64 = 3;
/// Bytes per token in the maximum usage of a call.
const WORST: u64 = 2;
/// Size of a part of a message, or of a tool, in addition to its text, in bytes.
const PART: u64 = 24;
/// Assumed size of an image, in bytes; its price depends on its dimensions.
const IMAGE: u64 = 8192;
/// Space reserved for the note about dropped messages, in bytes.
const NOTE: u64 = 256;
/// Stands for dropped messages. It has no number, so that it stays the same.
const LEFT_OUT: &str = "[… earlier messages are left out here: the conversation outgrew the model's context …]";
/// Minimum length of a shortened result, in bytes.
const RESULT: u64 = 256;

/// Messages for a model.
#[derive(Debug)]
pub(super) struct Context {
    pub messages: Vec<models::Message>,
    /// Number of dropped messages.
    pub left_out: usize,
    /// Number of shortened results.
    pub shortened: usize,
    /// Index of the message with which the prompt begins from now on, if messages were dropped.
    pub begins_at: Option<usize>,
}

/// Messages that stay together.
struct Group {
    shown: Vec<models::Message>,
    /// Number of messages in the history.
    count: usize,
    size: u64,
    /// Index of its first message in the history.
    index: usize,
    /// Whether it is the task of the run.
    task: bool,
    kept: bool,
}

/// Returns the number of bytes that usually fit into `tokens` tokens.
pub(super) fn bytes_for_tokens(tokens: u64) -> u64 {
    tokens.saturating_mul(USUAL)
}

/// Returns the maximum number of tokens of `bytes` bytes.
pub(super) fn most_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(WORST)
}

/// Returns the size of a request without its messages, in bytes.
pub(super) fn frame(request: &models::Request) -> u64 {
    let tool = |tool: &models::ToolDefinition| {
        PART + length(&tool.name) + length(&tool.description) + length(&tool.parameters)
    };
    let texts = [&request.system, &request.response_schema].into_iter().flatten();
    texts.map(|text| PART + length(text)).sum::<u64>() + request.tools.iter().map(tool).sum::<u64>()
}

pub(super) fn size(messages: &[models::Message]) -> u64 {
    let opaque: u64 = messages.iter().map(|message| message.opaque.len() as u64).sum();
    opaque + messages.iter().flat_map(|message| &message.parts).map(part).sum::<u64>()
}

/// Returns the part of a history that fits into `room` bytes. `left_out` messages were dropped before.
pub(super) fn fit(history: &[Message], run: &RunId, room: u64, left_out: usize) -> Result<Context> {
    let mut groups = groups(history, run)?;
    let room = room.saturating_sub(NOTE);
    let tasks: u64 = groups.iter().filter(|group| group.task).map(|group| group.size).sum();
    let (room_aside, mut begins_at) = (room.saturating_sub(tasks), None);
    if late(&groups, room).map(|(_, size)| size).sum::<u64>() > room_aside {
        begins_at = drop_oldest(&mut groups, room_aside, (room / 2).saturating_sub(tasks));
    }
    let shortened = shorten_late(&mut groups, room, room_aside);
    let left_out = left_out + groups.iter().filter(|group| !group.kept).map(|group| group.count).sum::<usize>();
    let mut messages: Vec<_> = groups.into_iter().filter(|group| group.kept).flat_map(|group| group.shown).collect();
    if left_out > 0 {
        prepend_note(&mut messages);
    }
    Ok(Context { messages: messages::alternate(messages), left_out, shortened, begins_at })
}

/// Returns for each kept group but the task whether its long results are shortened, and its size then.
fn late(groups: &[Group], room: u64) -> impl Iterator<Item = (bool, u64)> {
    groups.iter().filter(|group| group.is_counted()).scan(0, move |before, group| {
        let is_late = *before + group.size > room / 4 * 3;
        let size = if is_late { group.size_with(room / 4) } else { group.size };
        *before += size;
        Some((is_late, size))
    })
}

/// Drops the oldest groups but the task, so that the others take `left` bytes. The newest one may take `room` bytes.
/// Returns the index of the message with which the prompt begins.
fn drop_oldest(groups: &mut [Group], room: u64, mut left: u64) -> Option<usize> {
    let (mut is_of_run, mut is_newest, mut is_full, mut begins_at) = (true, true, false, None);
    for group in groups.iter_mut().rev() {
        if group.task {
            is_of_run = false;
        } else {
            // What another run left behind must not make this one fail.
            is_full |= if is_newest { !is_of_run && group.size_with(RESULT) > room } else { group.size > left };
            left = left.saturating_sub(group.size);
            is_newest = false;
        }
        group.kept = group.task || !is_full;
        if !is_full {
            begins_at = Some(group.index);
        }
    }
    begins_at
}

/// Shortens the long results of late groups, and those of the newest one so that all fit into `room_aside` bytes beside
/// the task. Returns the number of shortened results.
fn shorten_late(groups: &mut [Group], room: u64, room_aside: u64) -> usize {
    let sizes: Vec<_> = late(groups, room).collect();
    let (mut shortened, mut used) = (0, 0);
    for (group, (is_late, _)) in groups.iter_mut().filter(|group| group.is_counted()).zip(&sizes) {
        shortened += if *is_late { shorten_each(group, room / 4) } else { 0 };
        used += group.size;
    }
    match groups.iter_mut().rfind(|group| group.is_counted()) {
        Some(newest) if used > room_aside => {
            let others = used - newest.size;
            shortened.max(shorten(newest, room_aside.saturating_sub(others)))
        }
        _ => shortened,
    }
}

impl Group {
    /// Whether its size counts beside that of the task.
    fn is_counted(&self) -> bool {
        self.kept && !self.task
    }

    /// Returns its size if each of its results has at most `most` bytes.
    fn size_with(&self, most: u64) -> u64 {
        let parts = self.shown.iter().flat_map(|message| &message.parts);
        let excess = parts.filter_map(|part| match part {
            models::Part::ToolResult(result) => Some(length(&result.content).saturating_sub(most.max(RESULT))),
            _ => None,
        });
        self.size - excess.sum::<u64>()
    }
}

fn groups(history: &[Message], run: &RunId) -> Result<Vec<Group>> {
    let (mut groups, mut rest) = (Vec::new(), history);
    let mut index = 0;
    while let Some((first, behind)) = rest.split_first() {
        let results = behind.iter().take_while(|message| message.role == Role::Tool).count();
        let count = if first.role == Role::Assistant { 1 + results } else { 1 };
        let (group, behind) = rest.split_at(count);
        rest = behind;
        let shown = messages::for_provider(group)?;
        let task = first.role == Role::User && first.run_id == *run && !first.quoted;
        groups.push(Group { size: size(&shown), shown, count, index, task, kept: true });
        index += count;
    }
    Ok(groups)
}

/// Shortens each result of a group to at most `most` bytes. Returns the number of shortened results.
fn shorten_each(group: &mut Group, most: u64) -> usize {
    let results = group.shown.iter_mut().flat_map(|message| &mut message.parts).filter_map(result);
    let shortened = results.filter_map(|result| cut(result, most.max(RESULT)).then_some(())).count();
    group.size = size(&group.shown);
    shortened
}

/// Shortens the results of a group, the longest first, so that it fits. Returns the number of shortened results.
fn shorten(group: &mut Group, room: u64) -> usize {
    if group.size <= room {
        return 0;
    }
    let mut results: Vec<_> =
        group.shown.iter_mut().flat_map(|message| &mut message.parts).filter_map(result).collect();
    results.sort_by_key(|result| result.len());
    let fixed = group.size - results.iter().map(|result| length(result)).sum::<u64>();
    let (mut left, mut waiting, mut shortened) = (room.saturating_sub(fixed), results.len() as u64, 0);
    for result in results {
        // Space that shorter results do not use goes to the longer ones.
        let share = left / waiting;
        shortened += usize::from(cut(result, share.max(RESULT)));
        left = left.saturating_sub(length(result));
        waiting -= 1;
    }
    group.size = size(&group.shown);
    shortened
}

/// Removes the middle of a text of more than `most` bytes. Returns whether it did.
fn cut(text: &mut String, most: u64) -> bool {
    const MARK: u64 = 64;
    if length(text) <= most {
        return false;
    }
    let keep = usize::try_from(most.saturating_sub(MARK)).unwrap_or(usize::MAX);
    let head = text.floor_char_boundary(keep - keep / 4);
    let tail = text.ceil_char_boundary(text.len() - keep / 4);
    let mark = format!("\n[… {} bytes are left out here …]\n", tail - head);
    text.replace_range(head..tail, &mark);
    true
}

/// Prepends a note about dropped messages. If the first message is the user's, the note is added to it, because some
/// services reject two messages of a role in a row.
fn prepend_note(shown: &mut Vec<models::Message>) {
    match shown.first_mut() {
        Some(first) if first.role == models::Role::User => {
            first.parts.insert(0, models::Part::Text(LEFT_OUT.to_owned()))
        }
        _ => shown.insert(0, messages::one(models::Role::User, LEFT_OUT.to_owned())),
    }
}

fn result(part: &mut models::Part) -> Option<&mut String> {
    match part {
        models::Part::ToolResult(result) => Some(&mut result.content),
        _ => None,
    }
}

fn part(part: &models::Part) -> u64 {
    PART + match part {
        models::Part::Text(text) => length(text),
        models::Part::Image(_) => IMAGE,
        models::Part::Thinking(thinking) => thinking.opaque.len() as u64 + thinking.text.as_deref().map_or(0, length),
        models::Part::ToolCall(call) => {
            length(&call.id) + length(&call.name) + length(&call.arguments) + call.opaque.len() as u64
        }
        models::Part::Other(part) => length(&part.kind) + part.data.len() as u64,
        models::Part::ToolResult(result) => length(&result.call_id) + length(&result.content),
    }
}

fn length(text: &str) -> u64 {
    text.len() as u64
}
