//! Key-value storage of skills. A job deletes it after its skill or its agent was deleted.

use moxxy_types::{agents::AgentKey, components::Staged, error::Result, installations::InstallationKey};

use super::{Db, Tx};

pub async fn get(db: &mut Db, (skill, agent): (InstallationKey, AgentKey), key: &str) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM keyvalue WHERE installation = ? AND agent = ? AND key = ?";
    Ok(sqlx::query_scalar(sql).bind(skill.0).bind(agent.0).bind(key).fetch_optional(db).await?)
}

/// Returns the keys, in byte order.
pub async fn keys(db: &mut Db, (skill, agent): (InstallationKey, AgentKey)) -> Result<Vec<String>> {
    let sql = "SELECT key FROM keyvalue WHERE installation = ? AND agent = ? ORDER BY key";
    Ok(sqlx::query_scalar(sql).bind(skill.0).bind(agent.0).fetch_all(db).await?)
}

/// Sets a value. `None` removes it.
pub async fn put(
    tx: &mut Tx,
    (skill, agent): (InstallationKey, AgentKey),
    key: &str,
    value: Option<&[u8]>,
) -> Result<()> {
    let query = match value {
        Some(value) => {
            let sql = "INSERT INTO keyvalue (installation, agent, key, value) VALUES (?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET value = excluded.value";
            sqlx::query(sql).bind(skill.0).bind(agent.0).bind(key).bind(value)
        }
        None => {
            let sql = "DELETE FROM keyvalue WHERE installation = ? AND agent = ? AND key = ?";
            sqlx::query(sql).bind(skill.0).bind(agent.0).bind(key)
        }
    };
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Whether an installation has values.
pub async fn any_of(db: &mut Db, skill: InstallationKey) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM keyvalue WHERE installation = ?)";
    Ok(sqlx::query_scalar(sql).bind(skill.0).fetch_one(db).await?)
}

/// Removes up to `max` values of a deleted installation. Returns whether none are left.
pub async fn remove_rows(tx: &mut Tx, skill: InstallationKey, max: i64) -> Result<bool> {
    let sql = "DELETE FROM keyvalue WHERE rowid IN (SELECT rowid FROM keyvalue WHERE installation = ? LIMIT ?)";
    let removed = sqlx::query(sql).bind(skill.0).bind(max).execute(&mut **tx).await?.rows_affected();
    Ok(i64::try_from(removed).is_ok_and(|removed| removed < max))
}

/// Returns the number of values, and the total size of keys and values in bytes, after applying these writes.
pub async fn size_with(
    db: &mut Db,
    (skill, agent): (InstallationKey, AgentKey),
    staged: &Staged,
) -> Result<(i64, i64)> {
    let sql = "SELECT COUNT(*), COALESCE(SUM(LENGTH(CAST(key AS BLOB)) + LENGTH(value)), 0) FROM keyvalue
               WHERE installation = ? AND agent = ?";
    let (mut keys, mut bytes): (i64, i64) = sqlx::query_as(sql).bind(skill.0).bind(agent.0).fetch_one(&mut *db).await?;
    let size = |key: &str, value: usize| i64::try_from(key.len() + value).unwrap_or(i64::MAX);
    for (key, value) in staged {
        let sql = "SELECT LENGTH(value) FROM keyvalue WHERE installation = ? AND agent = ? AND key = ?";
        let old: Option<i64> =
            sqlx::query_scalar(sql).bind(skill.0).bind(agent.0).bind(key).fetch_optional(&mut *db).await?;
        if let Some(old) = old {
            (keys, bytes) = (keys - 1, bytes - old - size(key, 0));
        }
        if let Some(value) = value {
            (keys, bytes) = (keys + 1, bytes.saturating_add(size(key, value.len())));
        }
    }
    Ok((keys, bytes))
}
