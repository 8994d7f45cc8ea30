//! Removal of installations.

use moxxy_store::{self as store, Tx, events};
use moxxy_types::{
    components::World,
    error::{Error, Result},
    events::Event,
    installations::InstallationKey,
    jobs::{KEYVALUE_REMOVAL, NewJob},
    tokens::Principal,
};

use serde_json::json;

use crate::{
    background::{Background, Effect, Next, Recurrence},
    services::{
        components::Components,
        etag::Expected,
        installations::{Place, admit, subject},
    },
};

/// Number of values that one transaction of a removal removes.
const VALUES_PER_TRANSACTION: i64 = 1000;

/// Removes an installation with its grants; its key-value data is left to a job. Returns an error if it is a provider that agents use.
pub async fn remove(components: &Components, principal: Principal, (place, expected): (Place, Expected)) -> Result<()> {
    let removing = components.store.write(move |tx| {
        Box::pin(async move {
            let now = tx.now();
            let installation = place.find_expected(tx, &expected, &now).await?;
            let name = installation.name.clone();
            let event = match installation.kind {
                World::Skill => {
                    // They must not apply to another installation of this component.
                    store::questions::revoke_standing_of_skill(tx, installation.agent, &name).await?;
                    Event::SkillRemoved { skill_id: name }
                }
                World::Provider => {
                    let agents = store::agents::of_provider(tx, &name).await?;
                    if !agents.is_empty() {
                        let message = format!("Provider '{name}' is used by: {}", agents.join(", "));
                        return Err(Error::conflict("provider_in_use", message));
                    }
                    Event::ProviderRemoved { provider_id: name }
                }
            };
            if store::keyvalue::any_of(tx, installation.key).await? {
                let removal = NewJob {
                    kind: KEYVALUE_REMOVAL,
                    key: format!("{KEYVALUE_REMOVAL}:{}", installation.key.0),
                    agent: installation.agent,
                    origin: Some(installation.id.to_string()),
                    payload: json!(installation.key.0),
                    due_at: now,
                    created_by: principal.name().to_owned(),
                };
                store::jobs::insert(tx, &removal).await?;
            }
            store::installations::delete(tx, installation.key).await?;
            events::record(tx, &subject(&installation, &principal), event).await?;
            Ok(installation)
        })
    });
    let removed = removing.await?;
    if removed.kind == World::Provider {
        components.models.forget(&removed.name);
        components.concurrency.forget(&removed.name);
    }
    admit::remove_unused(components).await
}

/// Registers the job that removes the key-value data of removed skills in pieces, so that others can write in between.
pub fn register_jobs(components: &Components, background: &Background) {
    let store = components.store.clone();
    background.register(KEYVALUE_REMOVAL, Recurrence::Once, move |job| {
        let store = store.clone();
        async move {
            let key = job.payload.as_i64().map(InstallationKey);
            let key = key.ok_or_else(|| Error::internal("a removal without an installation"))?;
            while !store.write(move |tx| Box::pin(remove_values(tx, key))).await? {}
            Ok(Effect::none(Next::Done))
        }
    });
}

async fn remove_values(tx: &mut Tx, key: InstallationKey) -> Result<bool> {
    store::keyvalue::remove_rows(tx, key, VALUES_PER_TRANSACTION).await
}
