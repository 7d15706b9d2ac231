//! A REST client of the gateway: signs in, repeats what may be repeated, and says what was refused.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// A signed-in client. Clones share the session.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    email: String,
    password: String,
    token: Arc<RwLock<String>>,
}

/// A refusal: status, stable code and the whole problem document.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// The document.
    pub problem: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.problem)
    }
}
impl std::error::Error for Refusal {}

/// A document that may have been read before.
#[derive(Debug)]
pub enum Fetched {
    /// It is as it was.
    Unchanged,
    /// It as it came.
    Document {
        /// Its ETag.
        tag: String,
        /// How it is packed.
        packed: Option<String>,
        /// The bytes, packed.
        bytes: Vec<u8>,
    },
}

/// What goes with a request.
enum Say<'a> {
    Nothing,
    /// Idempotency key, media type, body.
    Command(&'a str, &'a str, Vec<u8>),
    /// Version that was seen, body.
    Amend(i64, String),
}

/// A command is repeated this often while the fleet says "try again".
const PATIENCE: u32 = 240;

impl Client {
    /// Signs in, or registers `business` first when the account is not there.
    ///
    /// # Errors
    /// When neither works.
    pub async fn open(
        base: &str,
        email: &str,
        password: &str,
        business: &str,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(64)
            .build()?;
        let client = Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            email: email.to_owned(),
            password: password.to_owned(),
            token: Arc::default(),
        };
        if let Err(refusal) = client.sign_in().await {
            match refusal.downcast_ref::<Refusal>() {
                Some(refused) if refused.status == 401 => client.register(business).await?,
                _ => return Err(refusal),
            }
        }
        Ok(client)
    }

    async fn sign_in(&self) -> anyhow::Result<()> {
        let body = json!({ "email": self.email, "password": self.password });
        let answer = self.public("/api/v1/auth/login", &body).await?;
        self.keep(&answer).await
    }

    async fn register(&self, business: &str) -> anyhow::Result<()> {
        let body = json!({
            "tenant_name": business, "name": "Demo Owner", "email": self.email, "password": self.password,
        });
        let answer = self.public("/api/v1/auth/register", &body).await?;
        self.keep(&answer).await
    }

    async fn keep(&self, answer: &Value) -> anyhow::Result<()> {
        let token = answer["access_token"]
            .as_str()
            .context("no access_token in the answer")?;
        *self.token.write().await = token.to_owned();
        Ok(())
    }

    async fn public(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        for _ in 0..PATIENCE {
            let response = self
                .http
                .post(format!("{}{path}", self.base))
                .json(body)
                .send()
                .await?;
            match read(response).await? {
                Ok(answer) => return Ok(answer),
                Err((refusal, Some(wait))) => {
                    eprintln!("{path}: {}, waiting", refusal.code);
                    tokio::time::sleep(wait).await;
                }
                Err((refusal, None)) => return Err(refusal.into()),
            }
        }
        bail!("{path}: no answer in time")
    }

    /// GET.
    ///
    /// # Errors
    /// A [`Refusal`], or no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, Say::Nothing).await
    }

    /// POST of a command under an idempotency key.
    ///
    /// # Errors
    /// A [`Refusal`], or no answer.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(
            Method::POST,
            path,
            Say::Command(key, "application/json", body.to_string().into_bytes()),
        )
        .await
    }

    /// PUT of what was seen at `version`.
    ///
    /// # Errors
    /// A [`Refusal`], or no answer.
    pub async fn put(&self, path: &str, version: i64, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Say::Amend(version, body.to_string()))
            .await
    }

    /// POST of a file of a type.
    ///
    /// # Errors
    /// A [`Refusal`], or no answer.
    pub async fn post_file(
        &self,
        path: &str,
        key: &str,
        kind: &str,
        file: Vec<u8>,
    ) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Say::Command(key, kind, file))
            .await
    }

    /// The bytes of a file, which is not kept.
    ///
    /// # Errors
    /// When it is refused or breaks off.
    pub async fn download(&self, path: &str) -> anyhow::Result<u64> {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.bearer_auth(self.token.read().await.as_str());
        let mut response = request.send().await?.error_for_status()?;
        let mut bytes = 0;
        while let Some(piece) = response.chunk().await? {
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// GET of a document in the packing `coding`, unless it is still what bore `tag`.
    ///
    /// # Errors
    /// A [`Refusal`], or no answer.
    pub async fn fetch(
        &self,
        path: &str,
        coding: &str,
        tag: Option<&str>,
    ) -> anyhow::Result<Fetched> {
        let mut renewed = false;
        for _ in 0..PATIENCE {
            let mut request = self.http.get(format!("{}{path}", self.base));
            request = request
                .bearer_auth(self.token.read().await.as_str())
                .header(header::ACCEPT_ENCODING, coding);
            if let Some(tag) = tag {
                request = request.header(header::IF_NONE_MATCH, tag);
            }
            let response = request.send().await?;
            let named = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
            match response.status() {
                StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
                StatusCode::OK => {
                    let tag = named(header::ETAG).context("no ETag")?.to_owned();
                    let packed = named(header::CONTENT_ENCODING).map(str::to_owned);
                    let bytes = response.bytes().await?.to_vec();
                    return Ok(Fetched::Document { tag, packed, bytes });
                }
                _ => {}
            }
            match read(response).await? {
                Ok(answer) => bail!("GET {path}: {answer}"),
                Err((refusal, _)) if refusal.status == 401 && !renewed => {
                    renewed = true;
                    self.sign_in().await?;
                }
                Err((_, Some(wait))) => tokio::time::sleep(wait).await,
                Err((refusal, None)) => return Err(refusal.into()),
            }
        }
        bail!("GET {path}: no answer in time")
    }

    async fn call(&self, method: Method, path: &str, say: Say<'_>) -> anyhow::Result<Value> {
        let mut renewed = false;
        for _ in 0..PATIENCE {
            let mut request = self
                .http
                .request(method.clone(), format!("{}{path}", self.base));
            request = request.bearer_auth(self.token.read().await.as_str());
            request = match &say {
                Say::Nothing => request,
                Say::Command(key, kind, body) => request
                    .header("Idempotency-Key", *key)
                    .header(header::CONTENT_TYPE, *kind)
                    .body(body.clone()),
                Say::Amend(version, text) => request
                    .header(header::IF_MATCH, format!("\"{version}\""))
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(text.clone()),
            };
            match read(request.send().await?).await? {
                Ok(answer) => return Ok(answer),
                // The access token lives for fifteen minutes.
                Err((refusal, _)) if refusal.status == 401 && !renewed => {
                    renewed = true;
                    self.sign_in().await?;
                }
                Err((_, Some(wait))) => tokio::time::sleep(wait).await,
                Err((refusal, None)) => return Err(refusal.into()),
            }
        }
        bail!("{method} {path}: no answer in time")
    }

    /// Every row of a list, page after page.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn walk(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let join = if path.contains('?') { '&' } else { '?' };
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{join}limit=200{cursor}")).await?;
            rows.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// The row of a list with `field` = `value`, or what `make` posts.
    ///
    /// # Errors
    /// As [`Client::get`] and [`Client::post`].
    pub async fn find_or_post(
        &self,
        path: &str,
        field: &str,
        value: &str,
        make: Value,
    ) -> anyhow::Result<Value> {
        let rows = self.walk(path).await?;
        match rows.into_iter().find(|row| row[field] == value) {
            Some(row) => Ok(row),
            None => self.post(path, &format!("{path}/{value}"), &make).await,
        }
    }
}

type Answer = Result<Value, (Refusal, Option<Duration>)>;

/// The body, or the refusal with the pause after which the same request may be repeated.
async fn read(response: Response) -> anyhow::Result<Answer> {
    let status = response.status();
    let pause = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let text = response.text().await?;
    if status.is_success() {
        return Ok(Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        }));
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!({ "detail": text }));
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    // Every refusal that time can cure says so by Retry-After; a known one is asked again sooner.
    let again = match (pause, code.as_str()) {
        (Some(_), "NOT_YET_KNOWN") => Some(Duration::from_millis(100)),
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        (None, _) if status == StatusCode::BAD_GATEWAY => Some(Duration::from_millis(500)),
        _ => None,
    };
    Ok(Err((
        Refusal {
            status: status.as_u16(),
            code,
            problem,
        },
        again,
    )))
}

/// A text member of an answer.
///
/// # Errors
/// When it is not there.
pub fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no {name} in {value}"))
}
