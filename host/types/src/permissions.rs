//! Permissions that an operator consents to.

use std::collections::BTreeSet;

/// Permissions as text, such as `host:api.example.com GET+POST`. The text includes how a host is used and where a
/// secret may be sent.
pub type Names = BTreeSet<String>;
