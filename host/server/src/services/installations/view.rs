//! Installations as clients see them: the same for every kind.

use moxxy_types::{
    checks::Summary, components::Tool, digest::Digest, host_port::HostPort, ids::InstallationId,
    installations::Installation,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::services::{
    components::Components,
    guarantees,
    installations::Version,
    permissions::{self, GrantedPermissions, Permissions},
    source,
};

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
