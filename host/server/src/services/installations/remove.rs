//! Removal of installations.

use moxxy_store::{self as store, events};
use moxxy_types::{
    components::World,
    error::{Error, Result},
    events::Event,
    tokens::Principal,
};

use crate::services::{
    components::Components,
    etag::Expected,
    installations::{Place, admit, subject},
};

/// Removes an installation with its grants and key-value data. Returns an error if it is a provider that agents use.
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
