//! Settings of this service's own.

use bahi_service::Env;

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// `BAHI_IMPORTS`: bulk imports that this process works on at the same time; the others wait their turn.
    pub imports: usize,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// When a value is not of its type.
    pub fn read(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            imports: env.parse("BAHI_IMPORTS", 2)?,
        })
    }
}
