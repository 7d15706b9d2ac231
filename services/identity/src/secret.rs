//! Opaque tokens, what a client holds to refresh a session, accept an invitation or reset a password; and secrets that
//! must be read again, which are kept sealed.
//!
//! A token is 256 bits that only this service can compute, behind the tenant it belongs to. The database keeps a
//! hash. That the bits follow from the row they belong to lets a repeated request get the same token again
//! (idempotency keys, parallel refreshes) although no readable token is stored anywhere.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hmac,
};
use bahi_http::{Claims, Signer};
use bahi_types::{Scope, TenantId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The key from which opaque tokens are computed, and the keys with which secrets are sealed.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
    /// The present one, and behind it those of former signing keys, which only open.
    vaults: Arc<[[u8; 32]]>,
}

/// What the bits of a token are computed for; no two purposes share a token.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// The first refresh token of a session, from the session's id.
    Session,
    /// The successor of a refresh token, from the token itself.
    Successor,
    /// An invitation or password reset, from its id.
    Ticket,
    /// The key of a counter of failed sign-ins.
    Attempt,
    /// The hash of a request that holds a password.
    Request,
    /// The key that seals secrets.
    Vault,
    /// The secret of an API key, from its id and version.
    ApiKey,
    /// The state of a sign-in with a provider, from its id.
    LoginState,
    /// What stays with the browser meanwhile.
    LoginKey,
    /// The PKCE verifier of it.
    LoginVerifier,
    /// The nonce of it.
    LoginNonce,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::Successor => b"successor",
            Self::Ticket => b"ticket",
            Self::Attempt => b"attempt",
            Self::Request => b"request",
            Self::Vault => b"vault",
            Self::ApiKey => b"api key",
            Self::LoginState => b"login state",
            Self::LoginKey => b"login key",
            Self::LoginVerifier => b"login verifier",
            Self::LoginNonce => b"login nonce",
        }
    }
}

impl Secret {
    /// Follows from the signing key, because Ed25519 signs the same text always alike: one secret to keep, and the
    /// same one in every replica. What was sealed under `former` signing keys can still be opened.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn derived(signer: &Signer, former: &[Signer]) -> anyhow::Result<Self> {
        let mut secret = Self::of(signer)?;
        let former: Vec<_> = former.iter().map(Self::of).collect::<Result<_, _>>()?;
        let former = former.iter().flat_map(|secret| secret.vaults.iter());
        secret.vaults = secret.vaults.iter().chain(former).copied().collect();
        Ok(secret)
    }

    fn of(signer: &Signer) -> anyhow::Result<Self> {
        let nobody = Claims {
            iss: signer.issuer().to_owned(),
            aud: "nobody".into(),
            sub: "opaque tokens".into(),
            tid: TenantId::from_uuid(Uuid::nil()),
            sid: None,
            perms: Vec::new(),
            branches: Scope::default(),
            name: None,
            rate: None,
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat: 0,
            exp: 0,
        };
        // The type makes it worthless as a token; it never leaves this function.
        let signature = signer.sign("kdf", &nobody)?;
        Ok(Self::from_bytes(&Sha256::digest(signature.as_bytes())))
    }

    fn from_bytes(key: &[u8]) -> Self {
        let mut secret = Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            vaults: Arc::default(),
        };
        secret.vaults = Arc::new([secret.mac(Purpose::Vault, b"")]);
        secret
    }

    /// Seals a secret of somebody (AES-256-GCM): what is kept can be opened with this key, as his, and not otherwise.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, whose: &[u8], secret: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let vault = self.vaults.first().ok_or(Unspecified)?;
        let mut sealed = secret.to_vec();
        let nonce = RandomizedNonceKey::new(&AES_256_GCM, vault)?
            .seal_in_place_append_tag(Aad::from(whose), &mut sealed)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// When it is another's, was changed, or its key is not among ours any more.
    pub fn open(&self, whose: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
        let opened = self.vaults.iter().find_map(|vault| {
            let mut secret = sealed.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let key = RandomizedNonceKey::new(&AES_256_GCM, vault).ok()?;
            let plain = key.open_in_place(nonce, Aad::from(whose), &mut secret);
            plain.ok().map(|plain| plain.to_vec())
        });
        opened.ok_or(Unspecified)
    }

    /// The keyed hash of `data` for a purpose.
    pub fn mac(&self, purpose: Purpose, data: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose.label());
        context.update(&[0]);
        context.update(data);
        let mut bits = [0; 32];
        bits.copy_from_slice(context.sign().as_ref());
        bits
    }

    /// The token of a row of `tenant`.
    pub fn token(&self, purpose: Purpose, tenant: TenantId, id: Uuid) -> Token {
        Token {
            tenant,
            bits: self.mac(purpose, id.as_bytes()),
        }
    }

    /// The one token that replaces `token`.
    pub fn successor(&self, token: &Token) -> Token {
        Token {
            tenant: token.tenant,
            bits: self.mac(Purpose::Successor, &token.bits),
        }
    }
}

