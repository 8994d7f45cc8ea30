//! What fuzzing checks, on the committed corpus: each file of `tests/fuzz/corpus/`.

use std::{fs, path::Path};

#[path = "../fuzz/checks/mod.rs"]
mod checks;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check); 5] = [
    ("grants", checks::grants::check),
    ("inject", checks::inject::check),
    ("install", checks::install::check),
    ("redact", checks::redact::check),
    ("urls", checks::urls::check),
];

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (name, check) in CHECKS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            eprintln!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }
}

/// Components that are whole, and each with some bytes of it changed.
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
