//! Settings of this service's own.

use bahi_objects::S3;
use bahi_service::Env;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BAHI_IMPORTS`: bulk imports that this process works on at the same time; the others wait their turn.
    pub imports: usize,
    /// `BAHI_INVENTORY_GRPC`: where inventory answers.
    pub inventory: String,
    /// `BAHI_LOOKUP_MEMORY`: megabytes for products that were scanned lately.
    pub lookup_memory: u64,
    /// `BAHI_LOOKUP_SECONDS`: how long one of them is believed when nothing is heard of it; 0 keeps none.
    pub lookup_seconds: u64,
    /// `BAHI_EXPORTS`: exports as XLSX that this process writes at the same time.
    pub exports: usize,
    /// `BAHI_PICTURES`: pictures that this process decodes at the same time, some 250 MiB each.
    pub pictures: usize,
    /// Where pictures lie; without it there are none.
    pub s3: Option<S3>,
}

impl Config {
    /// From the environment.
    ///
    /// # Errors
    /// When a value is not of its type, or a store has no keys.
    pub fn read(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            imports: env.parse("BAHI_IMPORTS", 2)?,
            inventory: env.parse("BAHI_INVENTORY_GRPC", "http://127.0.0.1:9002".to_owned())?,
            lookup_memory: env.parse("BAHI_LOOKUP_MEMORY", 128)?,
            lookup_seconds: env.parse("BAHI_LOOKUP_SECONDS", 300)?,
            exports: env.parse("BAHI_EXPORTS", 2)?,
            pictures: env.parse("BAHI_PICTURES", 1)?,
            s3: S3::read(env, "products")?,
        })
    }
}
