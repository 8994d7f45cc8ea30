//! Conversion of database errors, classified by what a caller can do about them. A full or failing disk may
//! recover later; a damaged database does not; every other error is a defect.

use sqlx::error::DatabaseError;

use crate::error::Error;

// SQLite's primary result codes.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_NOMEM: i32 = 7;
const SQLITE_READONLY: i32 = 8;
const SQLITE_INTERRUPT: i32 = 9;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_PROTOCOL: i32 = 15;
const SQLITE_NOTADB: i32 = 26;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let converted = match (&error, code(&error)) {
            (_, Some(SQLITE_FULL)) => Self::disk_full(),
            (_, Some(SQLITE_INTERRUPT)) => Self::query_too_slow(),
            (_, Some(SQLITE_CORRUPT | SQLITE_NOTADB)) => Self::database_damaged(),
            (
                _,
                Some(
                    SQLITE_BUSY | SQLITE_LOCKED | SQLITE_NOMEM | SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN
                    | SQLITE_PROTOCOL,
                ),
            )
            | (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed, _) => {
                Self::database_failed()
            }
            _ => return Self::internal(error),
        };
        // The client receives only the message.
        tracing::error!(?error, "a database operation failed");
        converted
    }
}

/// Returns whether another program has locked the database.
pub fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(SQLITE_BUSY | SQLITE_LOCKED))
}

/// Returns whether the file is not, or no longer, a valid database.
pub fn is_damaged(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
}

fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error().and_then(DatabaseError::code)?.parse().ok()?;
    Some(extended & 0xff)
}
