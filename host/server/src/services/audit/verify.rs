//! Verification of the whole audit log, also while a server writes it. Finds changed, missing and truncated
//! entries.

use moxxy_secrets::MasterKey;
use moxxy_store::{
    self as store, Db,
    audit::{ChainVerifier, Ends, Hash},
};
use moxxy_types::{
    audit::{Entry, Head},
    error::{Error, Result},
};
use serde::Serialize;

use crate::{
    config::Config,
    services::{audit::keys, vault},
};

/// Maximum number of findings that are listed; further ones are counted.
const MAX_FINDINGS: usize = 100;

const NO_ENTRIES: &str = "the log was emptied or taken away: the database was used, and there is no entry";
const NO_KEYS: &str = "the log was emptied or taken away: the database was used, and there is no key of the log";
pub(super) const NO_KEY_ID: &str = "the record of the master key was taken away";

/// Result of a verification.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Number of entries.
    pub entries: u64,
    /// Position of the first entry; earlier ones were pruned.
    pub first: i64,
    pub head: Option<Head>,
    /// Findings as sentences; empty if the log is intact.
    pub findings: Vec<String>,
    /// Number of findings that are not listed.
    pub more: u64,
}

/// Verifies entries one by one.
struct Verifier {
    chain: ChainVerifier,
    expected: Option<Head>,
    report: Report,
}

/// Verifies the log of a data directory. `expected` is a previously published head.
pub async fn verify(config: &Config, expected: Option<Head>) -> Result<Report> {
    let database = config.database();
    let mut db = store::reader(&database).await?;
    // In one transaction, because a server may write at the same time.
    store::snapshot(&mut db).await?;
    if !store::audit::has_tables(&mut db).await? {
        return match store::migration::version(&mut db, &database).await? {
            ..store::migration::AUDIT_LOG_VERSION => Err(no_log()),
            _ => Ok(Report::lost("the tables of the log are missing".into())),
        };
    }
    if store::audit::keys(&mut db).await?.is_empty() {
        return without_keys(&mut db).await;
    }
    let master = vault::master_of(config, &mut db).await?;
    verify_in(&mut db, &master, expected).await
}

/// Verifies the log of a database, which must not change meanwhile.
pub async fn verify_in(db: &mut Db, master: &MasterKey, expected: Option<Head>) -> Result<Report> {
    let keys = keys::all(master, db).await?;
    let Some((_, key)) = keys.first().cloned() else { return without_keys(db).await };
    let (ends, mac) = store::audit::ends(db).await?.unwrap_or_default();
    let report = Report { first: ends.pruned + 1, ..Report::default() };
    let mut verifier = Verifier { chain: ChainVerifier::new(keys, key, &ends), expected, report };
    store::audit::each(db, |entry, hash| verifier.check_entry(&entry, hash)).await?;
    if let Some(finding) = loss(db, &ends).await? {
        verifier.find(finding);
    }
    if store::secrets::key_id(db).await?.is_none() {
        verifier.find(NO_KEY_ID.into());
    }
    Ok(verifier.end(&ends, mac))
}

/// Returns a finding if other tables show that entries are missing. Hashes cannot show this, because an attacker can
/// restore an older state of the log.
pub(super) async fn loss(db: &mut Db, ends: &Ends) -> Result<Option<String>> {
    let (change, entry) = store::audit::newest_change(db).await?;
    if entry.is_none() && (ends.last, ends.broken) == (0, 0) && store::audit::is_used(db).await? {
        return Ok(Some(NO_ENTRIES.into()));
    }
    Ok(change.zip(entry).filter(|(change, entry)| change > entry).map(|(change, entry)| {
        format!("entries are missing at the end: something was changed at {change}, and the newest entry is of {entry}")
    }))
}

/// Handles a log without keys: a finding if the database was used, otherwise an error, as there is no log yet.
async fn without_keys(db: &mut Db) -> Result<Report> {
    match store::audit::is_used(db).await? {
        true => Ok(Report::lost(NO_KEYS.into())),
        false => Err(no_log()),
    }
}

fn no_log() -> Error {
    Error::conflict("no_audit_log", "There is no audit log here: no server that keeps one was started here yet")
}

impl Report {
    fn lost(finding: String) -> Self {
        Self { first: 1, findings: vec![finding], ..Self::default() }
    }
}

impl Verifier {
    fn find(&mut self, finding: String) {
        match self.report.findings.len() < MAX_FINDINGS {
            true => self.report.findings.push(finding),
            false => self.report.more += 1,
        }
    }

    fn check_entry(&mut self, entry: &Entry, hash: Option<Hash>) {
        let position = entry.position;
        let last = self.chain.last;
        let step = self.chain.verify(entry, hash);
        if !step.follows {
            let what = if position <= last { "was there before" } else { "is missing" };
            let entries = if position <= last { position..=position } else { last + 1..=position - 1 };
            self.find(format!("{} {what}", describe_range(*entries.start(), *entries.end())));
        }
        if !step.fits {
            self.find(format!("entry {position} was changed, or is not where it was written"));
        }
        self.compare(position, hash.as_ref());
        self.report.entries += 1;
    }

    /// Compares the published head with the entry at its position.
    fn compare(&mut self, position: i64, hash: Option<&Hash>) {
        let Some(expected) = self.expected.take_if(|expected| expected.position == position) else { return };
        if hash.is_none_or(|hash| hash.to_string() != expected.hash) {
            self.find(format!("entry {position} is another one than when the head was published"));
        }
    }

    fn end(mut self, ends: &Ends, mac: Option<Hash>) -> Report {
        if mac != Some(self.chain.newest().close(ends)) {
            self.find("the record of the log's ends was changed".into());
        }
        if ends.broken > 0 {
            self.find(format!(
                "the log or the record of its ends was changed before entry {} was written",
                ends.broken
            ));
        }
        match ends.last {
            last if last > self.chain.last => {
                self.find(format!("{} is missing at the end", describe_range(self.chain.last + 1, last)))
            }
            last if last < self.chain.last => {
                self.find(format!("{} was added at the end", describe_range(last + 1, self.chain.last)))
            }
            _ if self.chain.hash != Some(ends.last_hash) => self.find(format!("entry {} has another hash", ends.last)),
            _ => {}
        }
        if ends.pruned > 0 {
            self.compare(ends.pruned, Some(&ends.pruned_hash));
        }
        match self.expected.take() {
            Some(head) if head.position > self.chain.last => {
                let finding = format!(
                    "{} is missing: the head that was published is newer",
                    describe_range(self.chain.last + 1, head.position)
                );
                self.find(finding);
            }
            Some(head) if head.position > 0 => self.find(format!(
                "entry {}, of the head that was published, is not there any more, so it proves nothing",
                head.position
            )),
            _ => {}
        }
        let hash = self.chain.hash.map(|hash| hash.to_string()).unwrap_or_default();
        self.report.head = Some(Head { position: self.chain.last, hash });
        self.report
    }
}

fn describe_range(from: i64, to: i64) -> String {
    if from == to { format!("entry {from}") } else { format!("each of the entries {from} to {to}") }
}
