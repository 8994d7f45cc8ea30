//! Installations as clients see them: the same for every kind.

use moxxy_store::{self as store, Db};
use moxxy_types::{
    checks::Summary,
    components::{Tool, World},
    digest::Digest,
    error::Result,
    host_port::HostPort,
    ids::{InstallationId, Name},
    installations::{EnabledAgents, Filter, Installation},
    paging::{Page, PageRequest},
    permissions::All,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    etag::Versioned,
    guarantees,
    installations::Version,
    permissions::{self, GrantedPermissions, Permissions},
    source,
};

/// An installation as clients see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Installation")]
pub struct View {
    /// Id of the installation.
    pub id: InstallationId,
    pub kind: World,
    /// Name, unique for its kind and agent.
    pub name: Name,
    /// Agent that it is installed for; `null`: the server.
    pub agent_id: Option<Name>,
    /// Agents that may use a skill of the server: names, or `"all"`. `null` for other installations.
    pub agents: Option<EnabledAgents>,
    #[serde(flatten)]
    pub details: Details,
}

/// What clients see of an installation of any kind.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Details {
    /// The installation's id.
    pub installation_id: InstallationId,
    /// Version of the component, from its manifest.
    pub version: String,
    /// Description of the component, from its manifest.
    pub description: String,
    pub digest: Digest,
    /// Size of the component, in bytes.
    pub size: usize,
    /// Tools that a model can call as `skill__tool`. Empty if it is not a skill.
    pub tools: Vec<Tool>,
    /// Configuration.
    pub config: Map<String, Value>,
    /// JSON Schema of the configuration; `null` if the component has no options.
    pub config_schema: Option<Value>,
    /// Maximum number of concurrent completions of a provider; `null`: the server's default. Always `null` for a skill.
    pub concurrency: Option<u32>,
    /// Permissions that the manifest requests.
    pub asked: Permissions,
    /// Requested permissions that are granted: hosts, and grants of secrets that are in effect now.
    pub granted: GrantedPermissions,
    /// Requested permissions that are not granted. A call that needs one fails with an error that says how to grant it.
    pub missing: Permissions,
    /// What the component can never do, in sentences without a subject.
    pub never: Vec<String>,
    /// Always `unsigned`: this version does not check signatures.
    pub signature: &'static str,
    /// Result of a provider's last check with its current component and configuration. Always `null` for a skill.
    pub check: Option<Summary>,
    /// Digest of the version that a rollback restores.
    pub previous: Option<Digest>,
    /// Digest of the component of this name in the server's binary, if it replaces the installed one: upgrade with
    /// `{"component": {"bundled": NAME}}`.
    pub bundled_update: Option<Digest>,
    /// Time of the installation (RFC 3339, UTC).
    pub created_at: String,
    /// Time of the last change (RFC 3339, UTC).
    pub updated_at: String,
    #[serde(skip)]
    pub(in crate::services) etag: Version,
}

/// Returns a page of installations, oldest first.
pub async fn list(
    components: &Components,
    agent: Option<&Name>,
    kind: Option<World>,
    page: &PageRequest,
) -> Result<Page<View>> {
    let mut db = components.store.read().await?;
    let agent = match agent {
        Some(agent) => Some(store::agents::get(&mut db, agent).await?.key),
        None => None,
    };
    let Page { items, next } = store::installations::page(&mut db, &Filter { agent, kind }, page).await?;
    let mut views = Vec::with_capacity(items.len());
    for installation in items {
        views.push(view(components, &mut db, installation).await?);
    }
    Ok(Page { items: views, next })
}

pub async fn get(components: &Components, id: &InstallationId) -> Result<View> {
    let mut db = components.store.read().await?;
    let installation = store::installations::by_id(&mut db, id).await?;
    view(components, &mut db, installation).await
}

/// Returns the view of an installation that a request has changed.
pub async fn changed(components: &Components, installation: Installation) -> Result<View> {
    view(components, &mut *components.store.read().await?, installation).await
}

async fn view(components: &Components, db: &mut Db, installation: Installation) -> Result<View> {
    let agents = match (installation.kind, installation.agent) {
        (World::Skill, None) if installation.all_agents => Some(EnabledAgents::All(All::All)),
        (World::Skill, None) => Some(EnabledAgents::Names(store::installations::agents(db, installation.key).await?)),
        _ => None,
    };
    Ok(View {
        id: installation.id.clone(),
        kind: installation.kind,
        name: installation.name.clone(),
        agent_id: installation.agent_id.clone(),
        agents,
        details: Details::new(components, installation),
    })
}

impl Versioned for View {
    fn version(&self) -> Result<String> {
        self.details.etag.version()
    }
}

impl Details {
    /// Builds the view for now.
    pub fn new(components: &Components, installation: Installation) -> Self {
        Self::at(installation, &components.store.clock().timestamp(), &components.config.egress.private)
    }

    /// Builds the view at the time `now`. `private`: private addresses that are open to every component.
    fn at(installation: Installation, now: &str, private: &[HostPort]) -> Self {
        let etag = Version::new(&installation, now);
        let (asked, granted, missing) = permissions::summarize_installation(&installation, now, private);
        let never = guarantees::list(&installation.component, &granted);
        let component = installation.component;
        Self {
            installation_id: installation.id,
            bundled_update: source::bundled_update(&component),
            version: component.manifest.version,
            description: component.manifest.description,
            digest: component.digest,
            size: component.size,
            tools: component.tools,
            config: installation.config,
            config_schema: component.manifest.config_schema,
            concurrency: installation.concurrency,
            asked,
            granted,
            missing,
            never,
            signature: "unsigned",
            check: installation.check,
            previous: installation.previous,
            created_at: installation.created_at,
            updated_at: installation.updated_at,
            etag,
        }
    }
}
