//! State of the router.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio::sync::Semaphore;

use crate::{app::App, config::Config};

/// Maximum number of large bodies that are received concurrently. Each is held in memory.
const MAX_CONCURRENT_UPLOADS: usize = 16;

/// The services, and what extractors and middleware need besides them.
#[derive(Debug, Clone)]
pub struct HttpState {
    pub app: App,
    pub config: Arc<Config>,
    pub uploads: Arc<Semaphore>,
}

impl HttpState {
    pub fn new(app: App, config: Arc<Config>) -> Self {
        Self { app, config, uploads: Arc::new(Semaphore::new(MAX_CONCURRENT_UPLOADS)) }
    }
}

impl FromRef<HttpState> for App {
    fn from_ref(state: &HttpState) -> Self {
        state.app.clone()
    }
}
