//! Whether a restored server was activated: until then it starts no run and makes no call.

use moxxy_types::error::{Error, Result};

/// The state of a server that may have been restored from a backup.
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    is_pending: bool,
}

impl Activation {
    /// `restored` says whether the database still has the mark of a backup.
    pub fn new(restored: bool) -> Self {
        Self { is_pending: restored }
    }

    /// Whether runs wait for `moxxy restore --activate`.
    pub fn is_pending(self) -> bool {
        self.is_pending
    }

    /// Refuses to act in a restored server that waits for its activation.
    pub fn check(self) -> Result<()> {
        if !self.is_pending {
            return Ok(());
        }
        let message = "This server was restored from a backup, and waits for a decision about the runs that had not \
                       ended: stop it, and run `moxxy restore --activate --resume` or `--activate --cancel`";
        Err(Error::unavailable("not_activated", message))
    }
}
