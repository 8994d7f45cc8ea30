//! Admission of components: read, checked, compiled and stored by their digest. Those that nothing uses are removed.

use std::sync::Arc;

use moxxy_runtime::Prepared;
use moxxy_store as store;
use moxxy_system::tasks;
use moxxy_types::{
    components::World,
    digest::Digest,
    error::{Error, Result},
};
use tokio::sync::RwLockReadGuard;

use crate::services::{components::Components, installations::download::download, source::Source};

/// An admitted component. While this exists, no unused components are removed.
pub(super) struct Admitted<'a> {
    prepared: Arc<Prepared>,
    _installing: RwLockReadGuard<'a, ()>,
}

impl std::ops::Deref for Admitted<'_> {
    type Target = Prepared;
    fn deref(&self) -> &Prepared {
        &self.prepared
    }
}

/// Returns an error if the digest is not the one that the client expects.
pub(super) fn same_digest(expected: Option<Digest>, actual: &Digest) -> Result<()> {
    match expected.filter(|expected| expected != actual) {
        Some(expected) => {
            let message = format!("The component's digest is {actual}, not {expected}");
            Err(Error::invalid("digest_mismatch", message))
        }
        None => Ok(()),
    }
}

/// Reads, checks and compiles a component. `world`: the only kind that is allowed, if there is one.
pub(super) async fn admit(
    components: &Components,
    source: Source,
    digest: Option<Digest>,
    world: Option<World>,
) -> Result<Admitted<'_>> {
    let installing = components.installing.read().await;
    let (limit, folders) = (components.config.server.upload_limit, components.config.plugins.folders.clone());
    let source = match source {
        Source::Url(_) if digest.is_none() => {
            let reason = "required with `url`: send the component's digest (`sha256:…`)";
            return Err(Error::invalid_field("digest", reason));
        }
        Source::Url(url) => Source::Upload(download(components, &url, limit).await?),
        other => other,
    };
    // Decoding and hashing megabytes blocks the thread.
    let read = move || source.bytes(limit, &folders, world).map(|bytes| (Digest::compute(&bytes), bytes));
    let (actual, bytes) = tasks::blocking(read).await??;
    same_digest(digest, &actual)?;
    let prepared = components.plugins.admit(actual, bytes).await?;
    let admitted = Admitted { prepared, _installing: installing };
    let found = admitted.description.world;
    if world.is_some_and(|world| world != found) {
        let place = match found {
            World::Skill => "POST /v1/agents/{name}/skills/install",
            World::Provider => "POST /v1/providers",
        };
        drop(admitted);
        try_remove_unused(components).await;
        return Err(Error::invalid(
            "wrong_world",
            format!("The component is a {}; install it by {place}", found.into_str()),
        ));
    }
    Ok(admitted)
}

/// Removes unused components like [`remove_unused`], but only logs a failure.
pub(super) async fn try_remove_unused(components: &Components) {
    if let Err(error) = remove_unused(components).await {
        tracing::error!(error = ?error, "failed to remove unused components");
    }
}

/// Removes unused components. During an installation it does nothing: the next removal or start removes them.
pub(in crate::services) async fn remove_unused(components: &Components) -> Result<()> {
    let Ok(_alone) = components.installing.try_write() else { return Ok(()) };
    let used = match components.store.write(|tx| Box::pin(store::components::delete_unused(tx))).await {
        // On a full disk, components that were not installed must be removed all the more.
        Err(error) if error.is_storage_error() => {
            store::components::digests(&mut *components.store.read().await?).await?
        }
        done => done?,
    };
    components.plugins.retain(&used).await
}
