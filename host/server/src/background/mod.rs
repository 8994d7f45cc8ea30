//! Background service: the tasks of the server and their shutdown.

use std::{fs::File, sync::Arc};

use moxxy_system::tasks::Tasks;

/// All tasks, and the lock on the data directory that they use.
#[derive(Debug, Clone)]
pub struct Background {
    tasks: Tasks,
    /// Prevents other servers from using the data directory.
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
