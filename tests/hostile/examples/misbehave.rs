//! A skill with a tool for each kind of trouble that a call can make.

use std::hint::black_box;
use std::time::Duration;

use moxxy_sdk::skill::{Error, Manifest, Output, Skill, Tool, arguments};
use moxxy_sdk::{config, keyvalue, log, vault};
use serde::Deserialize;
use serde_json::{Value, json};

struct Misbehave;

impl Skill for Misbehave {
    fn manifest() -> Manifest {
        hostile::manifest("misbehave").secret(
            "key",
            &["api.example.com"],
            "header:Authorization",
            "To see whether it can be opened.",
        )
    }

    fn tools() -> Vec<Tool> {
        [
            tool("echo", "Repeat a text.", json!({ "text": { "type": "string" } })),
            tool("spin", "Compute for ever.", json!({})),
            tool("bomb", "Use more and more memory.", json!({})),
            tool("recurse", "Use more and more of the stack.", json!({})),
            tool("trap", "Break.", json!({})),
            tool("exit", "End the process.", json!({ "code": { "type": "integer" } })),
            tool("big_result", "Answer at length.", json!({ "bytes": { "type": "integer" } })),
            tool("sleep", "Wait.", json!({ "ms": { "type": "integer" } })),
            tool("fail", "Fail.", json!({ "message": { "type": "string" } })),
            tool(
                "print",
                "Print lines on the standard output and the standard error.",
                json!({ "lines": { "type": "integer" }, "text": { "type": "string" } }),
            ),
            tool("chatter", "Log lines.", json!({ "lines": { "type": "integer" } })),
            tool(
                "keep",
                "Keep a value, then do something.",
                json!({ "key": { "type": "string" }, "bytes": { "type": "integer" }, "then": { "type": "string" } }),
            ),
            tool("keys", "List what is kept.", json!({})),
            tool("connect", "Open a TCP connection.", json!({})),
            tool("read_file", "Read a file.", json!({ "path": { "type": "string" } })),
            tool("env", "List the environment variables.", json!({})),
            tool("config", "Read a configuration value.", json!({ "name": { "type": "string" } })),
            tool("open_secret", "Open a secret.", json!({ "name": { "type": "string" } })),
        ]
        .into()
    }

    fn call(tool: &str, input: Value) -> Result<Output, Error> {
        match tool {
            "echo" => arguments(input).map(|Text { text }| Output::text(text)),
            "spin" => hostile::spin(),
            "bomb" => hostile::bomb(),
            "recurse" => Ok(Output::text(recurse(0).to_string())),
            "trap" => trap(),
            "exit" => arguments(input).map(|Exit { code }| std::process::exit(code)),
            "big_result" => arguments(input).map(|Big { bytes }| Output::text("x".repeat(bytes))),
            "sleep" => sleep(arguments(input)?),
            "fail" => Err(arguments(input).map(|Fail { message }| Error::failed(message))?),
            "print" => print(arguments(input)?),
            "chatter" => chatter(arguments(input)?),
            "keep" => keep(arguments(input)?),
            "keys" => Output::json(&keyvalue::keys().map_err(Error::failed)?),
            "connect" => connect(),
            "read_file" => read_file(arguments(input)?),
            "env" => Output::json(&std::env::vars().collect::<Vec<_>>()),
            "config" => arguments(input).and_then(|Name { name }| Output::json(&config::get(&name))),
            "open_secret" => open_secret(arguments(input)?),
            _ => Err(Error::unknown_tool(tool)),
        }
    }
}

moxxy_sdk::export_skill!(Misbehave);

/// A tool all of whose arguments are required.
fn tool(name: &str, description: &str, properties: Value) -> Tool {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|map| map.keys()).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    Tool::new(name, description, schema)
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Exit {
    code: i32,
}

#[derive(Deserialize)]
struct Big {
    bytes: usize,
}

#[derive(Deserialize)]
struct Fail {
    message: String,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

fn recurse(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    // The result is looked at after the call, so that the call cannot become a loop.
    black_box(recurse(depth + 1)) ^ depth
}

#[expect(clippy::panic, reason = "the trap is the point")]
fn trap() -> ! {
    panic!("trapped on purpose")
}

#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

fn sleep(Sleep { ms }: Sleep) -> Result<Output, Error> {
    std::thread::sleep(Duration::from_millis(ms));
    Ok(Output::text("awake"))
}

#[derive(Deserialize)]
struct Print {
    lines: usize,
    text: String,
}

#[derive(Deserialize)]
struct Chatter {
    lines: usize,
}

fn chatter(Chatter { lines }: Chatter) -> Result<Output, Error> {
    (0..lines).for_each(|line| log::info("chatter", &format!("line {line}")));
    Ok(Output::text("logged"))
}

#[derive(Deserialize)]
struct Keep {
    key: String,
    bytes: usize,
    then: String,
}

fn keep(Keep { key, bytes, then }: Keep) -> Result<Output, Error> {
    keyvalue::set(&key, &vec![1; bytes]).map_err(Error::failed)?;
    match then.as_str() {
        "fail" => Err(Error::failed("on purpose")),
        "trap" => trap(),
        "spin" => hostile::spin(),
        "nap" => sleep(Sleep { ms: 1500 }),
        // What the call itself set is there for it.
        "read" => Output::json(&keyvalue::get(&key).map_err(Error::failed)?.map(|value| value.len())),
        _ => Ok(Output::text("kept")),
    }
}

fn print(Print { lines, text }: Print) -> Result<Output, Error> {
    for _ in 0..lines {
        println!("{text}");
        eprintln!("{text}");
    }
    Ok(Output::text("printed"))
}

fn connect() -> Result<Output, Error> {
    std::net::TcpStream::connect(("127.0.0.1", 80)).map_err(Error::failed)?;
    Ok(Output::text("connected"))
}

#[derive(Deserialize)]
struct ReadFile {
    path: String,
}

fn read_file(ReadFile { path }: ReadFile) -> Result<Output, Error> {
    let bytes = std::fs::read(path).map_err(Error::failed)?;
    Ok(Output::text(String::from_utf8_lossy(&bytes)))
}

fn open_secret(Name { name }: Name) -> Result<Output, Error> {
    let secret = vault::open(&name).map_err(Error::failed)?;
    Ok(Output::text(secret.placeholder()))
}
