//! The service of background work: every task of the server, and the shutdown that ends them.

use std::{fs::File, sync::Arc};

use moxxy_system::tasks::Tasks;

/// All tasks, and the data directory that they work on.
#[derive(Debug, Clone)]
pub struct Background {
    tasks: Tasks,
    /// Keeps other servers away from the data directory.
    _lock: Arc<File>,
}

impl Background {
    /// `lock` is held until the last task has ended.
    pub fn new(tasks: Tasks, lock: File) -> Self {
        Self { tasks, _lock: Arc::new(lock) }
    }

    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}
