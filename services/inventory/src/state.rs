//! What every handler, consumer and job of this service shares.

use std::sync::Arc;

use anyhow::Context;
use bahi_db::Db;
use bahi_privacy::Privacy;
use bahi_proto::auth::{Guard, Outbound};
use bahi_register::Register;
use bahi_service::Parts;

use crate::{config::Config, privacy::HOLDINGS, restore::Restore, sales::Sales};

/// The state.
#[derive(Clone)]
pub struct State {
    /// The database.
    pub db: Db,
    /// Settings.
    pub config: Config,
    /// Sales, who alone knows what became of a till's hold.
    pub sales: Sales,
    /// Who may call.
    pub guard: Guard,
    /// Whether a restored database has caught up.
    pub restore: Restore,
    /// Its part in the privacy of those whose data it holds.
    pub privacy: Privacy,
}

impl State {
    /// From the service's parts.
    ///
    /// # Errors
    /// When a setting is missing or the register cannot be read.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let config = Config::read(&parts.env)?;
        let register = Register::load(&config.register).context("the register")?;
        let db = parts.database()?;
        Ok(Self {
            privacy: Privacy::new(db.clone(), &parts.env, None, &HOLDINGS)?,
            sales: Sales::new(config.sales.as_deref(), Outbound::new(parts.signer))?,
            guard: Guard::new(parts.keys, Arc::new(register), "inventory"),
            restore: Restore::new(db.clone()),
            db,
            config,
        })
    }
}
