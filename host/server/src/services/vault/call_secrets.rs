//! Secrets of one call: opened under a grant, injected into its requests, and redacted in the responses. Each use looks
//! up the grant again, so that a revocation takes effect during a call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use futures_util::future::BoxFuture;
use moxxy_runtime::{Denial, Secrets};
use moxxy_secrets::{self as secrets, MasterKey, Placeholder, Redactor, Value};
use moxxy_store as store;
use moxxy_system::tasks::ServerRuntime;
use moxxy_types::{
    components::Manifest,
    digest,
    error::{Error, Result},
    events::Event,
    grants::{Grant, Mode},
    ids::SecretName,
};

use crate::services::vault::{
    Vault,
    secret_use::{CallIdentity, SecretUseRecorder},
};

/// Maximum number of signatures and revelations of values per call.
const MAX_USES_PER_CALL: u32 = 1000;

pub struct CallSecrets {
    master: MasterKey,
    server: ServerRuntime,
    pub(super) recorder: SecretUseRecorder,
    /// Names of the secrets that the manifest requests.
    asked: Vec<String>,
    opened: Mutex<BTreeMap<String, Placeholder>>,
    uses: AtomicU32,
}

impl CallSecrets {
    /// Loads the values of all secrets that are granted to the component, in any mode and whether opened or not: a
    /// response may contain any value that a service has received before. Returns `None` if the manifest requests no
    /// secrets.
    pub async fn load(vault: &Vault, call_identity: CallIdentity, manifest: &Manifest) -> Result<Option<Arc<Self>>> {
        if manifest.secrets.is_empty() {
            return Ok(None);
        }
        let call = Self {
            master: vault.master.clone(),
            server: ServerRuntime::current(),
            recorder: SecretUseRecorder::new(&vault.store, call_identity),
            asked: manifest.secrets.iter().map(|wish| wish.name.clone()).collect(),
            opened: Mutex::default(),
            uses: AtomicU32::new(0),
        };
        for grant in call.all().await? {
            call.value(&grant).await?;
        }
        Ok(Some(Arc::new(call)))
    }

    pub(super) async fn all(&self) -> Result<Vec<Grant>> {
        let SecretUseRecorder { store, call_identity, .. } = &self.recorder;
        store::grants::list_of_holder(&mut *store.read().await?, call_identity.holder, &call_identity.digest).await
    }

    pub(super) async fn grants(&self, name: &str) -> Result<Vec<Grant>> {
        Ok(self.effective_grants(&self.all().await?, name))
    }

    /// Returns the grants for a name that are in effect now. All are of one secret, because the grant of one secret
    /// must not apply to the value of another.
    pub(super) fn effective_grants(&self, all: &[Grant], name: &str) -> Vec<Grant> {
        let now = self.recorder.store.clock().timestamp();
        let holds = |grant: &&Grant| grant.name.as_str() == name && grant.is_usable(&now);
        let mut grants: Vec<_> = all.iter().filter(holds).cloned().collect();
        let secret = grants.first().map(|grant| grant.secret_id.clone());
        grants.retain(|grant| Some(&grant.secret_id) == secret.as_ref());
        grants
    }

    /// Returns the current value of a secret, and tracks it until the end of the call.
    pub(super) async fn value(&self, grant: &Grant) -> Result<Value> {
        let sealed = store::secrets::sealed_one(&mut *self.recorder.store.read().await?, &grant.secret_id).await?;
        let value = Value::new(secrets::open(&self.master, (&sealed).into(), &sealed.bytes)?.to_vec())?;
        self.recorder.track_value(grant.name.as_str(), &value);
        Ok(value)
    }

    async fn open_secret(&self, name: String) -> Result<Result<String, String>> {
        let Some(grant) = self.grants(&name).await?.into_iter().next() else {
            return self.deny(&name, None).await.map(Err);
        };
        self.value(&grant).await?;
        let placeholder = Placeholder::random()?;
        let mut opened = self.lock();
        Ok(Ok(opened.entry(name).or_insert(placeholder).as_str().to_owned()))
    }

    /// Uses a secret in a mode that needs no request.
    async fn use_secret(&self, name: String, mode: Mode) -> Result<Result<Value, String>> {
        if self.uses.fetch_add(1, Relaxed) >= MAX_USES_PER_CALL {
            return Ok(Err(format!("a call uses secrets at most {MAX_USES_PER_CALL} times")));
        }
        for grant in self.grants(&name).await?.into_iter().filter(|grant| grant.mode == mode) {
            if self.spend(&grant, None).await? {
                return self.value(&grant).await.map(Ok);
            }
        }
        self.deny(&name, Some(mode)).await.map(Err)
    }

