//! Secrets of the vault, without their values.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ids::{SecretId, SecretName};

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = 24;
/// Number of bytes that sealing adds: the nonce and the tag.
pub const SEALING_OVERHEAD_BYTES: usize = NONCE_BYTES + 16;

/// A secret as it is shown: without its value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Secret {
    /// The secret's id, which stays when it has another value.
    pub id: SecretId,
    /// By which components ask for it.
    pub name: SecretName,
    /// What it is for.
    pub description: Option<String>,
    /// Counts its values: 1 until it is rotated.
    pub version: i64,
    /// A token's id, or `local`.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// When it had its last value.
    pub updated_at: String,
}

/// Sealed secret as it is stored.
#[derive(Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct Sealed {
    pub id: SecretId,
    pub name: SecretName,
    pub version: i64,
    pub bytes: Vec<u8>,
}
