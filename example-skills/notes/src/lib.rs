//! A skill that keeps notes: it shows how a skill remembers things between calls.

use moxxy_sdk::{
    keyvalue, log,
    skill::{Error, Manifest, Output, Skill, Tool, arguments},
};
use serde::Deserialize;
use serde_json::{Value, json};

struct Notes;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    title: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    title: String,
}

impl Skill for Notes {
    fn manifest() -> Manifest {
        let about = "Keeps notes for an agent: writes, reads, lists and deletes them.";
        Manifest::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), about)
    }

    fn tools() -> Vec<Tool> {
        let title = json!({ "type": "string", "description": "The title of the note." });
        let text = json!({ "type": "string", "description": "What the note says." });
        let both = schema(json!({ "title": title, "text": text }), &["title", "text"]);
        let one = schema(json!({ "title": title }), &["title"]);
        vec![
            Tool::new("write", "Write a note under a title; one that is there is replaced.", both).idempotent(),
            Tool::new("read", "Read the note with a title.", one.clone()).read_only(),
            Tool::new("list", "List the titles of all notes.", schema(json!({}), &[])).read_only(),
            Tool::new("delete", "Delete the note with a title.", one).idempotent(),
        ]
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        match tool {
            "write" => write(&arguments(input)?),
            "read" => read(&arguments(input)?),
            "list" => Output::json(&keyvalue::keys().map_err(Error::failed)?),
            "delete" => delete(&arguments(input)?),
            _ => Err(Error::unknown_tool(tool)),
        }
    }
}

fn schema(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn write(note: &Note) -> Result<Output, Error> {
    keyvalue::set(&note.title, note.text.as_bytes()).map_err(Error::failed)?;
    log::info("write", &format!("{} bytes under {:?}", note.text.len(), note.title));
    Ok(Output::text(format!("Noted under {:?}.", note.title)))
}

fn read(Title { title }: &Title) -> Result<Output, Error> {
    match keyvalue::get(title).map_err(Error::failed)? {
        Some(text) => Ok(Output::text(String::from_utf8_lossy(&text))),
        None => Err(Error::failed(format!("there is no note with the title {title:?}"))),
    }
}

fn delete(Title { title }: &Title) -> Result<Output, Error> {
    keyvalue::delete(title).map_err(Error::failed)?;
    Ok(Output::text(format!("There is no note under {title:?} any more.")))
}

moxxy_sdk::export_skill!(Notes);
