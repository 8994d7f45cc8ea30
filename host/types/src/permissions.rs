//! Permissions: what an operator consents to.

use std::collections::BTreeSet;

/// Names such as `host:api.example.com GET+POST`. How a host is used and where a secret may go are
/// part of the wish.
pub type Names = BTreeSet<String>;
