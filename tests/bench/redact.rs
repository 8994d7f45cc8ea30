//! Benchmark of the redaction of a stream, as a ratio to copying the same bytes.
//!
//! Processes 4 MiB of an API's JSON in chunks of 16 KiB and of 64 bytes (the size of a model's tokens), with few
//! and many secrets, alternating in one run. Also measures the construction of the automaton.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moxxy_secrets::{Redactor, Release, Value};

const ROUNDS: usize = 15;
const SIZE: usize = 4 * 1024 * 1024;
const PIECES: [(&str, usize); 2] = [("16 KiB", 16 * 1024), ("64 bytes", 64)];

/// Returns a redactor for tokens in the format of a real service.
fn redactor(secrets: usize) -> Redactor {
    let token = |number: usize| {
        let random: String = (0..36_u64).map(|i| letter((number as u64 + 1) * 7919 + i)).collect();
        (format!("token-{number}"), Value::new(format!("ghp_{random}").into_bytes()).unwrap())
    };
    Redactor::new((0..secrets).map(token))
}

/// Returns a letter or digit, deterministic for a number.
fn letter(number: u64) -> char {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d);
    char::from_digit((mixed >> 20) as u32 % 36, 36).unwrap()
}

fn text() -> Bytes {
    let mut text = String::with_capacity(SIZE + 256);
    for number in 0_u64.. {
        let id: String = (0..20).map(|i| letter(number * 31 + i)).collect();
        text.push_str(&format!(
            "{{\"id\":\"{id}\",\"number\":{number},\"title\":\"A line of text, as people write them\",\
             \"url\":\"https:\\/\\/api.example.com\\/items\\/{number}?page=2\",\"open\":true}},\n"
        ));
        if text.len() >= SIZE {
            break;
        }
    }
    text.truncate(SIZE);
    text.into()
}

fn copy(pieces: &[Bytes]) {
    for piece in pieces {
        black_box(piece.to_vec());
    }
}

fn redact(redactor: &Redactor, pieces: &[Bytes]) {
    let mut stream = redactor.stream(Release::Late);
    for piece in pieces {
        black_box(stream.push(piece.clone()));
    }
    black_box(stream.finish());
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64()
}

fn main() {
    let text = text();
    println!("{:<10}{:<10}{:>12}{:>12}{:>10}", "secrets", "pieces of", "MB/s", "copy MB/s", "ratio");
    for (size, bytes) in PIECES {
        let pieces: Vec<Bytes> = text.chunks(bytes).map(Bytes::copy_from_slice).collect();
        for secrets in [0, 1, 20] {
            let redactor = redactor(secrets);
            let (mut ours, mut floor) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                floor.push(time(|| copy(&pieces)));
                ours.push(time(|| redact(&redactor, &pieces)));
            }
            let (ours, floor) = (median(ours), median(floor));
            let speed = |time: f64| SIZE as f64 / 1e6 / time;
            println!("{secrets:<10}{size:<10}{:>12.0}{:>12.0}{:>10.1}", speed(ours), speed(floor), ours / floor);
        }
    }
    for secrets in [1, 20] {
        let times = (0..ROUNDS).map(|_| {
            let redactor = redactor(secrets);
            time(|| drop(black_box(redactor.text("a text"))))
        });
        println!("{secrets} secrets, made and used once: {:.2} ms", median(times.collect()) * 1e3);
    }
}
