//! This service's own settings.

use bahi_service::Env;
use chrono::Duration;

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BAHI_REGISTER`: the register of the fleet, which says who may call.
    pub register: String,
    /// `BAHI_SALES_GRPC`: where sales answers. Without it no till's hold is ever released by its deadline.
    pub sales: Option<String>,
    /// `BAHI_HOLD_SECONDS`: after how long sales is asked about a till's hold that states no deadline (30).
    pub hold: Duration,
    /// `BAHI_UNHEARD_SECONDS`: how long an issued sale's event may take before its goods are issued from what sales
    /// answered (900).
    pub unheard: Duration,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one is malformed.
    pub fn read(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            register: env
                .optional("BAHI_REGISTER")
                .unwrap_or_else(|| "deploy/services.toml".into()),
            sales: env.optional("BAHI_SALES_GRPC"),
            hold: Duration::seconds(env.parse("BAHI_HOLD_SECONDS", 30u32)?.into()),
            unheard: Duration::seconds(env.parse("BAHI_UNHEARD_SECONDS", 900u32)?.into()),
        })
    }
}
