//! A provider for a service of one's own, from its manifest to its stream. The service is asked by
//! `POST /say`, and answers with a JSON object on each line: `{"word": "Hello "}`, and at the end
//! `{"end": "done", "read": 12, "wrote": 3}`. `whisper.wire.toml` says the same to `moxxy provider check`.

use std::collections::VecDeque;

use moxxy_sdk::{
    config,
    http::{Lines, Response},
    provider::{
        Chunk, Chunks, Error, Key, Manifest, Model, Provider, Request, Role, Service, Source, StopReason, Usage,
        parse_json,
    },
    serde_json::{Value, json},
};

struct Whisper;

/// An answer as it comes.
struct Words(Lines<Response>);

impl Provider for Whisper {
    type Completion = Chunks<Words>;

    /// Who it is, which hosts and secrets it asks for, and how it is configured.
    fn manifest() -> Manifest {
        let place = ["config:base_url"];
        Manifest::new("whisper", "1.0.0", "The models of a Whisper, at `base_url`.")
            .host(place[0], &["GET", "POST"], "To list the models, and to have them answer.")
            .secret("key", &place, "header:Authorization", "The service's key, if it wants one.")
            .config_schema(json!({ "type": "object", "properties": { "base_url": { "type": "string" } } }))
    }

    fn models() -> Result<Vec<Model>, Error> {
        let service = service()?;
        let listed: Value = service.send(service.get("models")?)?.json()?;
        let model = |listed: &Value| {
            let window = listed["window"].as_u64().and_then(|window| u32::try_from(window).ok());
            Some(Model { context_window: window, ..Model::new(listed["name"].as_str()?) })
        };
        let listed = listed.get("models").and_then(Value::as_array);
        Ok(listed.into_iter().flatten().filter_map(model).collect())
    }

    fn complete(request: Request) -> Result<Self::Completion, Error> {
        let who = |role| if role == Role::Assistant { "you" } else { "they" };
        let said = |text: String, role| json!({ "who": who(role), "text": text });
        let said: Vec<Value> = request.messages.iter().map(|message| said(message.text(), message.role)).collect();
        let body = json!({
            "model": request.model, "rules": request.system, "said": said, "most": request.max_output_tokens,
        });
        let service = service()?;
        let response = service.send(service.post("say")?.json(&body))?;
        Ok(Chunks::of(Words(response.lines())))
    }
}

moxxy_sdk::export_provider!(Whisper);

/// The service as it is configured. Its errors are those of the status, but for one that it names.
fn service() -> Result<Service, Error> {
    let place = config::get("base_url").ok_or_else(|| Error::Other("`base_url` is not configured".into()))?;
    Ok(Service::new(place).bearer(Key::open("key")?).errors(|refusal| match refusal.text("/why") {
        Some("too long") => Error::context_too_long(refusal.message(), None),
        _ => refusal.into(),
    }))
}

impl Source for Words {
    /// Reads a line. A stream that ends without its last one is no answer.
    fn advance(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let line = self.0.next().ok_or_else(Error::broken_off)??;
        if line.is_empty() {
            return Ok(());
        }
        let line: Value = parse_json(&line)?;
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        chunks.extend(text("word").map(|word| Chunk::Text(word.into())));
        if let Some(end) = text("end") {
            let count = |name: &str| line.get(name).and_then(Value::as_u64).unwrap_or(0);
            chunks.push_back(Chunk::Usage(Usage::new(count("read"), count("wrote"))));
            chunks.push_back(Chunk::Stop(match end {
                "done" => StopReason::EndTurn,
                "full" => StopReason::MaxTokens,
                other => StopReason::Other(other.into()),
            }));
        }
        Ok(())
    }
}
