//! `/.well-known/jwks.json`: the public keys of our access tokens, for those who verify them elsewhere.

use std::{io, path::Path};

use actix_web::{HttpResponse, get, http::header::CACHE_CONTROL, web};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::State;

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(jwks);
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
struct KeySet {
    keys: Vec<Key>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Key {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    kid: String,
    x: String,
}

/// The public keys of access tokens.
#[utoipa::path(tag = "auth", security(()), responses((status = 200, body = KeySet)))]
#[get("/.well-known/jwks.json")]
async fn jwks(state: web::Data<State>) -> HttpResponse {
    let issuer = state.signer.issuer().to_owned();
    // Read each time: a new key is published by putting it into the folder.
    let keys = web::block(move || read(&state.trust, &issuer)).await;
    match keys {
        Ok(Ok(keys)) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "public, max-age=300"))
            .json(KeySet { keys }),
        other => {
            tracing::error!(error = ?other, "the public keys cannot be read");
            HttpResponse::ServiceUnavailable()
                .insert_header(("Retry-After", "1"))
                .finish()
        }
    }
}

fn read(folder: &Path, issuer: &str) -> io::Result<Vec<Key>> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let ours = stem
            .strip_prefix(issuer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if ours && path.extension().is_some_and(|e| e == "pem") {
            let text = std::fs::read_to_string(&path)?;
            let x = point(&text)
                .ok_or_else(|| io::Error::other(format!("{stem} holds no Ed25519 key")))?;
            keys.push(Key {
                kty: "OKP",
                crv: "Ed25519",
                alg: "EdDSA",
                purpose: "sig",
                kid: stem.to_owned(),
                x,
            });
        }
    }
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    Ok(keys)
}

/// The 32 bytes of the key in a SubjectPublicKeyInfo (RFC 8410), as base64url.
fn point(pem: &str) -> Option<String> {
    const HEAD: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let der = STANDARD.decode(body).ok()?;
    let point = der
        .strip_prefix(HEAD.as_slice())
        .filter(|point| point.len() == 32)?;
    Some(URL_SAFE_NO_PAD.encode(point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_key_of_rfc_8410() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(
            point(pem).as_deref(),
            Some("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE")
        );
        assert_eq!(
            point("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
            None
        );
    }
}
