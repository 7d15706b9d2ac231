//! What every handler has at hand.

use std::{sync::Arc, time::Duration};

use bahi_db::Db;
use bahi_service::Parts;
use tokio::sync::Semaphore;

use crate::{config::Config, scan::Index};

/// The state of the service.
#[derive(Clone)]
pub struct State {
    /// Its database.
    pub db: Db,
    /// Turns for the imports that run in this process.
    pub imports: Arc<Semaphore>,
    /// Products by barcode.
    pub index: Arc<Index>,
}

impl State {
    /// From the parts of the process.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let config = Config::read(&parts.env)?;
        let db = parts.database()?;
        // A process without a broker is alone: it hears of its own commits.
        let alone = parts.env.optional("BAHI_KAFKA").is_none();
        let memory = config.lookup_memory.saturating_mul(1 << 20);
        let believed = Duration::from_secs(config.lookup_seconds);
        let index = Arc::new(Index::new(memory, believed, alone));
        let witness = index.clone();
        db.on_commit(move |changed| witness.committed(changed));
        Ok(Self {
            db,
            index,
            imports: Arc::new(Semaphore::new(config.imports.max(1))),
        })
    }
}
