//! A skill that keeps notes: it shows how a skill remembers things between calls.

use moxxy_sdk::{
    keyvalue, log,
    skill::{Error, Json},
    tool,
};

moxxy_sdk::skill!(tools: [write, read, list, delete]);

/// Write a note under a title; one that is there is replaced.
#[tool(idempotent)]
fn write(
    /// The title of the note.
    title: String,
    /// What the note says.
    text: String,
) -> Result<String, keyvalue::Error> {
    keyvalue::set(&title, text.as_bytes())?;
    log::info("write", &format!("{} bytes under {title:?}", text.len()));
    Ok(format!("Noted under {title:?}."))
}

/// Read the note with a title.
#[tool(read_only)]
fn read(
    /// The title of the note.
    title: String,
) -> Result<String, Error> {
    let text = keyvalue::get(&title)?;
    let text = text.ok_or_else(|| Error::failed(format!("there is no note with the title {title:?}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// List the titles of all notes.
#[tool(read_only)]
fn list() -> Result<Json<Vec<String>>, keyvalue::Error> {
    keyvalue::keys().map(Json)
}

/// Delete the note with a title.
#[tool(idempotent)]
fn delete(
    /// The title of the note.
    title: String,
) -> Result<String, keyvalue::Error> {
    keyvalue::delete(&title)?;
    Ok(format!("There is no note under {title:?} any more."))
}

#[cfg(test)]
mod tests {
    use moxxy_sdk::testing::Host;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_is_there_until_it_is_deleted() {
        let mut host = Host::new();
        host.call::<write>(json!({ "title": "milk", "text": "two litres" })).unwrap();
        assert_eq!(host.call::<read>(json!({ "title": "milk" })).unwrap().content, "two litres");
        assert_eq!(host.call::<list>(json!({})).unwrap().content, r#"["milk"]"#);
        host.call::<delete>(json!({ "title": "milk" })).unwrap();
        let gone = host.call::<read>(json!({ "title": "milk" })).unwrap_err();
        assert_eq!(gone.to_string(), r#"there is no note with the title "milk""#);
    }
}
