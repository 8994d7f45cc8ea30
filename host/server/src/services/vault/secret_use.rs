//! Records a call's use of secrets, without their values.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use moxxy_secrets::{Redactor, Value};
use moxxy_store::{Store, Tx, events};
use moxxy_types::{
    digest::Digest,
    error::Result,
    events::{Event, EventContext},
    ids::{Name, SecretName},
    installations::InstallationKey,
};
use serde_json::{Map, Value as Json};

/// Maximum number of denials that are recorded per call.
const MAX_RECORDED_DENIALS: u32 = 32;

/// Identity of a call.
#[derive(Debug, Clone)]
pub struct CallIdentity {
    pub holder: InstallationKey,
    /// Fields of a request that grants a secret to the installation.
    pub grantee: Vec<(&'static str, String)>,
    pub component: Name,
    pub digest: Digest,
    pub subject: EventContext,
}

/// Records the use of secrets by one call, which all clones share.
#[derive(Clone)]
pub struct SecretUseRecorder {
    pub store: Store,
    pub call_identity: Arc<CallIdentity>,
    known: Arc<Mutex<Known>>,
    recorded_denials: Arc<AtomicU32>,
}

#[derive(Default)]
struct Known {
    /// All values that secrets had during the call, with the component's names for them.
    values: Vec<(String, Value)>,
    /// Redactor of all values, created on demand.
    redactor: Option<Redactor>,
}

impl SecretUseRecorder {
    pub fn new(store: &Store, call_identity: CallIdentity) -> Self {
        Self {
            store: store.clone(),
            call_identity: Arc::new(call_identity),
            known: Arc::default(),
            recorded_denials: Arc::default(),
        }
    }

    pub fn track_value(&self, name: &str, value: &Value) {
        let mut known = self.lock();
        if !known.values.iter().any(|(other, known)| other == name && known == value) {
            known.values.push((name.to_owned(), value.clone()));
            known.redactor = None;
        }
    }

    /// Returns a redactor of all known values, or `None` if there are none.
    pub fn redactor(&self) -> Option<Redactor> {
        let mut known = self.lock();
        if known.values.is_empty() {
            return None;
        }
        let Known { values, redactor } = &mut *known;
        Some(redactor.get_or_insert_with(|| Redactor::new(values.iter().cloned())).clone())
    }

    /// Returns the last known value of a secret.
    pub fn last(&self, name: &str) -> Option<Value> {
        self.lock().values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // No update panics halfway, so the value is valid even if the lock is poisoned.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the API request that would grant a secret of the vault under the component's name for it.
    pub fn grant(&self, secret: &SecretName, name: &str, terms: Vec<(&str, Json)>) -> String {
        let holder = self.call_identity.grantee.iter().map(|(field, value)| (*field, Json::from(value.as_str())));
        let other = (secret.as_str() != name).then(|| ("name", Json::from(name)));
        let fields = holder.chain([("secret", Json::from(secret.as_str()))]).chain(other).chain(terms);
        let body: Map<String, Json> = fields.map(|(field, value)| (field.to_owned(), value)).collect();
        format!("POST /v1/vault/grants {}", Json::Object(body))
    }

    /// Records a denial, unless the call has reached the maximum.
    pub async fn record_denial(&self, name: &str, reason: &str) -> Result<()> {
        if self.recorded_denials.fetch_add(1, Relaxed) >= MAX_RECORDED_DENIALS {
            return Ok(());
        }
        let redactor = self.redactor().unwrap_or_default();
        let name = SecretName::try_from(redactor.text(name).into_owned()).ok();
        let reason = redactor.text(reason).into_owned();
        let event = Event::SecretDenied { name, component: self.call_identity.component.clone(), reason };
        self.record_if(event, |_| Box::pin(async { Ok(true) })).await.map(drop)
    }

    /// Makes a change and, if it returns `true`, records its event in the same transaction.
    pub async fn record_if<F>(&self, event: Event, change: F) -> Result<bool>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<bool>> + Send + 'static,
    {
        let subject = self.call_identity.subject.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let changed = change(tx).await?;
                    if changed {
                        events::record(tx, &subject, event).await?;
                    }
                    Ok(changed)
                })
            })
            .await
    }
}
