//! An identity provider (OpenID Connect) on this machine, with keys of its own, that can also misbehave.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

/// A key of a provider.
#[derive(Clone)]
pub struct ProviderKey {
    /// Its id.
    pub kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl ProviderKey {
    /// An RSA key of 2048 bits, for RS256.
    pub fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = pair.as_der().expect("DER");
        let text = STANDARD.encode(der.as_ref());
        // Only a PEM is looked into for the PKCS#1 key that it signs with.
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key"),
        }
    }

    /// A P-256 key, for ES256.
    pub fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let der = pair.to_pkcs8v1().expect("DER");
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(der.as_ref()),
        }
    }

    /// Its public half as JWK.
    pub fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a JWK");
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).expect("JSON")
    }
}

/// What an endpoint does instead of its work.
#[derive(Clone, Debug)]
pub enum Misstep {
    /// Sends the caller to another address.
    Redirect(String),
    /// Answers with a status.
    Status(u16),
    /// Answers so late.
    Slow(Duration),
    /// Answers more than anybody reads.
    Huge,
    /// Answers this text.
    Text(String),
}

/// How ID tokens are made.
#[derive(Clone)]
pub enum Signing {
    /// With a key, under its id.
    Key(ProviderKey),
    /// With a key, under another id or none.
    Named(ProviderKey, Option<String>),
    /// Not at all: `alg` is `none`.
    None,
    /// With HS256, and this as the secret.
    Secret(Vec<u8>),
    /// This text it is.
    Text(String),
}

/// How the provider behaves. What is not set, it does right.
pub struct Manners {
    /// Who signs in next: claims of his ID token beside those of the protocol; `sub` is needed.
    pub person: Value,
    /// Claims that go over all others; null takes one away.
    pub claims: Value,
    /// Members that go over those of the discovery document; null takes one away.
    pub discovery: Value,
    /// How ID tokens are signed.
    pub signing: Signing,
    /// More members of the header of ID tokens.
    pub header: Value,
    /// Public keys that it shows.
    pub shown: Vec<ProviderKey>,
    /// What endpoints do instead: `discovery`, `jwks`, `token`.
    pub missteps: HashMap<&'static str, Misstep>,
    /// What it says of itself when it sends people back; none leaves it out.
    pub says: Option<String>,
    /// The secret of the client; none for a public one.
    pub client_secret: Option<String>,
    /// Unix second that it takes for now.
    pub now: Option<i64>,
}

struct Granted {
    query: HashMap<String, String>,
    person: Value,
}

struct Inner {
    base: String,
    manners: Manners,
    granted: HashMap<String, Granted>,
    seen: HashMap<&'static str, u32>,
    refusals: Vec<String>,
}

/// A running provider. It stops when it is dropped.
pub struct TestProvider {
    /// Its address, and its issuer.
    pub issuer: String,
    inner: Arc<Mutex<Inner>>,
    server: actix_web::dev::ServerHandle,
}

/// The client id that it knows.
pub const PROVIDER_CLIENT: &str = "bahi";

/// What the provider has sent back with a browser.
#[derive(Clone, Debug)]
pub struct SentBack {
    /// Where to, without the query.
    pub to: String,
    /// State.
    pub state: String,
    /// Code.
    pub code: String,
    /// Issuer, where it says so.
    pub iss: Option<String>,
}

