//! Checks of the fuzz targets on the committed corpus: each file of `tests/fuzz/corpus/`.

use std::{fs, path::Path};

use moxxy_secrets::Release;

use crate::outcomes::outcome;

#[path = "../fuzz/checks/mod.rs"]
mod checks;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check); 6] = [
    ("grants", checks::grants::check),
    ("inject", checks::inject::check),
    ("install", checks::install::check),
    ("noninterference", checks::noninterference::check),
    ("redact", checks::redact::check),
    ("urls", checks::urls::check),
];

/// Number of variants of each file of the corpus, the same ones each time.
const VARIANTS: u64 = 400;

#[test]
fn the_corpus_and_what_is_near_it_hold() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, check) in CHECKS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            let seed = fs::read(&file).unwrap();
            for (number, variant) in
                std::iter::once(seed.clone()).chain((0..VARIANTS).map(|n| mutated(&seed, n))).enumerate()
            {
                let held = std::panic::catch_unwind(|| check(&variant));
                assert!(held.is_ok(), "{} {number}: {variant:?}", file.display());
            }
        }
    }
}

/// Returns the seed with some bytes changed, removed, duplicated or inserted. New bytes have a meaning in the
/// formats.
fn mutated(seed: &[u8], number: u64) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\x01\n%2e%2f/\\@:;.&=?#[]*\"{}'+-09azAZ\x7f\xc3\xff";
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=random(6) {
        let at = random(bytes.len() + 1);
        match random(4) {
            0 => bytes.insert(at, TELLING[random(TELLING.len())]),
            1 if at < bytes.len() => bytes[at] = TELLING[random(TELLING.len())],
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let piece = bytes[random(at + 1)..at].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Number of random cases of secrets and responses.
const CASES: u64 = 10_000;

/// Early release reveals a secret within the cases, which shows that the test can detect it.
#[test]
fn redaction_tells_nothing_of_a_secret() {
    let case = |number: u64| {
        let mut state = number;
        let mut random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed.to_le_bytes()[5]
        };
        (0..8 + number % 120).map(|_| random()).collect::<Vec<u8>>()
    };
    let betrayed = (0..CASES).find(|number| checks::noninterference::differs(&case(*number), Release::Early).is_some());
    assert!(betrayed.is_some_and(|number| number < 1000), "the test finds nothing: {betrayed:?}");
    outcome("a guess at a secret, by the pieces of an early release", &format!("tells at case {}", betrayed.unwrap()));
    for number in 0..CASES {
        checks::noninterference::check(&case(number));
    }
    outcome("a guess at a secret, by the pieces that a component sees", &format!("{CASES} cases tell nothing"));
}

/// Intact components, and each with bytes changed or truncated.
#[test]
fn damaged_uploads_are_refused_in_words() {
    for name in ["text_module", "plain", "keeper"] {
        let whole = fs::read(crate::harness::test_component(name)).unwrap();
        checks::install::check(&whole);
        for place in (8..whole.len()).step_by(whole.len() / 97) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            checks::install::check(&damaged);
            checks::install::check(&whole[..place]);
        }
    }
}
