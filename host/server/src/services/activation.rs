//! Activation of a restored server. Until it is activated, it starts no runs and makes no calls.

use moxxy_types::error::{Error, Result};

/// Activation state of a server that may have been restored from a backup.
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    is_pending: bool,
}

impl Activation {
    /// Creates the state. `restored`: whether the database is still marked as restored.
    pub fn new(restored: bool) -> Self {
        Self { is_pending: restored }
    }

    /// Whether runs wait for `moxxy restore --activate`.
    pub fn is_pending(self) -> bool {
        self.is_pending
    }

    /// Returns an error if the restored server has not been activated.
    pub fn check(self) -> Result<()> {
        if !self.is_pending {
            return Ok(());
        }
        let message = "This server was restored from a backup, and waits for a decision about the runs that had not \
                       ended: stop it, and run `moxxy restore --activate --resume` or `--activate --cancel`";
        Err(Error::unavailable("not_activated", message))
    }
}
