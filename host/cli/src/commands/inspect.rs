//! `moxxy inspect`: runs the install pipeline on a component, without a server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use moxxy_runtime::{Plugins, Prepared};
use moxxy_server::{
    config::{Config, Flags},
    services::permissions,
};
use moxxy_types::{
    components::Description,
    digest::Digest,
    error::{Error, Result},
    ids,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{failure::CliResult, terminal::Terminal};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component's file.
    file: PathBuf,
}

/// Component that is loaded until this value is dropped.
pub(crate) struct Admitted {
    pub plugins: Plugins,
    pub prepared: Arc<Prepared>,
    _folder: TempDir,
}

/// Runs all steps of an install on a component, except storing it.
pub(crate) async fn inspect(flags: &Flags, file: &Path) -> Result<Description> {
    let bytes = std::fs::read(file)
        .map_err(|e| Error::invalid("unreadable_component", format!("Cannot read {}: {e}", file.display())))?;
    Ok(Description::clone(&admit(flags, bytes).await?.prepared.description))
}

/// Loads a component without a server.
pub(crate) async fn admit(flags: &Flags, bytes: Vec<u8>) -> Result<Admitted> {
    let config = Config::load(flags)?;
    let folder = TempDir::new().map_err(Error::internal)?;
    let plugins = Plugins::new(&config.plugins, folder.path(), &folder.path().join("cache"), ids::random()?)?;
    let prepared = plugins.admit(Digest::compute(&bytes), bytes).await?;
    Ok(Admitted { plugins, prepared, _folder: folder })
}

pub(crate) async fn run(flags: Flags, terminal: Terminal, args: Args) -> CliResult {
    let description = inspect(&flags, &args.file).await?;
    match terminal.json {
        true => terminal.document(&format!("{:#}", json!(description))),
        false => terminal.print(&text(&description)),
    }
}

/// Formats the description for people.
pub(crate) fn text(component: &Description) -> String {
    let manifest = &component.manifest;
    let mut lines = vec![
        format!("{} {}: a {}", manifest.name, manifest.version, component.world.into_str()),
        format!("  {}", manifest.description),
        format!("  {}, {} bytes", component.digest, component.size),
    ];
    let hosts =
        manifest.hosts.iter().map(|host| format!("asks for {}: {}", permissions::host_permission(host), host.reason));
    let secrets = manifest.secrets.iter();
    let secrets =
        secrets.map(|secret| format!("asks for {}: {}", permissions::secret_permission(secret), secret.reason));
    let tools = component.tools.iter().map(|tool| format!("tool {}: {}", tool.name, tool.description));
    lines.extend(hosts.chain(secrets).chain(tools).map(|line| format!("  {line}")));
    // An install rejects control characters, which could change what a terminal shows. Only the line breaks of
    // texts are left.
    lines.into_iter().map(|line| line.replace('\n', "\n    ") + "\n").collect()
}