impl TestProvider {
    /// Starts one with an RSA key `one`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let key = ProviderKey::rsa("one");
        let manners = Manners {
            person: json!({ "sub": "1" }),
            claims: json!({}),
            discovery: json!({}),
            signing: Signing::Key(key.clone()),
            header: json!({}),
            shown: vec![key],
            missteps: HashMap::new(),
            says: Some(base.clone()),
            client_secret: Some("s3cret: with/odd+letters".to_owned()),
            now: None,
        };
        let inner = Arc::new(Mutex::new(Inner {
            base: base.clone(),
            manners,
            granted: HashMap::new(),
            seen: HashMap::new(),
            refusals: Vec::new(),
        }));
        let shared = web::Data::from(inner.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .route(
                    "/.well-known/openid-configuration",
                    web::get().to(discovery),
                )
                .route("/jwks", web::get().to(jwks))
                .route("/authorize", web::get().to(authorize))
                .route("/token", web::post().to(token))
        });
        let server = server
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("a server")
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            issuer: base,
            inner,
            server: handle,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while it was held")
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.inner().manners);
    }

    /// The key that it began with.
    pub fn key(&self) -> ProviderKey {
        self.inner().manners.shown[0].clone()
    }

    /// How often an endpoint was called: `discovery`, `jwks`, `token`.
    pub fn seen(&self, endpoint: &str) -> u32 {
        self.inner().seen.get(endpoint).copied().unwrap_or_default()
    }

    /// Why it refused codes, in order.
    pub fn refusals(&self) -> Vec<String> {
        self.inner().refusals.clone()
    }

    /// A browser goes to an authorization address, its person agrees, and it is sent back.
    pub async fn consent(&self, address: &str) -> SentBack {
        let browser = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a browser");
        let answer = browser.get(address).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let back = answer.headers().get("location").cloned();
        let text = answer.text().await.unwrap_or_default();
        assert_eq!(status, 302, "{text}");
        let back = back.and_then(|v| v.to_str().ok().map(str::to_owned));
        let mut back: Url = back.expect("a location").parse().expect("an address");
        let query: HashMap<_, _> = back.query_pairs().into_owned().collect();
        back.set_query(None);
        SentBack {
            to: back.into(),
            state: query["state"].clone(),
            code: query["code"].clone(),
            iss: query.get("iss").cloned(),
        }
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        // The future only waits; the command is sent when it is made.
        drop(self.server.stop(false));
    }
}

type Shared = web::Data<Mutex<Inner>>;

fn patched(mut value: Value, patch: &Value) -> Value {
    if let (Some(value), Some(patch)) = (value.as_object_mut(), patch.as_object()) {
        for (name, new) in patch {
            if new.is_null() {
                value.remove(name);
            } else {
                value.insert(name.clone(), new.clone());
            }
        }
    }
    value
}

/// Counts a call; what to do instead of answering it.
async fn misstep(shared: &Shared, endpoint: &'static str) -> Option<HttpResponse> {
    let misstep = {
        let mut inner = shared.lock().expect("no panic while it was held");
        *inner.seen.entry(endpoint).or_default() += 1;
        inner.manners.missteps.get(endpoint).cloned()
    };
    Some(match misstep? {
        Misstep::Redirect(to) => HttpResponse::Found()
            .insert_header((header::LOCATION, to))
            .finish(),
        Misstep::Status(status) => {
            HttpResponse::build(actix_web::http::StatusCode::from_u16(status).expect("a status"))
                .finish()
        }
        Misstep::Slow(time) => {
            tokio::time::sleep(time).await;
            return None;
        }
        Misstep::Huge => HttpResponse::Ok().body(" ".repeat(2 << 20)),
        Misstep::Text(text) => HttpResponse::Ok().body(text),
    })
}

async fn discovery(shared: Shared) -> HttpResponse {
    if let Some(instead) = misstep(&shared, "discovery").await {
        return instead;
    }
    let inner = shared.lock().expect("no panic while it was held");
    let base = &inner.base;
    let document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
    });
    HttpResponse::Ok().json(patched(document, &inner.manners.discovery))
}

async fn jwks(shared: Shared) -> HttpResponse {
    if let Some(instead) = misstep(&shared, "jwks").await {
        return instead;
    }
    let inner = shared.lock().expect("no panic while it was held");
    let keys: Vec<_> = inner
        .manners
        .shown
        .iter()
        .map(ProviderKey::public)
        .collect();
    HttpResponse::Ok().json(json!({ "keys": keys }))
}

