//! Redaction tells a component nothing of a secret, except that a complete value was replaced: two secrets
//! of the same length and character classes, and a response in which each complete form is of the call's own
//! secret, come out as the same pieces.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use moxxy_secrets::{
    Redactor, Release, Value,
    redact::{MAX_PATTERN_BYTES, forms},
};

/// Characters that secrets differ in, by class.
const CLASSES: [&[u8]; 3] = [b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789"];
/// Characters that both have at the same place.
const SPECIAL: &[u8] = b"+/=%\"\\<&' -_.~\xc3\xa9\xff";
const FILLER: &[u8] = b"{\"data\": \"abc\"}, 0123 xyz=%22\\u00";
const NAME: &str = "key";

pub(crate) fn check(data: &[u8]) {
    for release in [Release::Late, Release::Lines] {
        assert_eq!(differs(data, release), None);
    }
}

/// Returns the pieces that come out for one secret and for the other where they differ.
pub(crate) fn differs(data: &[u8], release: Release) -> Option<[Vec<String>; 2]> {
    let case = Case::new(data, release)?;
    let pieces = [0, 1].map(|own| case.pieces(own, release));
    let shown = |pieces: &Vec<Bytes>| pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect();
    (pieces[0] != pieces[1]).then(|| pieces.each_ref().map(shown))
}

/// Two secrets, and a response with each in the place of complete forms.
struct Case {
    secrets: [Vec<u8>; 2],
    texts: [Vec<u8>; 2],
    /// Where the response is cut into chunks.
    cuts: Vec<usize>,
}

impl Case {
    /// Reads two secrets and a template. None if a text happens to have a complete form that the template
    /// does not name.
    fn new(data: &[u8], release: Release) -> Option<Self> {
        let mut input = Input(data);
        let secrets = input.secrets();
        let forms = secrets.each_ref().map(|secret| forms::encoded_forms(secret));
        let (mut texts, mut cuts) = ([Vec::new(), Vec::new()], vec![0]);
        while let Some(part) = input.next() {
            let number = input.number() % forms[0].len();
            let guessed = forms[usize::from(part >= 128)].get(number)?;
            let at = input.number() % guessed.len();
            match part % 8 {
                0 => push(&mut texts, FILLER.get(at % FILLER.len()..)?),
                1 | 2 => push(&mut texts, guessed.get(..at)?),
                3 => push(&mut texts, guessed.get(at + 1..)?),
                4 => {
                    let mut near = guessed.clone();
                    *near.get_mut(at)? ^= 1;
                    push(&mut texts, &near);
                }
                // Each line is searched by itself.
                5 if release == Release::Lines && forms[0][number].contains(&b'\n') => {}
                5 => texts.iter_mut().zip(&forms).for_each(|(text, forms)| text.extend(&forms[number])),
                6 => push(&mut texts, [b"\n".as_slice(), b"\r\n", b"\n\n"].get(at % 3)?),
                _ => cuts.push(texts[0].len()),
            }
        }
        cuts.push(texts[0].len());
        let found = [0, 1].map(|own| complete(&forms[own], &texts[own]));
        (found[0] == found[1]).then_some(Self { secrets, texts, cuts })
    }

    fn pieces(&self, own: usize, release: Release) -> Vec<Bytes> {
        let value = Value::new(self.secrets[own].clone()).unwrap();
        let mut stream = Redactor::new([(NAME.to_owned(), value)]).stream(release);
        let chunks = self.cuts.windows(2).map(|ends| Bytes::copy_from_slice(&self.texts[own][ends[0]..ends[1]]));
        let mut pieces: Vec<_> = chunks.map(|chunk| stream.push(chunk)).collect();
        pieces.push(stream.finish());
        pieces
    }
}

fn push(texts: &mut [Vec<u8>; 2], bytes: &[u8]) {
    texts.iter_mut().for_each(|text| text.extend(bytes));
}

/// Finds every complete form, also where two overlap.
fn complete(forms: &[Vec<u8>], text: &[u8]) -> Vec<Range<usize>> {
    let find = |form: &Vec<u8>| {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(at) = memmem::find(&text[from..], &form[..form.len().min(MAX_PATTERN_BYTES)]) {
            found.push(from + at..from + at + form.len());
            from += at + 1;
        }
        found
    };
    let mut found: Vec<_> = forms.iter().flat_map(find).collect();
    found.sort_by_key(|range| (range.start, range.end));
    found.dedup();
    found
}

/// The bytes of a case, read from the front.
struct Input<'d>(&'d [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> usize {
        let [high, low] = [self.next(), self.next()].map(|byte| usize::from(byte.unwrap_or_default()));
        (high << 8) | low
    }

    /// Most are as long as keys are, some longer than what is searched for.
    fn secrets(&mut self) -> [Vec<u8>; 2] {
        let length = match self.next().unwrap_or_default() {
            byte @ 0..240 => 8 + usize::from(byte) % 60,
            byte => 1000 + usize::from(byte),
        };
        let special = self.next().unwrap_or_default();
        let mut state = ((self.number() as u64) << 16) | self.number() as u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 33) as usize % below
        };
        let mut secrets = [Vec::new(), Vec::new()];
        for _ in 0..length {
            match CLASSES.get(random(4)) {
                Some(class) => secrets.iter_mut().for_each(|secret| secret.push(class[random(class.len())])),
                // Every second case has letters and digits alone.
                None if special.is_multiple_of(2) => push(&mut secrets, b"x"),
                None => push(&mut secrets, &[SPECIAL[random(SPECIAL.len())]]),
            }
        }
        secrets
    }
}
