//! The chain: each entry's hash is HMAC-SHA-256 over the hash before it and the entry, under a key that
//! derives from the master key. Without the key no entry can be changed, added, moved or left out
//! unnoticed; the end of the chain has a hash of its own, so neither can the last ones be cut off.

use std::{fmt, iter::Peekable, vec::IntoIter};

use hmac::Mac as _;
use moxxy_types::{
    audit::{Entry, Head},
    digest::{self, Hmac256},
};
use zeroize::Zeroizing;

pub const LENGTH: usize = 32;
/// What stands before the first entry.
const BEGINNING: Hash = Hash([0; LENGTH]);

/// The key of a chain.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; LENGTH]>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; LENGTH]);

/// Where the chain begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The last entry that was removed after its time, or 0.
    pub pruned: i64,
    pub pruned_hash: Hash,
    /// The newest entry.
    pub last: i64,
    pub last_hash: Hash,
    /// The first entry after it was noticed that these ends had been changed, or 0; [`Ends::OLDER`] where the
    /// database is older than its log.
    pub broken: i64,
}

/// Reads entry after entry, each against the one before.
#[derive(Debug)]
pub struct Walk {
    keys: Peekable<IntoIter<(i64, Key)>>,
    key: Key,
    /// The entry that was read last, or that the first should follow; no hash where that is not known.
    pub last: i64,
    pub hash: Option<Hash>,
}

/// How an entry fits the one before.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Whether its place is the next.
    pub follows: bool,
    /// Whether its hash is right. Behind a gap nothing tells what it followed.
    pub fits: bool,
}

impl Walk {
    /// From the beginning on. `keys` stand with the entry that each begins with; `key` is for those before.
    pub fn new(keys: Vec<(i64, Key)>, key: Key, ends: &Ends) -> Self {
        Self { keys: keys.into_iter().peekable(), key, last: ends.pruned, hash: Some(ends.pruned_hash) }
    }

    pub fn take(&mut self, entry: &Entry, hash: Option<Hash>) -> Step {
        while let Some((_, key)) = self.keys.next_if(|(first, _)| *first <= entry.position) {
            self.key = key;
        }
        let follows = entry.position == self.last + 1;
        let before = self.hash.filter(|_| follows);
        let fits = before.is_none_or(|before| Some(self.key.link(&before, entry)) == hash);
        (self.last, self.hash) = (entry.position, hash);
        Step { follows, fits }
    }

    /// The newest key, which is that of the ends, even if no entry has it yet.
    pub fn newest(&mut self) -> &Key {
        if let Some((_, key)) = self.keys.by_ref().last() {
            self.key = key;
        }
        &self.key
    }
}

impl Key {
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The hash of an entry that follows the one with the hash `before`.
    pub fn link(&self, before: &Hash, entry: &Entry) -> Hash {
        let mut mac = digest::keyed(&self.0);
        mac.update(b"moxxy audit entry 1\0");
        mac.update(&before.0);
        mac.update(&entry.position.to_be_bytes());
        for field in [&entry.timestamp, &entry.actor, &entry.event_type] {
            update(&mut mac, Some(field));
        }
        update(&mut mac, entry.agent_id.as_deref());
        update(&mut mac, entry.run_id.as_deref());
        update(&mut mac, Some(entry.payload.get()));
        finish(mac)
    }

    /// The hash of the ends.
    pub fn close(&self, ends: &Ends) -> Hash {
        let mut mac = digest::keyed(&self.0);
        mac.update(b"moxxy audit ends 1\0");
        for (position, hash) in [(ends.pruned, &ends.pruned_hash), (ends.last, &ends.last_hash)] {
            mac.update(&position.to_be_bytes());
            mac.update(&hash.0);
        }
        mac.update(&ends.broken.to_be_bytes());
        finish(mac)
    }
}

/// With its length before it, so that no two entries are alike.
fn update(mac: &mut Hmac256, field: Option<&str>) {
    let length = field.map_or(u64::MAX, |field| field.len() as u64);
    mac.update(&length.to_be_bytes());
    mac.update(field.unwrap_or_default().as_bytes());
}

fn finish(mac: Hmac256) -> Hash {
    Hash(mac.finalize().into_bytes().into())
}

impl Ends {
    pub const OLDER: i64 = -1;

    /// The same, with the note that they were changed.
    pub fn broken(self) -> Self {
        let broken = if self.broken > 0 { self.broken } else { self.last + 1 };
        Self { broken, ..self }
    }
}

impl From<&Ends> for Head {
    fn from(ends: &Ends) -> Self {
        Self { position: ends.last, hash: ends.last_hash.to_string() }
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self { pruned: 0, pruned_hash: BEGINNING, last: 0, last_hash: BEGINNING, broken: 0 }
    }
}

impl Hash {
    /// None if it has another length.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
