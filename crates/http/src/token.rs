//! Tokens inside the fleet: EdDSA only, exact type, issuer and audience, keys only from our own folder.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bahi_types::{Scope, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{APPROVAL, APPROVAL_LIFE, AUDIENCE_APPROVAL, Approval};

/// `typ` of a token a client carries.
pub const ACCESS: &str = "at+jwt";
/// `typ` of a token that is valid between services only.
pub const INTERNAL: &str = "int+jwt";
/// What the subject of a token begins with that speaks for an API key; its id follows.
pub const API_KEY: &str = "key:";
/// Audience of access tokens.
pub const AUDIENCE_API: &str = "bahi-api";
/// Audience of internal tokens.
pub const AUDIENCE_INTERNAL: &str = "bahi-internal";
/// Longest life of an internal token.
pub const INTERNAL_LIFE: Duration = Duration::from_secs(60);

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: `identity`, `api-gateway` or a service.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// User id, the service's name, or `key:` and the id of an API key.
    pub sub: String,
    /// Tenant.
    pub tid: TenantId,
    /// Session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// Permissions; a grant may end in `*`.
    #[serde(default)]
    pub perms: Vec<String>,
    /// Branches that the permissions are good at.
    #[serde(default, skip_serializing_if = "Scope::is_whole")]
    pub branches: Scope,
    /// Name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Requests a minute that the bearer may make, where it is an API key of its own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// How the user has shown who he is (RFC 8176): `pwd`, and `otp` and `mfa` where he has a second factor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Request id that the token was minted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// When the session ends for which this token was minted, Unix seconds: what goes on after the token's own end, as
    /// a WebSocket does, ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sxp: Option<i64>,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
}

/// Signs tokens with one private key.
#[derive(Clone)]
pub struct Signer {
    key: Arc<EncodingKey>,
    kid: String,
}

impl Signer {
    /// Reads a PKCS#8 Ed25519 key; the file's stem is the key id (`<issuer>` or `<issuer>.2`).
    ///
    /// # Errors
    /// When the file is not there or holds no such key.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("signing key {}", path.display()))?;
        let key = EncodingKey::from_ed_pem(&pem)
            .with_context(|| format!("{} holds no Ed25519 key", path.display()))?;
        Ok(Self {
            key: Arc::new(key),
            kid: stem(path)?,
        })
    }

    /// The key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The issuer that this key speaks for.
    pub fn issuer(&self) -> &str {
        issuer_of(&self.kid)
    }

    /// Signs `claims` as a token of `typ`.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        &self,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

/// Public keys by key id. A folder is read again when an unknown key id turns up, so that a new key works
/// without a restart; not more often than every five seconds, so that garbage cannot make us read for ever. It is read again
/// after a minute in any case, so that a key that was taken away is good no longer.
pub struct Keys {
    folder: PathBuf,
    known: RwLock<Known>,
    losses: AtomicU64,
}

struct Known {
    keys: Set,
    /// Those that are in no folder; reading the folder again does not lose them.
    learned: Set,
    read_at: Instant,
}

type Set = HashMap<String, Key>;

struct Key {
    /// As it was written down.
    text: Vec<u8>,
    key: Arc<DecodingKey>,
}

const REREAD: Duration = Duration::from_secs(5);
const OLD: Duration = Duration::from_secs(60);

impl Keys {
    /// Reads every `*.pem` of a folder.
    ///
    /// # Errors
    /// When the folder or a key in it cannot be read.
    pub fn from_folder(folder: &Path) -> anyhow::Result<Self> {
        let known = RwLock::new(Known {
            keys: read(folder)?,
            learned: HashMap::new(),
            read_at: Instant::now(),
        });
        Ok(Self {
            folder: folder.to_owned(),
            known,
            losses: AtomicU64::new(0),
        })
    }

