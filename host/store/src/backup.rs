//! Backups: a copy of the database in one file, with the components in an additional table. A restored database
//! is marked; the mark suspends all activity until an operator activates it.

use std::path::Path;

use moxxy_types::{
    database,
    digest::Digest,
    error::{Error, Result},
};
use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Db, Tx, migration};

/// Version of the backup format.
const FORMAT_VERSION: i64 = 1;
/// Offset that a restore adds to event positions. Without it, a client that read past the backup would find
/// different events at positions that it has already seen.
const POSITION_OFFSET: i64 = 1_000_000_000;

/// The time of a backup and the version of Moxxy that wrote it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BackupInfo {
    pub taken_at: String,
    pub version: String,
}

/// Opens a backup file. Nobody else uses it and it is useless until complete, so the journal stays in memory.
pub async fn open(path: &Path) -> Result<Db> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental);
    options.connect().await.map_err(|error| match database::is_damaged(&error) {
        true => unreadable(path, &error.to_string()),
        false => error.into(),
    })
}

/// Closes a file and completes it.
pub async fn close(db: Db) -> Result<()> {
    Ok(db.close().await?)
}

/// Turns a copy of the database into a backup.
pub async fn begin(db: &mut Db, about: &BackupInfo) -> Result<()> {
    sqlx::raw_sql(
        "CREATE TABLE backup (format INTEGER NOT NULL, taken_at TEXT NOT NULL, version TEXT NOT NULL) STRICT;
         CREATE TABLE backup_components (digest TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )
    .execute(&mut *db)
    .await?;
    let sql = "INSERT INTO backup (format, taken_at, version) VALUES (?, ?, ?)";
    sqlx::query(sql).bind(FORMAT_VERSION).bind(&about.taken_at).bind(&about.version).execute(db).await?;
    Ok(())
}

pub async fn add(db: &mut Db, digest: &Digest, bytes: &[u8]) -> Result<()> {
    let sql = "INSERT INTO backup_components (digest, bytes) VALUES (?, ?)";
    sqlx::query(sql).bind(digest.as_str()).bind(bytes).execute(db).await?;
    Ok(())
}

/// Checks that a file is a complete backup which this version can restore, and returns its metadata.
pub async fn read(db: &mut Db, path: &Path) -> Result<BackupInfo> {
    let version = migration::version(db, path).await.map_err(|error| match error.code() {
        "database_too_new" => error,
        _ => unreadable(path, "it is something else, or damaged"),
    })?;
    let is_there = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('backup', 'backup_components')";
    let tables: i64 = sqlx::query_scalar(is_there).fetch_one(&mut *db).await?;
    if version == 0 || tables != 2 {
        return Err(unreadable(path, "it is something else"));
    }
    let check = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *db).await;
    let check: String = check.unwrap_or_else(|error| error.to_string());
    if check != "ok" {
        return Err(unreadable(path, &format!("it is damaged: {check}")));
    }
    let format: i64 = sqlx::query_scalar("SELECT format FROM backup").fetch_one(&mut *db).await?;
    if format != FORMAT_VERSION {
        return Err(unreadable(path, &format!("its format is {format}, of a newer Moxxy")));
    }
    Ok(sqlx::query_as("SELECT taken_at, version FROM backup").fetch_one(db).await?)
}

pub async fn component(db: &mut Db, digest: &Digest) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT bytes FROM backup_components WHERE digest = ?";
    Ok(sqlx::query_scalar(sql).bind(digest.as_str()).fetch_optional(db).await?)
}

/// Turns a backup into a database that is marked as restored.
pub async fn convert_to_database(db: &mut Db, path: &Path, about: &BackupInfo, now: &str) -> Result<()> {
    sqlx::raw_sql("DROP TABLE backup_components; DROP TABLE backup").execute(&mut *db).await?;
    migration::run_migrations(db, path).await?;
    let insert_mark = "INSERT INTO restored (only, taken_at, restored_at) VALUES (1, ?1, ?2)
                ON CONFLICT DO UPDATE SET taken_at = ?1, restored_at = ?2";
    sqlx::query(insert_mark).bind(&about.taken_at).bind(now).execute(&mut *db).await?;
    let shift_positions = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'";
    sqlx::query(shift_positions).bind(POSITION_OFFSET).execute(&mut *db).await?;
    sqlx::query("VACUUM").execute(db).await?;
    Ok(())
}

/// Whether the database was restored and not yet activated.
pub async fn is_restored(db: &mut Db) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM restored)").fetch_one(db).await?)
}

/// Removes the mark. Returns `false` if there was none.
pub async fn activate(tx: &mut Tx) -> Result<bool> {
    Ok(sqlx::query("DELETE FROM restored").execute(&mut **tx).await?.rows_affected() == 1)
}

fn unreadable(path: &Path, why: &str) -> Error {
    Error::conflict("backup_unusable", format!("{} is no backup that can be restored: {why}", path.display()))
}
