//! What the gateway asks services on its own account. That must not depend on how their users' requests fare: neither the
//! bulkhead nor a breaker stands in its way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, StatusCode, header::HeaderValue};

use super::{Body, Standing, Upstream, client, endpoint::Endpoint, full};

/// Longest document that we read into memory from a service.
const DOCUMENT: usize = 8 * 1024 * 1024;
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Upstream {
    /// GETs a small document.
    ///
    /// # Errors
    /// When there is no answer with status 200 within two seconds.
    pub async fn get(&self, path: &str, token: Option<HeaderValue>) -> anyhow::Result<Bytes> {
        let make = |endpoint: &Endpoint| {
            let mut request = Request::get(endpoint.uri(path)?);
            if let Some(token) = token.clone() {
                request = request.header("authorization", token);
            }
            request.body(full(Bytes::new()))
        };
        let (status, body) = self.ask(make).await?;
        anyhow::ensure!(status.is_success(), "{} answers {status}", self.name);
        Ok(body)
    }

    /// POSTs a question in JSON, which changes nothing; nothing where the answer is 404.
    ///
    /// # Errors
    /// When there is no answer with status 200 or 404 within two seconds.
    pub async fn post(
        &self,
        path: &str,
        token: HeaderValue,
        question: Vec<u8>,
    ) -> anyhow::Result<Option<Bytes>> {
        let question = Bytes::from(question);
        let make = |endpoint: &Endpoint| {
            Request::post(endpoint.uri(path)?)
                .header("authorization", token.clone())
                .header("content-type", "application/json")
                .body(full(question.clone()))
        };
        let (status, body) = self.ask(make).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "{} answers {status}", self.name);
        Ok(Some(body))
    }

    /// Asks one endpoint, and another where there is one and the first does not answer; the best ones first.
    async fn ask(
        &self,
        make: impl Fn(&Endpoint) -> Result<Request<Body>, hyper::http::Error>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let set = self.endpoints();
        let mut order: Vec<(Standing, u32, &Arc<Endpoint>)> = set
            .iter()
            .map(|e| (e.standing(), rand::random(), e))
            .collect();
        order.sort_unstable_by_key(|(standing, chance, _)| (*standing, *chance));
        let mut last = anyhow::anyhow!("{} has no address", self.name);
        for (_, _, endpoint) in order.into_iter().take(2) {
            match tokio::time::timeout(PATIENCE, self.fetch(make(endpoint)?)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = error,
                Err(late) => last = late.into(),
            }
        }
        Err(last)
    }

    async fn fetch(&self, request: Request<Body>) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = client::send(request, self.settings.connect.0).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), DOCUMENT).collect().await;
        Ok((status, body.map_err(|e| anyhow::anyhow!("{e}"))?.to_bytes()))
    }

    /// Looks whether an endpoint is ready, and remembers.
    pub(super) async fn check(&self, endpoint: &Endpoint) {
        let settings = &self.settings.health;
        let looks = async {
            let request = Request::get(endpoint.uri(&settings.path)?).body(full(Bytes::new()))?;
            self.fetch(request).await
        };
        let answer = tokio::time::timeout(settings.timeout.0, looks).await;
        let good = matches!(answer, Ok(Ok((status, _))) if status.is_success());
        let mut state = endpoint.state.lock();
        let was = state.health.is_up();
        state.health.checked(good, settings);
        let is = state.health.is_up();
        drop(state);
        if was != is {
            let word = if is { "up" } else { "down" };
            tracing::warn!(service = self.name, endpoint = %endpoint.authority, "the endpoint is {word}");
        }
    }
}