    /// Counts and records a use. Returns `false` if the grant has expired or has no uses left.
    pub(super) async fn spend(&self, grant: &Grant, host: Option<String>) -> Result<bool> {
        let id = grant.id.clone();
        let event = Event::SecretAccessed {
            grant_id: grant.id.clone(),
            secret_id: grant.secret_id.clone(),
            name: grant.name.clone(),
            component: self.recorder.call_identity.component.clone(),
            mode: grant.mode.into_str(),
            host,
        };
        self.recorder.record_if(event, move |tx| Box::pin(async move { store::grants::spend(tx, &id).await })).await
    }

    /// Records a denial and returns its reason. The text contains the API request that would grant the secret, and
    /// nothing that the component may not know.
    async fn deny(&self, name: &str, mode: Option<Mode>) -> Result<String> {
        let component = &self.recorder.call_identity.component;
        if !self.asked.iter().any(|asked| asked == name) {
            let name: String = name.chars().take(64).collect();
            let reason =
                format!("`{component}` does not ask for a secret {name:?} in its manifest, so it can be granted none");
            self.recorder.record_denial(&name, &reason).await?;
            return Ok(reason);
        }
        let to = mode.map_or("use", Mode::verb);
        let before = self.all().await?.into_iter().find(|grant| grant.name.as_str() == name);
        let ended = before.as_ref().filter(|grant| !grant.is_usable(&self.recorder.store.clock().timestamp()));
        let why = match ended {
            Some(grant) => format!("the grant {} that let `{component}` {to} the secret {name:?} has ended", grant.id),
            None => format!("no grant lets `{component}` {to} the secret {name:?}"),
        };
        let vaults = match &before {
            Some(grant) => Some(grant.secret.clone()),
            None => self.find_in_vault(name).await?,
        };
        let way = match vaults {
            Some(secret) => {
                let mode = mode.map(|mode| ("mode", mode.into_str().into()));
                self.recorder.grant(&secret, name, mode.into_iter().collect())
            }
            None => format!(
                "POST /v1/vault/secrets {}, and then to grant it",
                serde_json::json!({ "name": name, "value": "its value" })
            ),
        };
        let reason = format!("{why}; this would: {way}");
        self.recorder.record_denial(name, &reason).await?;
        Ok(reason)
    }

    /// Returns the secret of this name in the vault, if there is one.
    async fn find_in_vault(&self, name: &str) -> Result<Option<SecretName>> {
        let name = SecretName::from_db(name.to_owned());
        match store::secrets::get_by_name(&mut *self.recorder.store.read().await?, &name).await {
            Ok(secret) => Ok(Some(secret.name)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the placeholders of the opened secrets, with their names.
    pub(super) fn placeholders(&self) -> Vec<(String, Placeholder)> {
        self.lock().iter().map(|(name, placeholder)| (name.clone(), placeholder.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Placeholder>> {
        // No update panics halfway, so the value is valid even if the lock is poisoned.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the work for a guest on the server's threads.
    fn run_on_server<T: Send + 'static>(
        self: Arc<Self>,
        work: impl Future<Output = Result<Result<T, String>>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Denial>> {
        Box::pin(async move {
            let unreadable = |error| {
                tracing::error!(?error, "failed to read the vault");
                Denial::Other(format!("the vault cannot be used now: {error}"))
            };
            self.server.run(work).await.flatten().map_err(unreadable)?.map_err(Denial::Denied)
        })
    }
}

impl Secrets for CallSecrets {
    fn open(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<String, Denial>> {
        self.clone().run_on_server(async move { self.open_secret(name).await })
    }

    fn sign(self: Arc<Self>, name: String, data: Vec<u8>) -> BoxFuture<'static, Result<[u8; 32], Denial>> {
        self.clone().run_on_server(async move {
            let value = self.use_secret(name, Mode::Sign).await?;
            Ok(value.map(|value| digest::hmac(value.expose(), &data)))
        })
    }

    fn reveal(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<Value, Denial>> {
        self.clone().run_on_server(async move { self.use_secret(name, Mode::Reveal).await })
    }

    fn redactor(&self) -> Option<Redactor> {
        self.recorder.redactor()
    }
}

impl std::fmt::Debug for CallSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallSecrets").field("owner", &self.recorder.call_identity).finish_non_exhaustive()
    }
}
