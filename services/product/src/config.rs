//! Settings of this service's own.

use bahi_service::Env;

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// `BAHI_IMPORTS`: bulk imports that this process works on at the same time; the others wait their turn.
    pub imports: usize,
    /// `BAHI_LOOKUP_MEMORY`: megabytes for products that were scanned lately.
    pub lookup_memory: u64,
    /// `BAHI_LOOKUP_SECONDS`: how long one of them is believed when nothing is heard of it; 0 keeps none.
    pub lookup_seconds: u64,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// When a value is not of its type.
    pub fn read(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            imports: env.parse("BAHI_IMPORTS", 2)?,
            lookup_memory: env.parse("BAHI_LOOKUP_MEMORY", 128)?,
            lookup_seconds: env.parse("BAHI_LOOKUP_SECONDS", 300)?,
        })
    }
}
