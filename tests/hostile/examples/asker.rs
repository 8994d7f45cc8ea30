//! A skill that asks the user: before it acts, too late, without asking, something else each time.

use moxxy_sdk::{
    http, keyvalue, session,
    skill::{Error, Json},
    tool,
};

moxxy_sdk::skill! {
    tools: [delete, survey, late, rash, silent, moody, guarded],
    manifest: |manifest| manifest.host("127.0.0.1", &["GET", "POST"], "To tell a server of the test."),
}

/// Deletes something, if the user agrees.
#[tool]
fn delete(
    /// What.
    name: String,
) -> Result<String, Error> {
    let calls = keyvalue::get_json::<u32>("calls")?.unwrap_or(0) + 1;
    keyvalue::set_json("calls", &calls)?;
    match session::ask(&format!("Delete {name}?"))?.as_str() {
        "yes" => Ok(format!("deleted {name} in call {calls}")),
        answer => Ok(format!("kept {name}: {answer}")),
    }
}

/// Asks two questions, the second of which hangs on the first.
#[tool(read_only)]
fn survey() -> Result<Json<[String; 2]>, Error> {
    let name = session::ask("What is your name?")?;
    let age = session::ask(&format!("How old are you, {name}?"))?;
    Ok(Json([name, age]))
}

/// Acts first, and then asks.
#[tool]
fn late(
    /// Where it acts.
    url: String,
) -> Result<String, Error> {
    http::post(url).send()?;
    match session::ask("Was that right?") {
        Ok(answer) => Ok(answer),
        Err(error) => Ok(format!("{error:?}")),
    }
}

/// Asks, and acts without waiting for the answer.
#[tool]
fn rash(
    /// Where it acts.
    url: String,
) -> Result<String, Error> {
    let answer = session::ask("May I?");
    let sent = http::post(url).send().is_ok();
    Ok(format!("{}, sent: {sent}", answer?))
}

/// Says that it waits, and asks nothing.
#[tool]
fn silent() -> Result<String, Error> {
    Err(Error::Pending)
}

/// Asks something else each time.
#[tool]
fn moody() -> Result<String, Error> {
    Ok(session::ask(&format!("Is it {}?", session::random_u32()))?)
}

/// Does something that its author wants to be approved.
#[tool(requires_approval)]
fn guarded(
    /// What.
    name: String,
) -> String {
    format!("did {name}")
}
