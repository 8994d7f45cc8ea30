//! A skill's way from one version to another, and back. A version that asks for more than the one
//! before waits for consent to that; until then the old one stays.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    skills::{self, Skill},
    source::Source,
};
use crate::{
    app::App,
    digest::Digest,
    error::{Detail, Error, Problem, Result},
    events::{self, Event, Subject},
    ids::Name,
    plugins::{Manifest, World},
    store,
};

/// What the operator consents to: names such as `host:api.example.com GET+POST`, or all.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "it is \"all\" or a list of names")]
pub enum Accept {
    All(All),
    Names(BTreeSet<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    All,
}

/// Replaces a skill's component. Calls under way end on the old one; the next one is of the new.
pub async fn upgrade(
    app: &App,
    agent: Name,
    id: Name,
    source: Source,
    digest: Option<Digest>,
    accept: Option<Accept>,
) -> Result<Skill> {
    let mut db = app.store.read().await?;
    let key = store::agents::get(&mut db, &agent).await?.key;
    store::skills::get(&mut db, key, &id).await?;
    drop(db);
    let admitted = skills::admit(app, source, digest, World::Skill).await?;
    let component = admitted.description.clone();
    let upgraded = app
        .store
        .write(move |tx| {
            Box::pin(async move {
                let old = store::skills::get(tx, key, &id).await?.component;
                check(&id, &old.manifest, &component.manifest, accept)?;
                if old.digest == component.digest {
                    return store::skills::get(tx, key, &id).await;
                }
                store::components::insert(tx, &component).await?;
                store::skills::replace(tx, key, &id, &component.digest).await?;
                let event = Event::SkillUpgraded {
                    skill_id: id.clone(),
                    from: old.digest,
                    to: component.digest,
                    version: component.manifest.version,
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
    app.store
        .write(move |tx| {
            Box::pin(async move {
                let key = store::agents::get(tx, &agent).await?.key;
                let skill = store::skills::get(tx, key, &id).await?;
                let Some(to) = skill.previous else {
                    return Err(Error::conflict("nothing_to_roll_back", format!("Skill '{id}' was never upgraded")));
                };
                store::skills::replace(tx, key, &id, &to).await?;
                let back = Event::SkillRolledBack { skill_id: id.clone(), from: skill.component.digest, to };
                events::record(tx, &Subject::agent(&agent), back).await?;
                store::skills::get(tx, key, &id).await
            })
        })
        .await
}

fn check(id: &Name, old: &Manifest, new: &Manifest, accept: Option<Accept>) -> Result<()> {
    if new.name != *id {
        let message = format!("The component is `{}`, not `{id}`: install it as a skill of its own", new.name);
        return Err(Error::invalid("another_skill", message));
    }
    let accepted = match accept {
        Some(Accept::All(All::All)) => return Ok(()),
        Some(Accept::Names(names)) => names,
        None => BTreeSet::new(),
    };
    let more: Vec<_> = asked(new).difference(&asked(old)).filter(|name| !accepted.contains(*name)).cloned().collect();
    if more.is_empty() {
        return Ok(());
    }
    let message = format!("The new version asks for more: {}. Consent with `accept`", more.join(", "));
    let details = more.into_iter().map(|name| Detail { field: "accept".into(), reason: name }).collect();
    Err(Error::Conflict(Problem::new("consent_required", message), details))
}

/// The names of what a component asks for. How a host is used and where a secret may go are part
/// of the wish.
fn asked(manifest: &Manifest) -> BTreeSet<String> {
    let hosts = manifest.hosts.iter().map(|host| format!("host:{} {}", host.host, host.methods.join("+")));
    let secrets = manifest.secrets.iter();
    let secrets = secrets.map(|secret| format!("secret:{} {} {}", secret.name, secret.place, secret.hosts.join("+")));
    hosts.chain(secrets).map(|name| name.trim_end().to_owned()).collect()
}
