//! `moxxy retention`: shows how long data is kept, and what would be removed now.

use serde_json::Value;

use crate::{
    Options,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, text, time},
};

/// Stands for no limit.
const UNLIMITED: &str = "all";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only of this kind: events, runs, chat_runs, audit or idempotency_keys.
    #[arg(value_name = "KIND")]
    id: Option<String>,
    /// Show what would be removed if it were kept for so many days (0: for ever).
    #[arg(long, value_name = "DAYS", requires = "id")]
    keep_days: Option<u16>,
    /// Show what would be removed if so many were kept (0: all).
    #[arg(long, value_name = "COUNT", requires = "id")]
    keep_count: Option<u32>,
    /// Show what would be removed if so many bytes were kept (0: all).
    #[arg(long, value_name = "BYTES", requires = "id")]
    keep_bytes: Option<u64>,
}

pub(crate) async fn run(options: &Options, args: Args) -> CliResult {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    let Args { id, keep_days, keep_count, keep_bytes } = args;
    let given = [
        ("id", id),
        ("keep_days", keep_days.map(|days| days.to_string())),
        ("keep_count", keep_count.map(|count| count.to_string())),
        ("keep_bytes", keep_bytes.map(|bytes| bytes.to_string())),
    ];
    let mut call = Call::get("/v1/retention");
    for (name, value) in given {
        if let Some(value) = value {
            call = call.query(name, value);
        }
    }
    let kept = client.answer(call).await?;
    terminal.show(&kept, |kept| table(kept.as_array().map_or(&[], Vec::as_slice)))
}

fn table(kept: &[Value]) -> String {
    let row = |kept: &Value| {
        let limit = |name: &str| match kept[name].is_null() {
            true => UNLIMITED.to_owned(),
            false => text(kept, name),
        };
        let [id, size, removable] = ["id", "bytes", "removable"].map(|name| text(kept, name));
        [id, limit("keep_days"), limit("keep_count"), limit("keep_bytes"), size, removable, time(kept, "next_at")]
    };
    let headings = ["DATA", "DAYS", "COUNT", "BYTES", "SIZE NOW", "REMOVABLE NOW", "NEXT CHECK (UTC)"];
    terminal::table(headings, kept.iter().map(row))
}
