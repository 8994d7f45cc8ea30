//! Secrets, sealed at rest. Their values are written over REST and never read.

use moxxy_secrets::{self as secrets, Row, seal};
use moxxy_store::{self as store, events};
use moxxy_types::{
    error::{InvalidFields, Result},
    events::{Event, EventContext},
    ids::{SecretId, SecretName},
    paging::{Page, PageRequest},
    secrets::Secret,
    tokens::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use zeroize::Zeroizing;

use crate::services::{etag::Expected, vault::Vault};

/// Maximum length of a description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// A secret's value as clients send it. Nothing shows it.
#[derive(JsonSchema)]
#[schemars(with = "String", inline, extend("writeOnly" = true, "minLength" = 1))]
pub struct Value(Zeroizing<String>);

/// A secret to be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// By which components ask for it; no other secret has it.
    pub name: SecretName,
    /// 1 byte to 64 KiB. It is never shown again.
    pub value: Value,
    /// What it is for, at most 1024 bytes.
    pub description: Option<String>,
}

/// Another value for a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// 1 byte to 64 KiB. It is never shown again.
    pub value: Value,
    /// In place of the one before; what is absent stays.
    pub description: Option<String>,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A message of our own, because the parser's would contain the value.
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom("expected a text"))?;
        Ok(Self(Zeroizing::new(text)))
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Value")
    }
}

/// Returns a page of secrets without their values, oldest first.
pub async fn list(vault: &Vault, page: &PageRequest) -> Result<Page<Secret>> {
    let secrets = store::secrets::list(&mut *vault.store.read().await?, page).await?;
    Ok(page.cut(secrets, |secret| secret.id.to_string()))
}

pub async fn get(vault: &Vault, id: &SecretId) -> Result<Secret> {
    store::secrets::get(&mut *vault.store.read().await?, id).await
}

/// Stores a new secret.
pub async fn create(vault: &Vault, principal: Principal, new: NewSecret) -> Result<Secret> {
    check(&new.value, new.description.as_deref())?;
    let (id, version) = (SecretId::random(), 1);
    let row = Row { id: id.as_str(), name: new.name.as_str(), version };
    let sealed = seal(&vault.master, row, new.value.0.as_bytes())?;
    vault
        .store
        .write(move |tx| {
            Box::pin(async move {
                let (by, now) = (principal.name().to_owned(), tx.now());
                let secret = Secret {
                    id,
                    name: new.name,
                    description: new.description,
                    version,
                    created_by: by.clone(),
                    created_at: now.clone(),
                    updated_at: now,
                };
                store::secrets::insert(tx, &secret, &sealed).await?;
                let event = Event::SecretCreated { secret_id: secret.id.clone(), name: secret.name.clone(), by };
                events::record(tx, &EventContext::default().by(principal.name()), event).await?;
                Ok(secret)
            })
        })
        .await
}

/// Replaces the value of a secret. The next call uses it. The result does not reveal whether the value differs.
pub async fn rotate(
    vault: &Vault,
    principal: Principal,
    id: SecretId,
    new: NewValue,
    expected: Expected,
) -> Result<Secret> {
    check(&new.value, new.description.as_deref())?;
    let master = vault.master.clone();
    vault
        .store
        .write(move |tx| {
            Box::pin(async move {
                let mut secret = store::secrets::get(tx, &id).await?;
                expected.check(&secret)?;
                secret.version += 1;
                secret.description = new.description.or(secret.description);
                secret.updated_at = tx.now();
                let sealed = seal(&master, row(&secret), new.value.0.as_bytes())?;
                store::secrets::update(tx, &secret, &sealed).await?;
                let by = principal.name().to_owned();
                let subject = EventContext::default().by(&by);
                let event = Event::SecretRotated { secret_id: id, name: secret.name.clone(), by };
                events::record(tx, &subject, event).await?;
                Ok(secret)
            })
        })
        .await
}

/// Removes a secret with its value.
pub async fn remove(vault: &Vault, principal: Principal, id: SecretId, expected: Expected) -> Result<()> {
    vault
        .store
        .write(move |tx| {
            Box::pin(async move {
                let secret = store::secrets::get(tx, &id).await?;
                expected.check(&secret)?;
                store::secrets::delete(tx, &id).await?;
                let by = principal.name().to_owned();
                let subject = EventContext::default().by(&by);
                let event = Event::SecretDeleted { secret_id: id, name: secret.name, by };
                events::record(tx, &subject, event).await
            })
        })
        .await
}

fn row(secret: &Secret) -> Row<'_> {
    Row { id: secret.id.as_str(), name: secret.name.as_str(), version: secret.version }
}

fn check(Value(value): &Value, description: Option<&str>) -> Result<()> {
    let mut wrong = InvalidFields::default();
    if !(1..=secrets::Value::MAX_BYTES).contains(&value.len()) {
        wrong.push("value", format!("it has 1 to {} bytes", secrets::Value::MAX_BYTES));
    }
    if description.is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
        wrong.push("description", format!("it has at most {MAX_DESCRIPTION_BYTES} bytes"));
    }
    wrong.into_result()
}
