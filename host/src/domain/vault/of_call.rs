//! The secrets of one call: opened under a grant, put into its requests, and taken out of whatever
//! comes back. Each use looks the grant up again, so that a revocation bites in the midst of a call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;

use super::{MasterKey, seal};
use crate::{
    app::App,
    digest::{self, Digest},
    domain::grants::{Grant, Holder, Mode},
    error::{Error, Result},
    events::{self, Event, Subject},
    ids::{Name, SecretName},
    plugins::{Denial, Manifest, Secrets},
    secrets::{Placeholder, Redactor, Value},
    store::{self, Store},
    tasks::Server,
};

/// Whose call it is.
#[derive(Debug, Clone)]
pub struct Owner {
    pub holder: Holder,
    pub agent: Option<Name>,
    pub component: Name,
    pub digest: Digest,
    pub subject: Subject,
}

pub struct OfCall {
    store: Store,
    master: MasterKey,
    server: Server,
    owner: Owner,
    /// The names that the manifest asks for.
    asked: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: BTreeMap<String, Opened>,
    /// Of all that was opened, made when it is needed.
    redactor: Option<Redactor>,
}

struct Opened {
    placeholder: Placeholder,
    /// Each that it had while the call ran.
    values: Vec<Value>,
}

impl OfCall {
    pub fn new(app: &App, owner: Owner, manifest: &Manifest) -> Arc<Self> {
        let asked = manifest.secrets.iter().map(|wish| wish.name.clone()).collect();
        let (store, master) = (app.store.clone(), app.master.clone());
        Arc::new(Self { store, master, server: Server::current(), owner, asked, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each use leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The grants of a secret that hold now. They are of one secret: what one allows is nothing that
    /// another's value may be used for.
    pub(super) async fn grants(&self, name: &str) -> Result<Vec<Grant>> {
        let now = self.store.clock().timestamp();
        let mut db = self.store.read().await?;
        let mut grants = store::grants::of(&mut db, &self.owner.holder, &self.owner.digest).await?;
        grants.retain(|grant| grant.name.as_str() == name && grant.holds(&now));
        let secret = grants.first().map(|grant| grant.secret_id.clone());
        grants.retain(|grant| Some(&grant.secret_id) == secret.as_ref());
        Ok(grants)
    }

    /// The secret's value now, which is remembered for as long as the call lasts.
    pub(super) async fn value(&self, name: &str, grant: &Grant) -> Result<Value> {
        let sealed = store::secrets::sealed_one(&mut *self.store.read().await?, &grant.secret_id).await?;
        let value = Value::new(seal::open(&self.master, sealed.row(), &sealed.bytes)?.to_vec())?;
        let mut state = self.state();
        if let Some(opened) = state.opened.get_mut(name)
            && !opened.values.contains(&value)
        {
            opened.values.push(value.clone());
            state.redactor = None;
        }
        Ok(value)
    }

    async fn opening(&self, name: String) -> Result<Result<String, String>> {
        let Some(grant) = self.grants(&name).await?.into_iter().next() else {
            return self.denied(&name, None).await.map(Err);
        };
        let placeholder = Placeholder::random()?;
        let placeholder = {
            let mut state = self.state();
            let opened = state.opened.entry(name.clone()).or_insert(Opened { placeholder, values: Vec::new() });
            opened.placeholder.as_str().to_owned()
        };
        self.value(&name, &grant).await?;
        Ok(Ok(placeholder))
    }

    /// Uses a secret in a mode that takes no request.
    async fn used(&self, name: String, mode: Mode) -> Result<Result<Value, String>> {
        for grant in self.grants(&name).await?.into_iter().filter(|grant| grant.mode == mode) {
            if self.spend(&grant, None).await? {
                return self.value(&name, &grant).await.map(Ok);
            }
        }
        self.denied(&name, Some(mode)).await.map(Err)
    }

    /// Counts and tells of a use, unless there was none left.
    pub(super) async fn spend(&self, grant: &Grant, host: Option<String>) -> Result<bool> {
        let (id, subject) = (grant.id.clone(), self.owner.subject.clone());
        let event = Event::SecretAccessed {
            grant_id: grant.id.clone(),
            secret_id: grant.secret_id.clone(),
            name: grant.name.clone(),
            component: self.owner.component.clone(),
            mode: grant.mode.as_str(),
            host,
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let spent = store::grants::spend(tx, &id).await?;
                    if spent {
                        events::record(tx, &subject, event).await?;
                    }
                    Ok(spent)
                })
            })
            .await
    }

