//! Engine of the component runtime, which is replaced when the system's swap is enabled or disabled.

use std::sync::Arc;

use moxxy_runtime::{CallContext, Failure, Limit, Plugins};
use moxxy_types::{digest::Digest, ids::Name};
use serde_json::json;

use crate::harness::{config, test_component};

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_when_the_engine_is_replaced() {
    let home = tempfile::TempDir::new().unwrap();
    let mut config = config(home.path());
    config.plugins.skill_cpu = 1000;
    config.data.cache = home.path().join("cache");
    let plugins =
        Plugins::new(&config.plugins, config.connections(), home.path(), &config.data.cache, [7; 32]).unwrap();
    let (plugins, bytes) = (Arc::new(plugins), std::fs::read(test_component("misbehave")).unwrap());
    let digest = Digest::compute(&bytes);
    plugins.admit(digest.clone(), bytes).await.unwrap();
    let call = |tool: &str, arguments: serde_json::Value| {
        let (plugins, digest, tool) = (Arc::clone(&plugins), digest.clone(), tool.to_owned());
        let context = CallContext::new(Name::try_from("misbehave".to_owned()).unwrap());
        async move { plugins.call_tool(&digest, context, tool, arguments.to_string()).await.result }
    };
    let echo = async || call("echo", json!({ "text": "a" })).await.unwrap().into_text();
    let before = echo().await;
    for has_swap in [true, false] {
        let spinning = tokio::spawn(call("spin", json!({})));
        // It runs on the engine that is replaced, which still ends it.
        assert_eq!(echo().await, before);
        plugins.replace_engine(has_swap).unwrap();
        assert_eq!(echo().await, before);
        let ended = spinning.await.unwrap();
        assert!(matches!(ended, Err(Failure::Limit { limit: Limit::Cpu, .. })), "{ended:?}");
    }
}
