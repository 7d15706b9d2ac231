//! What every handler has at hand.

use std::path::{Path, PathBuf};

use bahi_db::Db;
use bahi_http::Signer;
use bahi_service::Parts;
use bahi_types::Clock;

use crate::{attempt::Lanes, breached::Breached, password::Hasher, secret::Secret};

/// The state of the service.
#[derive(Clone)]
pub struct State {
    /// Its database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// Signs access tokens.
    pub signer: Signer,
    /// Makes opaque tokens.
    pub secret: Secret,
    /// Attempts at passwords, by network.
    pub lanes: Lanes,
    /// Hashes and checks passwords.
    pub hasher: Hasher,
    /// Knows passwords that nobody should take.
    pub breached: Breached,
    /// Folder of public keys, ours among them.
    pub trust: PathBuf,
}

impl State {
    /// From the parts of the process.
    ///
    /// # Errors
    /// When a setting is missing or the key cannot sign.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let former = parts.env.optional("BAHI_FORMER_KEY_FILES");
        let former = former.as_deref().unwrap_or_default().split(',');
        let former: Vec<_> = former
            .map(str::trim)
            .filter(|file| !file.is_empty())
            .map(|file| Signer::from_file(file.as_ref()))
            .collect::<Result<_, _>>()?;
        let breached = parts.env.optional("BAHI_BREACHED_PASSWORDS");
        Ok(Self {
            db: parts.database()?,
            clock: parts.clock,
            secret: Secret::derived(&parts.signer, &former)?,
            signer: parts.signer,
            lanes: Lanes::new(),
            hasher: Hasher::new()?,
            breached: Breached::new(breached.as_deref().map(Path::new))?,
            trust: parts.env.required("BAHI_TRUST_DIR")?.into(),
        })
    }
}
