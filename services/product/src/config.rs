//! Settings of this service's own.

use bahi_service::Env;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BAHI_IMPORTS`: bulk imports that this process works on at the same time; the others wait their turn.
    pub imports: usize,
    /// `BAHI_INVENTORY_GRPC`: where inventory answers.
    pub inventory: String,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// When a value is not of its type.
    pub fn read(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            imports: env.parse("BAHI_IMPORTS", 2)?,
            inventory: env.parse("BAHI_INVENTORY_GRPC", "http://127.0.0.1:9002".to_owned())?,
        })
    }
}
