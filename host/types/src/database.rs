//! Conversion of database errors, classified by what a caller can do about them. A full or failing disk may
//! recover later; every other error is a defect.

use sqlx::error::DatabaseError;

use crate::error::Error;

// SQLite's primary result codes.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let later = match (&error, code(&error)) {
            (_, Some(FULL)) => Self::disk_full(),
            (_, Some(BUSY | LOCKED | NOMEM | READONLY | IOERR | CORRUPT | CANTOPEN | PROTOCOL | NOTADB))
            | (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed, _) => {
                Self::database_failed()
            }
            _ => return Self::internal(error),
        };
        // The client receives only the message.
        tracing::error!(?error, "a database operation failed");
        later
    }
}

/// Returns whether another program has locked the database.
pub fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(BUSY | LOCKED))
}

/// Returns whether the file is not, or no longer, a valid database.
pub fn is_damaged(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(CORRUPT | NOTADB))
}

fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error().and_then(DatabaseError::code)?.parse().ok()?;
    Some(extended & 0xff)
}