async fn authorize(shared: Shared, query: web::Query<HashMap<String, String>>) -> HttpResponse {
    let query = query.into_inner();
    let mut inner = shared.lock().expect("no panic while it was held");
    let has = |name: &str, value: &str| query.get(name).map(String::as_str) == Some(value);
    let right = has("response_type", "code")
        && has("client_id", PROVIDER_CLIENT)
        && has("code_challenge_method", "S256")
        && query
            .get("scope")
            .is_some_and(|s| s.split(' ').any(|w| w == "openid"))
        && ["state", "nonce", "code_challenge", "redirect_uri"]
            .iter()
            .all(|name| query.contains_key(*name));
    if !right {
        return HttpResponse::BadRequest().body(format!("{query:?}"));
    }
    let code = Uuid::now_v7().to_string();
    let mut back: Url = query["redirect_uri"].parse().expect("an address");
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &query["state"]);
    if let Some(says) = &inner.manners.says {
        back.query_pairs_mut().append_pair("iss", says);
    }
    let person = inner.manners.person.clone();
    inner.granted.insert(code, Granted { query, person });
    HttpResponse::Found()
        .insert_header((header::LOCATION, back.as_str()))
        .finish()
}

async fn token(
    shared: Shared,
    req: HttpRequest,
    form: web::Form<HashMap<String, String>>,
) -> HttpResponse {
    if let Some(instead) = misstep(&shared, "token").await {
        return instead;
    }
    let mut inner = shared.lock().expect("no panic while it was held");
    let authorization = req.headers().get(header::AUTHORIZATION);
    let authorization = authorization
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    match exchanged(&mut inner, authorization, &form) {
        Ok(id_token) => HttpResponse::Ok().json(json!({
            "access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        })),
        Err(why) => {
            inner.refusals.push(why.to_owned());
            HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" }))
        }
    }
}

fn exchanged(
    inner: &mut Inner,
    authorization: &str,
    form: &HashMap<String, String>,
) -> Result<String, &'static str> {
    let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let encode =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let known = match &inner.manners.client_secret {
        None => text("client_id") == PROVIDER_CLIENT && authorization.is_empty(),
        Some(secret) if authorization.is_empty() => {
            text("client_id") == PROVIDER_CLIENT && text("client_secret") == secret
        }
        Some(secret) => {
            let pair = format!("{}:{}", encode(PROVIDER_CLIENT), encode(secret));
            let basic = STANDARD.encode(pair);
            authorization == format!("Basic {basic}") && !form.contains_key("client_secret")
        }
    };
    if !known {
        return Err("client");
    }
    if text("grant_type") != "authorization_code" {
        return Err("grant_type");
    }
    let granted = inner.granted.remove(text("code")).ok_or("code")?;
    if text("redirect_uri") != granted.query["redirect_uri"] {
        return Err("redirect_uri");
    }
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(text("code_verifier")));
    if challenge != granted.query["code_challenge"] {
        return Err("code_verifier");
    }
    let manners = &inner.manners;
    let now = manners
        .now
        .unwrap_or_else(|| chrono::Utc::now().timestamp());
    let claims = json!({
        "iss": inner.base, "aud": PROVIDER_CLIENT, "exp": now + 300, "iat": now, "nonce": granted.query["nonce"],
    });
    let claims = patched(patched(claims, &granted.person), &manners.claims);
    Ok(signed(&manners.signing, &manners.header, &claims))
}

/// An ID token.
fn signed(signing: &Signing, more: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let by = |key: &ProviderKey, kid: Option<&String>| {
        let mut header = json!({ "typ": "JWT", "alg": key.algorithm });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let message = format!("{}.{}", part(&patched(header, more)), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.key, key.algorithm);
        format!("{message}.{}", signature.expect("a signature"))
    };
    match signing {
        Signing::Key(key) => by(key, Some(&key.kid)),
        Signing::Named(key, kid) => by(key, kid.as_ref()),
        Signing::None => {
            let header = json!({ "typ": "JWT", "alg": "none" });
            format!("{}.{}.", part(&header), part(claims))
        }
        Signing::Secret(secret) => {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some("one".to_owned());
            let key = EncodingKey::from_secret(secret);
            jsonwebtoken::encode(&header, claims, &key).expect("a token")
        }
        Signing::Text(text) => text.clone(),
    }
}
