//! Issues grants of secrets to components, for the requested hosts and place unless the terms name others.

use moxxy_egress::configured;
use moxxy_secrets::inject::MIN_VALUE_BYTES;
use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    components::{Description, Manifest, SecretRequest, World},
    digest::Digest,
    error::{Error, Result},
    events::{Event, EventContext},
    grants::{Grant, Mode},
    ids::{GrantId, InstallationId, Name, SecretName},
    installations::{Installation, InstallationKey},
    secrets::Secret,
};
use serde_json::{Map, Value};

use crate::services::permissions;

/// A component that may be granted secrets.
#[derive(Debug)]
pub struct Candidate {
    pub holder: InstallationKey,
    id: InstallationId,
    kind: World,
    name: Name,
    agent: Option<Name>,
    digest: Digest,
    manifest: Manifest,
    /// Configuration, which may contain its hosts.
    config: Map<String, Value>,
}

/// Terms of a grant.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub mode: Mode,
    pub hosts: Option<Vec<String>>,
    pub place: Option<String>,
    pub expires_at: Option<String>,
    pub max_uses: Option<i64>,
}

/// Issues grants of one secret.
#[derive(Debug)]
pub(super) struct GrantIssuer<'a> {
    pub secret: &'a Secret,
    /// Name of the principal that grants it.
    pub by: &'a str,
    pub terms: Terms,
}

impl Candidate {
    pub fn new(installation: &Installation) -> Self {
        Self {
            holder: installation.key,
            id: installation.id.clone(),
            kind: installation.kind,
            name: installation.name.clone(),
            agent: installation.agent_id.clone(),
            digest: installation.component.digest.clone(),
            manifest: installation.component.manifest.clone(),
            config: installation.config.clone(),
        }
    }

    /// Returns the candidate for another component in its place.
    #[must_use]
    pub fn with_component(self, component: &Description) -> Self {
        Self { digest: component.digest.clone(), manifest: component.manifest.clone(), ..self }
    }

    /// Returns the request for the secret of this name.
    pub fn request_for(&self, name: &SecretName) -> Option<&SecretRequest> {
        self.manifest.secrets.iter().find(|wish| wish.name == name.as_str())
    }

    pub fn requests(&self) -> &[SecretRequest] {
        &self.manifest.secrets
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Replaces `config:NAME` hosts by those in the configuration. The grant stores the result.
    fn resolved(&self, hosts: Vec<String>) -> Result<Vec<String>> {
        let resolve = |host: String| match host.strip_prefix("config:") {
            None => Ok(host),
            Some(option) => configured::origin(option, &self.config)
                .map(|origin| permissions::destination(&origin))
                .ok_or_else(|| {
                    let message =
                        format!("It would be sent to the host in `{option}`, which is not configured: do that first");
                    Error::conflict("not_configured", message)
                }),
        };
        hosts.into_iter().map(resolve).collect()
    }
}

impl GrantIssuer<'_> {
    /// Grants the secret for a component's request. Returns an equal grant that is in effect instead, if there is one.
    pub(super) async fn issue(&self, tx: &mut Tx, candidate: &Candidate, wish: &SecretRequest) -> Result<Grant> {
        let (secret, terms) = (self.secret, &self.terms);
        let (hosts, place) = match terms.mode {
            Mode::Inject => (
                candidate.resolved(terms.hosts.clone().unwrap_or_else(|| wish.hosts.clone()))?,
                terms.place.clone().unwrap_or_else(|| wish.place.clone()),
            ),
            // These modes do not send the secret.
            Mode::Sign | Mode::Reveal => (Vec::new(), String::new()),
        };
        if terms.mode == Mode::Inject && store::secrets::length(tx, &secret.id).await? < MIN_VALUE_BYTES {
            let message =
                format!("Secret '{}' has fewer than {MIN_VALUE_BYTES} bytes: too few to be injected", secret.name);
            return Err(Error::invalid("secret_too_short", message));
        }
        let (skill_id, provider_id) = match candidate.kind {
            World::Skill => (Some(candidate.name.clone()), None),
            World::Provider => (None, Some(candidate.name.clone())),
        };
        let grant = Grant {
            id: GrantId::random(),
            secret_id: secret.id.clone(),
            secret: secret.name.clone(),
            name: SecretName::from_db(wish.name.clone()),
            installation_id: candidate.id.clone(),
            agent_id: candidate.agent.clone(),
            skill_id,
            provider_id,
            digest: candidate.digest.clone(),
            mode: terms.mode,
            hosts,
            place,
            expires_at: terms.expires_at.clone(),
            max_uses: terms.max_uses,
            uses: 0,
            granted_by: self.by.to_owned(),
            created_at: tx.now(),
        };
        let others = store::grants::list_of_holder(tx, candidate.holder, &grant.digest).await?;
        if let Some(equal) =
            others.iter().find(|other| other.has_same_terms(&grant) && other.is_usable(&grant.created_at))
        {
            return Ok(equal.clone());
        }
        of_one_secret(&others, &grant)?;
        insert(tx, candidate.holder, &grant).await?;
        Ok(grant)
    }
}

/// Stores a grant and records its event.
pub(super) async fn insert(tx: &mut Tx, holder: InstallationKey, grant: &Grant) -> Result<()> {
    store::grants::insert(tx, holder, grant).await?;
    record_event(tx, grant, &grant.granted_by, granted(grant)).await
}

pub(super) async fn record_event(tx: &mut Tx, grant: &Grant, by: &str, event: Event) -> Result<()> {
    let subject = grant.agent_id.as_ref().map_or_else(EventContext::default, EventContext::agent);
    events::record(tx, &subject.by(by), event).await
}

pub(super) fn granted(grant: &Grant) -> Event {
    let grant = grant.clone();
    Event::Granted {
        grant_id: grant.id,
        secret_id: grant.secret_id,
        name: grant.name,
        skill_id: grant.skill_id,
        provider_id: grant.provider_id,
        digest: grant.digest,
        mode: grant.mode.into_str(),
        hosts: grant.hosts,
        place: grant.place,
        expires_at: grant.expires_at,
        max_uses: grant.max_uses,
        by: grant.granted_by,
    }
}

/// Checks that a component's name stands for only one secret.
fn of_one_secret(others: &[Grant], grant: &Grant) -> Result<()> {
    let another = |other: &&Grant| other.name == grant.name && other.secret_id != grant.secret_id;
    let other = others.iter().filter(another).find(|other| other.is_usable(&grant.created_at));
    let Some(Grant { id, name, secret, .. }) = other else { return Ok(()) };
    let message = format!("Its secret '{name}' is '{secret}' already, by the grant {id}: revoke that first");
    Err(Error::conflict("name_taken", message))
}
