//! Rejected tokens: one audit entry per minute, however many requests and addresses.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Server, send},
    outcomes::outcome,
};

const ADDRESSES: usize = 300;

/// Starts a server that trusts a proxy to report the address of a request.
async fn behind_proxy() -> (Server, Arc<AtomicI64>) {
    Server::timed(|config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.rate_limit.failures_per_minute = 1;
    })
    .await
}

/// Returns the status of the answer to an unknown token.
async fn refused(server: &Server, forwarded_for: &str) -> u16 {
    let get = server.request(Method::GET, "/v1/agents").header("X-Forwarded-For", forwarded_for);
    send(get.bearer_auth("mox_unknown")).await.status.as_u16()
}

/// Returns the payloads of the entries about rejected tokens, oldest first.
async fn entries(server: &Server) -> Vec<Value> {
    let entries = server.get("/v1/audit?event_type=token.denied&limit=1000").await.expect(200);
    entries.as_array().unwrap().iter().rev().map(|entry| entry["payload"].clone()).collect()
}

fn counts(entries: &[Value]) -> Vec<u64> {
    entries.iter().map(|entry| entry["count"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn refusals_of_all_addresses_share_one_entry_a_minute() {
    let (server, later) = behind_proxy().await;
    for number in 0..ADDRESSES {
        assert_eq!(refused(&server, &format!("192.0.{}.{}", number / 256, number % 256)).await, 401);
    }
    let told = entries(&server).await;
    assert_eq!(counts(&told), [1]);
    assert_eq!(told[0]["sources"], json!([{ "network": "192.0.0.0/32", "count": 1 }]));
    // Within the minute, one address sends more requests than the others. The next rejection is reported with
    // them.
    for _ in 0..20 {
        refused(&server, "192.0.0.1").await;
    }
    later.store(61, Ordering::SeqCst);
    refused(&server, "192.0.0.1").await;
    let told = entries(&server).await;
    let rest = ADDRESSES as u64 + 20;
    assert_eq!(counts(&told), [1, rest]);
    let sources = told[1]["sources"].as_array().unwrap();
    assert_eq!((sources.len(), &sources[0]), (16, &json!({ "network": "192.0.0.1/32", "count": 22 })));
    assert_eq!(told[1]["other_count"], rest - 22 - 15);
    assert!(told[0]["since"].as_str() <= told[1]["since"].as_str());
    outcome("unknown tokens from 300 addresses of IPv4", "1 entry, and 1 with the number of the rest a minute later");
}

#[tokio::test]
async fn addresses_of_one_machine_or_site_share_a_bucket() {
    let (server, _) = behind_proxy().await;
    type Address = fn(usize) -> String;
    let sites: [(&str, Address); 4] = [
        ("127.0.0.0/8", |number| format!("127.{}.{}.7", number / 256, number % 256 + 1)),
        ("::1 and ::ffff:127.0.0.0/104", |number| format!("::ffff:127.9.{}.{}", number / 256, number % 256)),
        ("2001:db8:1::/48", |number| format!("2001:db8:1:{number:x}::1")),
        ("2001:db8:2::/48", |number| format!("2001:db8:2::{number:x}")),
    ];
    let mut answers = Vec::new();
    for (site, address) in sites {
        let mut known = 0;
        for number in 0..ADDRESSES {
            known += usize::from(refused(&server, &address(number)).await == 401);
        }
        outcome(&format!("unknown tokens from 300 addresses of {site}"), &format!("{known} looked at, others 429"));
        answers.push(known);
    }
    // The first two are the same machine.
    assert_eq!(refused(&server, "::1").await, 429);
    assert!(answers[0] < 15 && answers[1] < 5 && answers[2] < 15 && answers[3] < 15, "{answers:?}");
    assert_eq!(counts(&entries(&server).await), [1]);
    // A valid token is not rejected.
    let token = server.token(None, &["*"]).await;
    send(server.request(Method::GET, "/v1/agents").bearer_auth(&token)).await.expect(200);
}

#[tokio::test]
async fn connections_from_all_of_127_are_one_machines() {
    let server = Server::with(|config| config.rate_limit.failures_per_minute = 1).await;
    let mut known = 0;
    for number in 0..ADDRESSES {
        let from = IpAddr::from([127, 1, u8::try_from(number / 256).unwrap(), u8::try_from(number % 256).unwrap()]);
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).local_address(from).build().unwrap();
        let get = client.get(format!("{}/v1/agents", server.url)).bearer_auth("mox_unknown");
        known += usize::from(send(get).await.status == 401);
    }
    let entries = entries(&server).await.len();
    println!("{ADDRESSES} refusals from 127/8: {entries} entries, {known} answered by 401");
    outcome("unknown tokens from 300 connections of 127/8", &format!("{entries} entry, {known} looked at"));
    assert!(entries == 1 && known < 15, "{entries} {known}");
}

#[tokio::test]
async fn what_was_not_told_yet_is_told_at_the_end() {
    let (server, _) = behind_proxy().await;
    for number in 0..7 {
        refused(&server, &format!("198.51.100.{number}")).await;
    }
    let server = Server::at(server.stop().await, |_| {}).await;
    assert_eq!(counts(&entries(&server).await), [1, 6]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_silences_nothing() {
    let (server, later) = behind_proxy().await;
    refused(&server, "192.0.2.1").await;
    later.store(-3600, Ordering::SeqCst);
    refused(&server, "192.0.2.1").await;
    assert_eq!(counts(&entries(&server).await), [1, 1]);
}
