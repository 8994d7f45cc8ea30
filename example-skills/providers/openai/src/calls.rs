//! Tool calls as they stream in, from services that number them, name them, or do neither.

use moxxy_sdk::provider::{Chunk, Error, ToolCallDelta};
use serde_json::{Map, Value};

use crate::{opaque, wire};

/// The most calls of one answer.
const CALLS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    /// The service's number for it.
    number: Option<u64>,
    id: Option<String>,
    /// What came before the name: a call begins with that.
    held: String,
    kept: Map<String, Value>,
    is_named: bool,
}

impl Calls {
    /// Adds a piece of a call.
    pub(crate) fn add(&mut self, piece: &Map<String, Value>, service: &str) -> Result<Option<Chunk>, Error> {
        let function = piece.get("function").and_then(Value::as_object);
        let field = |name: &str| function.and_then(|function| function.get(name)).or_else(|| piece.get(name));
        let number = piece.get("index").and_then(Value::as_u64);
        let id = wire::id(piece.get("id")).filter(|id| !id.is_empty());
        let name = wire::text(field("name")).filter(|name| !name.is_empty());
        let place = self.place(number, id.as_deref(), name.is_some());
        if place >= CALLS {
            return Err(Error::Transport(format!("the service makes more than {CALLS} tool calls at once")));
        }
        if place == self.0.len() {
            self.0.push(Call { number, ..Call::default() });
        }
        let Some(call) = self.0.get_mut(place) else { return Ok(None) };
        let arguments = wire::arguments(field("arguments"));
        call.id = call.id.take().or(id);
        let before = call.kept.clone();
        opaque::collect(piece, &mut call.kept);
        if let Some(function) = function {
            opaque::collect(function, &mut call.kept);
        }
        let has_more = call.kept != before || (!call.is_named && name.is_some());
        let opaque = opaque::to_opaque(service, &call.kept).filter(|_| has_more);
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        let delta = match (call.is_named, name) {
            (true, _) if arguments.is_empty() && opaque.is_none() => return Ok(None),
            (true, _) => ToolCallDelta { opaque, ..ToolCallDelta::new(index, arguments) },
            (false, None) => {
                call.held.push_str(&arguments);
                return Ok(None);
            }
            (false, name) => {
                call.is_named = true;
                let arguments = std::mem::take(&mut call.held) + &arguments;
                ToolCallDelta { index, id: call.id.clone(), name, arguments, opaque }
            }
        };
        Ok(Some(Chunk::ToolCall(delta)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one never said which tool it calls.
    pub(crate) fn has_nameless(&self) -> bool {
        self.0.iter().any(|call| !call.is_named)
    }

    /// Which call a piece belongs to; a new one comes last. A service may repeat an id in every piece, or
    /// give all calls the number 0.
    fn place(&self, number: Option<u64>, id: Option<&str>, is_named: bool) -> usize {
        let end = self.0.len();
        let other = |call: &Call| is_named && id.is_some() && call.id.is_some() && call.id.as_deref() != id;
        let known = match (number, id) {
            (Some(_), _) => self
                .0
                .iter()
                .rposition(|call| call.number == number)
                .filter(|&place| self.0.get(place).is_some_and(|call| !other(call))),
            (None, Some(_)) => self.0.iter().rposition(|call| call.id.as_deref() == id),
            (None, None) if is_named => {
                end.checked_sub(1).filter(|&last| self.0.get(last).is_some_and(|c| !c.is_named))
            }
            (None, None) => end.checked_sub(1),
        };
        known.unwrap_or(end)
    }
}
