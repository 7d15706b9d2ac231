//! What every handler has at hand.

use std::sync::Arc;

use bahi_db::Db;
use bahi_service::Parts;
use tokio::sync::Semaphore;

use crate::config::Config;

/// The state of the service.
#[derive(Clone)]
pub struct State {
    /// Its database.
    pub db: Db,
    /// Turns for the imports that run in this process.
    pub imports: Arc<Semaphore>,
}

impl State {
    /// From the parts of the process.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let config = Config::read(&parts.env)?;
        Ok(Self {
            db: parts.database()?,
            imports: Arc::new(Semaphore::new(config.imports.max(1))),
        })
    }
}
