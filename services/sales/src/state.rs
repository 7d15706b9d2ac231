//! What the handlers share.

use std::sync::Arc;

use bahi_db::Db;
use bahi_proto::auth::Guard;
use bahi_register::Register;
use bahi_service::Parts;

use crate::{reservation::Inventory, restore::Restore};

/// The service's state.
#[derive(Clone)]
pub struct State {
    /// Its database.
    pub(crate) db: Db,
    /// The inventory service.
    pub(crate) inventory: Inventory,
    /// Who may call our RPCs.
    pub(crate) guard: Guard,
    /// Closed after a restore until the topic was read.
    pub(crate) restore: Restore,
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
        Ok(Self {
            restore: Restore::new(db.clone(), &parts.env),
            db,
            inventory: Inventory::new(&parts.env, parts.signer.clone())?,
            guard: Guard::new(parts.keys.clone(), register, "sales"),
        })
    }
}
