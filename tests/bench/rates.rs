//! Benchmark of the accuracy of a rate limit.
//!
//! Two tokens concurrently send requests for a minute, three times as often as they may. The baseline is the same
//! load with a limit that it does not reach, which shows that the limit and not the machine decides.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

#[path = "server.rs"]
mod server;

use std::time::Duration;

use serde_json::{Value, json};
use server::Server;
use tokio::time::{Instant, MissedTickBehavior, interval};

const RATE: u32 = 100;
const BURST: u32 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Starts a server with a rate limit, in requests per second.
fn limited(rate: u32, burst: u32) -> Server {
    let (rate, burst) = (rate.to_string(), burst.to_string());
    Server::start(&[("MOXXY_RATE_LIMIT_PER_SECOND", &rate), ("MOXXY_RATE_LIMIT_BURST", &burst)])
}

impl Server {
    async fn token(&self, by: Option<&str>) -> String {
        let mut request = self.http.post(format!("{}/v1/auth/tokens", self.url)).json(&json!({ "scopes": ["*"] }));
        if let Some(by) = by {
            request = request.bearer_auth(by);
        }
        let made: Value = request.send().await.unwrap().json().await.unwrap();
        made.get("token").unwrap().as_str().unwrap().to_owned()
    }

    /// Sends requests at a steady rate. Returns the numbers of answered and rejected requests.
    async fn ask(&self, token: &str, time: Duration) -> (u32, u32) {
        let mut tick = interval(Duration::from_secs(1) / (3 * RATE));
        // Catch up on missed ticks, so that the load has the stated rate.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (end, mut answered, mut refused) = (Instant::now() + time, 0, 0);
        while Instant::now() < end {
            tick.tick().await;
            let answer = self.http.get(format!("{}/v1/agents", self.url)).bearer_auth(token).send().await.unwrap();
            match answer.status().as_u16() {
                200 => answered += 1,
                429 => refused += 1,
                other => eprintln!("answered {other}"),
            }
        }
        (answered, refused)
    }
}

#[tokio::main]
async fn main() {
    let server = limited(1_000_000, 1_000_000);
    let token = server.token(None).await;
    let (answered, _) = server.ask(&token, MINUTE / 12).await;
    println!("without a limit that is reached: {:.0} per second of {}", f64::from(answered) * 12.0 / 60.0, 3 * RATE);
    drop(server);
    let server = limited(RATE, BURST);
    let one = server.token(None).await;
    let other = server.token(Some(&one)).await;
    let (one, other) = tokio::join!(server.ask(&one, MINUTE), server.ask(&other, MINUTE));
    for (name, (answered, refused)) in [("one token", one), ("another", other)] {
        let wanted = f64::from(RATE) * MINUTE.as_secs_f64();
        let ratio = f64::from(answered) / wanted;
        println!("{name}: {answered} answered in a minute, {refused} refused: {ratio:.3} of {RATE} per second");
    }
}
