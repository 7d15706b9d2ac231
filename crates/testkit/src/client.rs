//! A client of one service, with a token as the gateway would mint it.

use bahi_http::{Claims, Signer, token};
use bahi_types::{BranchId, Scope, TenantId, UserId};
use reqwest::Method;
use serde_json::Value;

use crate::test_env;

/// Talks to one service as one user.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
    /// Tenant.
    pub tenant: TenantId,
    /// User.
    pub user: UserId,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body as JSON, or null.
    pub body: Value,
    /// Body as text.
    pub text: String,
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A text member of the body, by name.
    #[track_caller]
    pub fn text_at(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.text))
            .to_owned()
    }

    /// The problem code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Signs an internal token of the gateway.
pub(crate) fn user_token(tenant: TenantId, user: UserId, permissions: &[&str]) -> String {
    sign(
        "api-gateway",
        user.to_string(),
        tenant,
        permissions,
        Scope::default(),
    )
}

/// Signs a token of a service on its own account.
pub(crate) fn service_token(service: &str, tenant: TenantId) -> String {
    sign(service, service.to_owned(), tenant, &[], Scope::default())
}

/// Signs the token of an API key.
pub(crate) fn key_token(tenant: TenantId, permissions: &[&str]) -> String {
    let sub = format!("{}{}", token::API_KEY, uuid::Uuid::now_v7());
    sign("api-gateway", sub, tenant, permissions, Scope::default())
}

fn sign(issuer: &str, sub: String, tid: TenantId, permissions: &[&str], branches: Scope) -> String {
    let file = format!("{}/private/{issuer}.pem", test_env("BAHI_TEST_KEYS"));
    let signer = Signer::from_file(file.as_ref()).expect("key of the tests");
    let iat = chrono::Utc::now().timestamp();
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: token::AUDIENCE_INTERNAL.into(),
        sub,
        tid,
        sid: None,
        perms: permissions.iter().map(|p| (*p).to_owned()).collect(),
        branches,
        name: Some("Test".into()),
        rate: None,
        amr: Vec::new(),
        txn: None,
        sxp: None,
        iat,
        exp: iat + 60,
    };
    signer.sign(token::INTERNAL, &claims).expect("token")
}

impl Client {
    pub(crate) fn new(base: String, tenant: TenantId, permissions: &[&str]) -> Self {
        let user = UserId::new();
        let token = user_token(tenant, user, permissions);
        Self {
            base,
            token,
            http: reqwest::Client::new(),
            tenant,
            user,
        }
    }

    /// A client of a service that runs elsewhere.
    pub fn of(base: String, tenant: TenantId, permissions: &[&str]) -> Self {
        Self::new(base, tenant, permissions)
    }

    /// The same user at another address.
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// POST under an idempotency key to a service that may die instead of answering.
    pub async fn try_post_with_key(&self, path: &str, body: Value, key: &str) -> Option<Reply> {
        let response = self
            .request(Method::POST, path)
            .header("Idempotency-Key", key)
            .json(&body)
            .send()
            .await
            .ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Some(Reply {
            status,
            headers,
            body,
            text,
        })
    }

    /// The same user with other permissions.
    pub fn with_permissions(&self, permissions: &[&str]) -> Self {
        Self {
            token: user_token(self.tenant, self.user, permissions),
            ..self.clone()
        }
    }

    /// An API key of the same business.
    pub fn as_key(&self, permissions: &[&str]) -> Self {
        Self {
            token: key_token(self.tenant, permissions),
            ..self.clone()
        }
    }

    /// The same user with other permissions, who works for some branches only.
    pub fn at_branches(&self, permissions: &[&str], branches: &[BranchId]) -> Self {
        let (sub, scope) = (self.user.to_string(), Scope::new(Some(branches.to_vec())));
        Self {
            token: sign("api-gateway", sub, self.tenant, permissions, scope),
            ..self.clone()
        }
    }

    /// The same client with another bearer token, or a forged one.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The token it sends.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request to build upon, with the token set.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }

    /// Sends a request made by [`Client::request`].
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("the service answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply {
            status,
            headers,
            body,
            text,
        }
    }

    /// Asserts that inventory, asked for the proof of its books, finds no difference on any page.
    ///
    /// # Panics
    /// When it finds one, or refuses.
    pub async fn assert_books_agree(&self) {
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/inventory/integrity?{cursor}");
            let reply = self.get(&path).await.expect(200);
            assert_eq!(reply.body["differences"], Value::Array(Vec::new()));
            match reply.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("cursor={next}"),
                None => return,
            }
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    /// A query or mutation of the service's part of the graph.
    pub async fn graphql(&self, query: &str, variables: Value) -> Reply {
        let body = serde_json::json!({ "query": query, "variables": variables });
        self.post("/graphql", body).await
    }

    /// POST of JSON under an idempotency key.
    pub async fn post_with_key(&self, path: &str, body: Value, key: &str) -> Reply {
        self.send(
            self.request(Method::POST, path)
                .header("Idempotency-Key", key)
                .json(&body),
        )
        .await
    }

    /// PUT of JSON with `If-Match`.
    pub async fn put(&self, path: &str, body: Value, version: i64) -> Reply {
        let request = self
            .request(Method::PUT, path)
            .header("If-Match", format!("\"{version}\""));
        self.send(request.json(&body)).await
    }

    /// PATCH of JSON with `If-Match`.
    pub async fn patch(&self, path: &str, body: Value, version: i64) -> Reply {
        let request = self
            .request(Method::PATCH, path)
            .header("If-Match", format!("\"{version}\""));
        self.send(request.json(&body)).await
    }

    /// DELETE with `If-Match`.
    pub async fn delete(&self, path: &str, version: i64) -> Reply {
        let request = self
            .request(Method::DELETE, path)
            .header("If-Match", format!("\"{version}\""));
        self.send(request).await
    }
}