    /// Verifies a token: signature, type, audience, expiry, and that its issuer is the key's.
    /// Returns nothing for whatever is wrong, because a caller gains nothing from knowing.
    pub fn verify(&self, token: &str, typ: &str, audience: &str) -> Option<Claims> {
        let (_, claims): (_, Claims) = self.decode(token, typ, audience)?;
        let long = claims.exp - claims.iat > INTERNAL_LIFE.as_secs() as i64;
        (typ != INTERNAL || !long).then_some(claims)
    }

    /// Verifies an approval: as a token, and that identity has given it, for no longer than it may.
    pub fn approval(&self, text: &str) -> Option<Approval> {
        let (kid, approval): (_, Approval) = self.decode(text, APPROVAL, AUDIENCE_APPROVAL)?;
        let long = approval.exp - approval.iat > APPROVAL_LIFE.as_secs() as i64;
        (issuer_of(&kid) == "identity" && !long).then_some(approval)
    }

    fn decode<T: DeserializeOwned>(
        &self,
        token: &str,
        typ: &str,
        audience: &str,
    ) -> Option<(String, T)> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let kid = header.kid?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(typ) {
            return None;
        }
        let key = self.find(&kid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[issuer_of(&kid)]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.leeway = 2;
        let claims = jsonwebtoken::decode(token, &key, &validation).ok()?.claims;
        Some((kid, claims))
    }

    /// Takes the keys of a JWK set, in place of those of the set before: key ids, and raw Ed25519 public keys in base64url.
    ///
    /// # Errors
    /// When one of them is no key; then those of the set before are good as they were.
    pub fn learn<'a>(
        &self,
        set: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), jsonwebtoken::errors::Error> {
        let set = set.into_iter().map(|(kid, x)| {
            let key = Key {
                text: x.as_bytes().to_vec(),
                key: Arc::new(DecodingKey::from_ed_components(x)?),
            };
            Ok((kid.to_owned(), key))
        });
        let set = set.collect::<Result<Set, jsonwebtoken::errors::Error>>()?;
        self.replace(&mut self.known.write().learned, set);
        Ok(())
    }

    /// Reads the folder again.
    pub fn reread(&self) {
        self.reread_into(&mut self.known.write());
    }

    /// How often a key went, or became another: what was verified before that is to be verified again.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    fn find(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        {
            let known = self.known.read();
            if let Some(key) = known.get(kid).filter(|_| known.read_at.elapsed() < OLD) {
                return Some(key);
            }
        }
        let mut known = self.known.write();
        if known.read_at.elapsed() > REREAD {
            self.reread_into(&mut known);
        }
        known.get(kid)
    }

    fn reread_into(&self, known: &mut Known) {
        known.read_at = Instant::now();
        match read(&self.folder) {
            Ok(keys) => self.replace(&mut known.keys, keys),
            Err(error) => tracing::warn!(%error, "the folder of public keys cannot be read"),
        }
    }

    fn replace(&self, old: &mut Set, new: Set) {
        let same = |(kid, key): (&String, &Key)| new.get(kid).is_some_and(|n| n.text == key.text);
        let lost = !old.iter().all(same);
        *old = new;
        if lost {
            self.losses.fetch_add(1, Ordering::Release);
        }
    }
}

impl Known {
    fn get(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        let key = self.keys.get(kid).or_else(|| self.learned.get(kid))?;
        Some(key.key.clone())
    }
}

fn read(folder: &Path) -> anyhow::Result<Set> {
    let mut keys = HashMap::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("public keys {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "pem") {
            let text = std::fs::read(&path)?;
            let key = DecodingKey::from_ed_pem(&text)
                .with_context(|| format!("{} holds no Ed25519 key", path.display()))?;
            let key = Arc::new(key);
            keys.insert(stem(&path)?, Key { text, key });
        }
    }
    Ok(keys)
}

fn stem(path: &Path) -> anyhow::Result<String> {
    let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else {
        bail!("{} has no readable name", path.display());
    };
    Ok(stem.to_owned())
}

/// `identity.2` is a key of `identity`.
fn issuer_of(kid: &str) -> &str {
    kid.split_once('.').map_or(kid, |(issuer, _)| issuer)
}
