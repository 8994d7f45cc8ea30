//! A skill's way from one version to another, and back. A version that asks for more than the one
//! before waits for consent to that; until then the old one stays.

use super::{
    consent::{self, Accept},
    skills::{self, Install, Skill, View},
    version::Expected,
};
use crate::{
    app::App,
    error::{Error, Result},
    events::{self, Event, Subject},
    ids::Name,
    plugins::{Description, World},
    store,
};

/// Replaces a skill's component. Calls under way end on the old one; the next one is of the new.
/// It is carried out even if its client leaves.
pub async fn upgrade(app: &App, agent: Name, id: Name, install: Install, expected: Expected) -> Result<Skill> {
    let worker = app.clone();
    app.tasks.carry_out("upgrade", async move { replace(&worker, agent, id, install, expected).await }).await
}

async fn replace(app: &App, agent: Name, id: Name, install: Install, expected: Expected) -> Result<Skill> {
    let Install { source, digest, accept } = install;
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    store::skills::get(&mut db, key, &id).await?;
    drop(db);
    let admitted = skills::admit(app, source, digest, World::Skill).await?;
    let component = Description::clone(&admitted.description);
    let upgraded = app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let current = store::skills::get(tx, key, &id).await?;
                expected.check(&View::from(current.clone()))?;
                let Skill { component: old, accepted: before, .. } = current;
                same_skill(&id, &component.manifest.name)?;
                let named = Accept::names(accept, &component.manifest)?;
                consent::check(&old.manifest, &component.manifest, &named)?;
                let carried = consent::carried(&old.manifest, &before, &component.manifest);
                let accepted = carried.union(&named).cloned().collect();
                if old.digest != component.digest {
                    store::components::insert(tx, &component).await?;
                    store::skills::replace(tx, key, &id, &component.digest, &accepted).await?;
                } else if accepted != before {
                    store::skills::accept(tx, key, &id, &accepted).await?;
                } else {
                    return store::skills::get(tx, key, &id).await;
                }
                let event = Event::SkillUpgraded {
                    skill_id: id.clone(),
                    from: old.digest,
                    to: component.digest,
                    version: component.manifest.version,
                    accepted,
                };
                events::record(tx, &Subject::agent(&agent), event).await?;
                store::skills::get(tx, key, &id).await
            })
        })
        .await;
    drop(admitted);
    // An older version may have lost its last use, or a refused one never had any.
    skills::tidy(app).await;
    upgraded
}

/// Goes back to the version before the last upgrade; once more, and it is the upgraded one again.
pub async fn rollback(app: &App, agent: Name, id: Name) -> Result<Skill> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    let previous = store::skills::get(&mut db, key, &id).await?.previous;
    drop(db);
    if let Some(digest) = previous
        && let Err(why) = app.plugins.check(&digest).await
    {
        return Err(Error::conflict("component_unusable", format!("The version before cannot be used: {why}")));
    }
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let skill = store::skills::get(tx, key, &id).await?;
                let Some(to) = skill.previous else {
                    return Err(Error::conflict("nothing_to_roll_back", format!("Skill '{id}' was never upgraded")));
                };
                store::skills::swap(tx, key, &id).await?;
                let back = Event::SkillRolledBack { skill_id: id.clone(), from: skill.component.digest, to };
                events::record(tx, &Subject::agent(&agent), back).await?;
                store::skills::get(tx, key, &id).await
            })
        })
        .await
}

fn same_skill(id: &Name, name: &Name) -> Result<()> {
    if id == name {
        return Ok(());
    }
    let message = format!("The component is `{name}`, not `{id}`: install it as a skill of its own");
    Err(Error::invalid("another_skill", message))
}