    /// Tells of a refusal. The text names the request that would grant it, and nothing that the
    /// component could not know.
    async fn denied(&self, name: &str, mode: Option<Mode>) -> Result<String> {
        let component = &self.owner.component;
        let reason = if self.asked.iter().any(|asked| asked == name) {
            let agent = self.owner.agent.as_ref().map(Name::as_str);
            let (skill, provider) = if agent.is_some() { (Some(component), None) } else { (None, Some(component)) };
            let fields = [
                ("agent_id", agent),
                ("component", skill.map(Name::as_str)),
                ("provider_id", provider.map(Name::as_str)),
                ("secret", Some(name)),
                ("mode", mode.map(Mode::as_str)),
            ];
            let fields = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into())));
            let body = serde_json::Value::Object(fields.collect());
            let to = mode.map_or("use", Mode::verb);
            format!("no grant lets `{component}` {to} the secret {name:?}; this would: POST /v1/vault/grants {body}")
        } else {
            let name: String = name.chars().take(64).collect();
            format!("`{component}` does not ask for a secret {name:?} in its manifest, so it can be granted none")
        };
        self.tell(name, reason.clone()).await?;
        Ok(reason)
    }

    pub(super) async fn tell(&self, name: &str, reason: String) -> Result<()> {
        let name = SecretName::try_from(name.to_owned()).ok();
        let event = Event::SecretDenied { name, component: self.owner.component.clone(), reason };
        let subject = self.owner.subject.clone();
        self.store.write(move |tx| Box::pin(async move { events::record(tx, &subject, event).await })).await
    }

    /// What stands for each that was opened.
    pub(super) fn placeholders(&self) -> Vec<(String, Placeholder)> {
        self.state().opened.iter().map(|(name, opened)| (name.clone(), opened.placeholder.clone())).collect()
    }

    /// What an opened secret was when it was last looked at.
    pub(super) fn last_value(&self, name: &str) -> Result<Value> {
        let last = self.state().opened.get(name).and_then(|opened| opened.values.last().cloned());
        last.ok_or_else(|| Error::internal("an opened secret has no value"))
    }

    /// Guests ask, and the server's threads do the work.
    fn answered<T: Send + 'static>(
        self: Arc<Self>,
        work: impl Future<Output = Result<Result<T, String>>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Denial>> {
        Box::pin(async move {
            let unreadable = |error| {
                tracing::error!(?error, "the vault cannot be read");
                Denial::Other("the vault cannot be read now".to_owned())
            };
            self.server.run(work).await.flatten().map_err(unreadable)?.map_err(Denial::Denied)
        })
    }
}

impl Secrets for OfCall {
    fn open(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<String, Denial>> {
        self.clone().answered(async move { self.opening(name).await })
    }

    fn sign(self: Arc<Self>, name: String, data: Vec<u8>) -> BoxFuture<'static, Result<[u8; 32], Denial>> {
        self.clone().answered(async move {
            let value = self.used(name, Mode::Sign).await?;
            Ok(value.map(|value| digest::hmac(value.expose(), &data)))
        })
    }

    fn reveal(self: Arc<Self>, name: String) -> BoxFuture<'static, Result<Value, Denial>> {
        self.clone().answered(async move { self.used(name, Mode::Reveal).await })
    }

    fn redactor(&self) -> Option<Redactor> {
        let mut state = self.state();
        if state.opened.is_empty() {
            return None;
        }
        let State { opened, redactor } = &mut *state;
        let named = |(name, opened): (&String, &Opened)| {
            opened.values.iter().map(|value| (name.clone(), value.clone())).collect::<Vec<_>>()
        };
        Some(redactor.get_or_insert_with(|| Redactor::new(opened.iter().flat_map(named))).clone())
    }
}

impl std::fmt::Debug for OfCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfCall").field("owner", &self.owner).finish_non_exhaustive()
    }
}
