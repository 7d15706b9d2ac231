//! What every handler has at hand.

use std::{sync::Arc, time::Duration};

use bahi_db::Db;
use bahi_objects::Objects;
use bahi_privacy::Privacy;
use bahi_proto::auth::Outbound;
use bahi_service::Parts;
use tokio::sync::Semaphore;

use crate::{Error, config::Config, privacy::HOLDINGS, scan::Index, shelf::Shelf};

/// Streams of progress that a process keeps at the same time; each asks the database twice a second.
const WATCHERS: usize = 64;

/// The state of the service.
#[derive(Clone)]
pub struct State {
    /// Its database.
    pub db: Db,
    /// Turns for the imports that run in this process.
    pub imports: Arc<Semaphore>,
    /// Products by barcode.
    pub index: Arc<Index>,
    /// The turn for reading a workbook, whose texts are held in memory.
    pub workbooks: Arc<Semaphore>,
    /// Turns for writing workbooks.
    pub exports: Arc<Semaphore>,
    /// Turns for decoding pictures.
    pub pictures: Arc<Semaphore>,
    /// Turns for watching imports.
    pub watchers: Arc<Semaphore>,
    /// Where pictures lie.
    pub store: Option<Objects>,
    /// Its part in the privacy of those whose data it holds.
    pub privacy: Privacy,
    /// Inventory, who alone knows what there is of a product.
    pub(crate) shelf: Shelf,
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
        let turns = |most: usize| Arc::new(Semaphore::new(most.max(1)));
        let store = config.s3.as_ref().map(Objects::new);
        Ok(Self {
            privacy: Privacy::new(db.clone(), &parts.env, store.clone(), &HOLDINGS)?,
            shelf: Shelf::new(&config.inventory, Outbound::new(parts.signer.clone()))?,
            db,
            index,
            imports: turns(config.imports),
            workbooks: turns(1),
            exports: turns(config.exports),
            pictures: turns(config.pictures),
            watchers: turns(WATCHERS),
            store,
        })
    }

    /// The object store.
    ///
    /// # Errors
    /// [`Error::StoreAway`] where none is set.
    pub fn objects(&self) -> Result<&Objects, Error> {
        self.store
            .as_ref()
            .ok_or_else(|| Error::StoreAway("BAHI_S3_ENDPOINT is not set".into()))
    }
}
