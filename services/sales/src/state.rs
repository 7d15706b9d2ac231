//! What the handlers share.

use std::sync::Arc;

use bahi_db::Db;
use bahi_http::Keys;
use bahi_objects::{Objects, S3};
use bahi_privacy::Privacy;
use bahi_proto::auth::Guard;
use bahi_register::Register;
use bahi_service::Parts;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    cancellation::Window,
    live::{Hub, Kafka},
    print::Printer,
    privacy::HOLDINGS,
    reservation::Inventory,
    restore::Restore,
};

/// The service's state.
#[derive(Clone)]
pub struct State {
    /// Where the connections to the database and to inventory are driven. A sale runs there too: each of its round trips
    /// would otherwise wake a thread there and one here.
    pub(crate) runtime: Handle,
    /// Its database.
    pub(crate) db: Db,
    /// The inventory service.
    pub(crate) inventory: Inventory,
    /// Public keys, by which approvals are verified.
    pub(crate) keys: Arc<Keys>,
    /// Who may call our RPCs.
    pub(crate) guard: Guard,
    /// Closed after a restore until the topic was read.
    pub(crate) restore: Restore,
    /// For how long an invoice may be cancelled.
    pub(crate) cancel_within: Window,
    /// What it takes to print.
    pub(crate) printer: Printer,
    /// Who is connected, and what they are told.
    pub(crate) hub: Hub,
    /// Its part in the privacy of those whose data it holds.
    pub privacy: Privacy,
    /// Where topics are read again for them.
    pub(crate) kafka: Option<Kafka>,
    /// Cancelled when they are to be told goodbye.
    pub(crate) leave: CancellationToken,
}

impl State {
    /// From the parts of the process.
    pub(crate) fn new(parts: Parts) -> anyhow::Result<Self> {
        let register = parts
            .env
            .optional("BAHI_REGISTER")
            .unwrap_or_else(|| "deploy/services.toml".into());
        let register = Arc::new(Register::load(register)?);
        let db = parts.database()?;
        let inventory = Inventory::new(&parts.env, parts.signer.clone())?;
        let hub = Hub::default();
        let telling = hub
            .clone()
            .tell(inventory.clone(), db.service(), parts.stop.clone());
        tokio::spawn(telling);
        let own = S3::read(&parts.env, "invoices")?.as_ref().map(Objects::new);
        Ok(Self {
            privacy: Privacy::new(db.clone(), &parts.env, own, &HOLDINGS)?,
            runtime: Handle::current(),
            restore: Restore::new(db.clone(), &parts.env),
            cancel_within: parts.env.parse("BAHI_CANCEL_WITHIN", Window::default())?,
            printer: Printer::new(&parts.env)?,
            db,
            inventory,
            hub,
            kafka: Kafka::of(&parts.env),
            leave: parts.leave.clone(),
            keys: parts.keys.clone(),
            guard: Guard::new(parts.keys.clone(), register, "sales"),
        })
    }
}
