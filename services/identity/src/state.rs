//! What every handler has at hand.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bahi_db::Db;
use bahi_http::Signer;
use bahi_privacy::Privacy;
use bahi_register::Register;
use bahi_service::Parts;
use bahi_types::Clock;

use crate::{
    attempt::Lanes, breached::Breached, egress::Egress, oidc::Providers, password::Hasher,
    privacy::HOLDINGS, secret::Secret,
};

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
    /// What is known of identity providers.
    pub providers: Providers,
    /// Where the fleet is reached, without a slash at the end.
    pub public_url: Option<String>,
    /// Services that may suspend tenants.
    pub may_suspend: Arc<BTreeSet<String>>,
    /// Folder of public keys, ours among them.
    pub trust: PathBuf,
    /// Its part in the privacy of those whose data it holds.
    pub privacy: Privacy,
    /// Services that are asked for what they hold, by name.
    pub answerers: Arc<Vec<String>>,
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
        let public_url = parts.env.optional("BAHI_PUBLIC_URL");
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &public_url {
            let named = url.starts_with("https://") || url.starts_with("http://");
            anyhow::ensure!(named, "BAHI_PUBLIC_URL must be https://<host>");
        }
        let private = parts.env.parse("BAHI_PROVIDERS_PRIVATE", false)?;
        let patience = parts.env.parse("BAHI_PROVIDER_TIMEOUT_MS", 5000)?;
        let egress = Egress::new(private, Duration::from_millis(patience));
        let named = parts.env.optional("BAHI_MAY_SUSPEND").unwrap_or_default();
        let named = named
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let may_suspend = Arc::new(named.map(str::to_owned).collect());
        let breached = parts.env.optional("BAHI_BREACHED_PASSWORDS");
        let register = parts
            .env
            .parse("BAHI_REGISTER", "deploy/services.toml".to_owned())?;
        let register = Register::load(register)?;
        let answerers = register.answerers().map(|service| service.name.clone());
        let mut answerers: Vec<String> = answerers.collect();
        answerers.sort_unstable();
        let db = parts.database()?;
        Ok(Self {
            privacy: Privacy::new(db.clone(), &parts.env, None, &HOLDINGS)?,
            answerers: Arc::new(answerers),
            db,
            providers: Providers::new(egress, parts.clock.clone()),
            clock: parts.clock,
            secret: Secret::derived(&parts.signer, &former)?,
            signer: parts.signer,
            lanes: Lanes::new(),
            hasher: Hasher::new()?,
            breached: Breached::new(breached.as_deref().map(Path::new))?,
            public_url,
            may_suspend,
            trust: parts.env.required("BAHI_TRUST_DIR")?.into(),
        })
    }
}
