//! Models, as several services list them.

use moxxy_sdk::provider::Price;
use serde_json::json;

use super::*;

fn listed(body: Value) -> Result<Vec<Model>, Error> {
    let mut host = Host::new().response("GET", "https://api.openai.com/v1/models", 200, body.to_string());
    host.run(OpenAi::models)
}

#[test]
fn what_a_service_tells_of_its_models_is_passed_on() {
    let models = listed(json!({ "object": "list", "data": [
        { "id": "gpt-5", "object": "model", "owned_by": "openai" },
        { "id": "a/b", "name": "B", "context_length": 8192, "top_provider": { "max_completion_tokens": 1024 },
          "pricing": { "prompt": "0.0000003", "completion": "0.0000025", "input_cache_read": "0.00000003" } },
        { "id": "auto", "pricing": { "prompt": "-1", "completion": "-1" } },
        { "id": "qwen", "max_model_len": 32768 },
        { "id": "groq", "context_window": 131072, "max_completion_tokens": 32768 },
        { "id": "gguf", "meta": { "n_ctx_train": 4096 } },
        { "id": "embed", "max_context_length": 512, "capabilities": { "completion_chat": false } },
        { "name": "nameless" }, 7,
    ] }));
    let model =
        |id: &str, window, output| Model { context_window: window, max_output_tokens: output, ..Model::new(id) };
    let price = Some(Price { input: 0.3, cached_input: Some(0.03), cache_write: None, output: 2.5 });
    let expected = vec![
        model("gpt-5", None, None),
        Model { display_name: Some("B".to_owned()), price, ..model("a/b", Some(8192), Some(1024)) },
        model("auto", None, None),
        model("qwen", Some(32768), None),
        model("groq", Some(131_072), Some(32768)),
        model("gguf", Some(4096), None),
    ];
    assert_eq!(models, Ok(expected));
    assert_eq!(listed(json!([{ "id": "bare" }])), Ok(vec![Model::new("bare")]));
    assert!(matches!(listed(json!({ "object": "odd" })), Err(Error::Transport(_))));
}

#[test]
fn the_operator_s_list_stands_in_place_of_the_service_s() {
    let models = json!([{ "id": "ours", "context_window": 100, "price": { "input": 1, "output": 2 } }]);
    let models = Host::new().config("models", models).run(OpenAi::models).unwrap();
    let price = Some(Price { input: 1.0, cached_input: None, cache_write: None, output: 2.0 });
    assert_eq!(models, [Model { context_window: Some(100), price, ..Model::new("ours") }]);
}