/// A token as a client holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, so that it can be looked up under row-level security.
    pub tenant: TenantId,
    bits: [u8; 32],
}

impl Token {
    /// The text for the client: 64 characters.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode([self.tenant.uuid().as_bytes().as_slice(), &self.bits].concat())
    }

    /// Reads a client's text; nothing for what [`Token::text`] cannot have made.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tenant, bits) = bytes.split_at_checked(16)?;
        Some(Self {
            tenant: Uuid::from_slice(tenant).ok()?.into(),
            bits: bits.try_into().ok()?,
        })
    }

    /// What the database keeps. Without salt or stretching: 256 bits cannot be guessed.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.bits).to_vec()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token of {}", self.tenant)
    }
}

#[cfg(test)]
impl Secret {
    /// A secret that everybody knows.
    pub fn of_tests() -> Self {
        Self::from_bytes(&[7; 32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_there_and_back_and_nothing_else_is_read() {
        let secret = Secret::of_tests();
        let token = secret.token(Purpose::Session, TenantId::new(), Uuid::now_v7());
        assert_eq!(Token::read(&token.text()), Some(token.clone()));
        assert_eq!(token.text().len(), 64);
        for wrong in [
            "",
            "x",
            &token.text()[1..],
            &format!("{}A", token.text()),
            "ü".repeat(32).as_str(),
        ] {
            assert_eq!(Token::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_and_after_a_change_of_keys() {
        let (old, new) = (Secret::from_bytes(&[1; 32]), Secret::from_bytes(&[2; 32]));
        let sealed = old.seal(b"asha", b"a secret").unwrap();
        assert_ne!(sealed, old.seal(b"asha", b"a secret").unwrap());
        assert_eq!(old.open(b"asha", &sealed).unwrap(), b"a secret");
        assert!(old.open(b"ravi", &sealed).is_err() && new.open(b"asha", &sealed).is_err());
        let vaults = new.vaults.iter().chain(old.vaults.iter());
        let turned = Secret {
            vaults: vaults.copied().collect(),
            ..new.clone()
        };
        assert_eq!(turned.open(b"asha", &sealed).unwrap(), b"a secret");
        let fresh = turned.seal(b"asha", b"a secret").unwrap();
        assert!(new.open(b"asha", &fresh).is_ok() && old.open(b"asha", &fresh).is_err());
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        for wrong in [changed.as_slice(), &sealed[..20], b""] {
            assert!(old.open(b"asha", wrong).is_err());
        }
    }

    #[test]
    fn purposes_and_secrets_do_not_mix() {
        let (a, b) = (Secret::from_bytes(&[1; 32]), Secret::from_bytes(&[2; 32]));
        let (tenant, id) = (TenantId::new(), Uuid::now_v7());
        let token = a.token(Purpose::Session, tenant, id);
        assert_eq!(token, a.token(Purpose::Session, tenant, id));
        assert_ne!(token, a.token(Purpose::Ticket, tenant, id));
        assert_ne!(token, b.token(Purpose::Session, tenant, id));
        assert_eq!(a.successor(&token), a.successor(&token));
        assert_ne!(a.successor(&token), token);
        assert!(!format!("{token:?}").contains(&token.text()));
    }
}
