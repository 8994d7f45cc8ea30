//! Schema migrations. All pending migrations run in one transaction, after the database has been copied.
//! Databases of other programs are left untouched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use moxxy_system::directory;
use moxxy_types::{
    database,
    error::{Error, Result},
};
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

use super::Db;

static MIGRATIONS: Migrator = sqlx::migrate!("src/migrations");

/// The first schema version with an audit log.
pub const AUDIT_LOG_VERSION: i64 = 6;

/// Returns the newest schema version that this program knows.
pub fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Migrates the database at `path` and returns its previous version. An existing database is copied first, to
/// the same directory.
pub async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<i64> {
    let version = version(connection, path).await?;
    if version == newest() {
        return Ok(version);
    }
    if version > 0 {
        copy_before_migration(connection, path).await?;
    }
    run_migrations(connection, path).await?;
    Ok(version)
}

/// Migrates without a copy, for a file that is a copy itself.
pub async fn run_migrations(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    // Otherwise to replace a table would delete the rows that refer to it. Has no effect within a transaction.
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut *connection).await?;
    let migrated = run_checked(connection, path).await;
    sqlx::query("PRAGMA foreign_keys = ON").execute(connection).await?;
    migrated
}

/// Migrates in one transaction. Rolls back if a reference or a row is lost.
async fn run_checked(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let mut tx = connection.begin().await?;
    let before = row_counts(&mut tx).await?;
    MIGRATIONS.run(&mut *tx).await.map_err(|error| migration_error(path, error))?;
    let dangling: Vec<(String, i64)> =
        sqlx::query_as("SELECT \"table\", COUNT(*) FROM pragma_foreign_key_check GROUP BY 1")
            .fetch_all(&mut *tx)
            .await?;
    let after = row_counts(&mut tx).await?;
    let differs = |(table, count): &&(String, i64)| after.iter().any(|(other, now)| other == table && now != count);
    let lost: Vec<_> = before.iter().filter(differs).collect();
    if !dangling.is_empty() || !lost.is_empty() {
        let what = format!("the migration of {} loses rows: {lost:?}, {dangling:?}", path.display());
        return Err(Error::internal(what));
    }
    Ok(tx.commit().await?)
}

/// Returns the number of rows of each table, except the log of migrations, and the vault that an early migration
/// begins anew.
async fn row_counts(db: &mut Db) -> Result<Vec<(String, i64)>> {
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'
                  AND name NOT IN ('_sqlx_migrations', 'vault')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *db).await?;
    let mut counts = Vec::with_capacity(tables.len());
    for table in tables {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\""));
        let count = sqlx::query_scalar(sql).fetch_one(&mut *db).await?;
        counts.push((table, count));
    }
    Ok(counts)
}

/// Returns the schema version, or 0 if the database is empty. Fails if it belongs to another program.
pub async fn version(db: &mut Db, path: &Path) -> Result<i64> {
    let to_error = |error| if database::is_damaged(&error) { damaged(path, &error) } else { error.into() };
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut *db).await.map_err(to_error)?;
    if names.is_empty() {
        return Ok(0);
    }
    if !names.iter().any(|name| name == "_sqlx_migrations") {
        return Err(foreign(path));
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version").fetch_all(db).await?;
    for (version, checksum) in &applied {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            Some(known) if *known.checksum == **checksum => {}
            None if *version > newest() => return Err(too_new(path, *version)),
            _ => return Err(foreign(path)),
        }
    }
    Ok(applied.last().map_or(0, |(version, _)| *version))
}

/// Copies the database to its own directory and replaces the copy of an earlier migration.
async fn copy_before_migration(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let copy_path = PathBuf::from(format!("{}.before-{}", path.display(), newest()));
    // A fixed name, so that interrupted starts leave at most one partial copy.
    let partial = PathBuf::from(format!("{}.copy", path.display()));
    // Usually there is none.
    drop(fs::remove_file(&partial));
    super::make_private(&partial).map_err(Error::from_write_error)?;
    vacuum_into(connection, &partial).await?;
    let older = copies(path, &copy_path);
    let renamed =
        fs::File::open(&partial).and_then(|copy| copy.sync_all()).and_then(|()| fs::rename(&partial, &copy_path));
    renamed.and_then(|()| directory::sync(folder)).map_err(Error::from_write_error)?;
    for copy in older {
        // A leftover copy does no harm.
        drop(fs::remove_file(copy));
    }
    tracing::info!("migrating the database; a copy of the old version is at {}", copy_path.display());
    Ok(())
}

/// Returns the copies of earlier migrations.
fn copies(path: &Path, except: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}.before-", path.file_name().unwrap_or_default().display());
    let entries = fs::read_dir(path.parent().unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let copies = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    copies.map(|entry| entry.path()).filter(|path| path != except).collect()
}

/// Writes everything that the connection sees into a new or empty file.
pub async fn vacuum_into(db: &mut Db, path: &Path) -> Result<()> {
    let text = path.to_str().ok_or_else(|| {
        Error::invalid("unusable_path", format!("The path {} is not UTF-8, as SQLite needs it", path.display()))
    })?;
    sqlx::query("VACUUM INTO ?").bind(text).execute(db).await?;
    Ok(())
}

fn migration_error(path: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(version) => too_new(path, version),
        MigrateError::VersionMismatch(_) => foreign(path),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => Error::internal(other),
    }
}

fn too_new(path: &Path, version: i64) -> Error {
    Error::conflict(
        "database_too_new",
        format!(
            "{} was written by a newer Moxxy (its schema has version {version}): \
             start that version, or name another data directory",
            path.display()
        ),
    )
}

fn foreign(path: &Path) -> Error {
    let message = format!(
        "{} is a SQLite database, but not Moxxy's: it was left as it is. Name another data directory",
        path.display()
    );
    Error::conflict("database_foreign", message)
}

/// Error for a file that cannot be read as a database. Says how to recover.
pub fn damaged(path: &Path, error: &sqlx::Error) -> Error {
    let message = format!(
        "{} is not a SQLite database, or is damaged ({error}): it was left as it is. Move it away and restore a \
         backup with `moxxy restore FILE`, or name another data directory",
        path.display()
    );
    Error::conflict("database_damaged", message)
}
