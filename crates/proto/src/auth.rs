//! Calls between services: each signs its own short token, and the register says who may call what.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bahi_db::{Ctx, Trace};
use bahi_events::Actor;
use bahi_http::{
    Caller, Claims, Keys, Refusal, Signer,
    token::{AUDIENCE_INTERNAL, INTERNAL, INTERNAL_LIFE},
};
use bahi_register::Register;
use bahi_types::{Clock, Scope, TenantId};
use parking_lot::Mutex;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use uuid::Uuid;

/// Metadata key of the stable code of a refusal, such as `INSUFFICIENT_STOCK`.
pub const CODE: &str = "bahi-code";

/// Admits calls to one service: a valid internal token, signed by a service that the register lets call.
#[derive(Clone)]
pub struct Guard {
    keys: Arc<Keys>,
    register: Arc<Register>,
    service: &'static str,
}

impl Guard {
    /// A guard of `service`.
    pub fn new(keys: Arc<Keys>, register: Arc<Register>, service: &'static str) -> Self {
        Self {
            keys,
            register,
            service,
        }
    }

    /// The circumstances of a call of `rpc`: tenant, caller, request and trace.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a valid internal token, PERMISSION_DENIED for a caller that is not in the register.
    #[allow(clippy::result_large_err)] // A status is what every gRPC handler returns.
    pub fn admit<T>(&self, request: &Request<T>, rpc: &str) -> Result<Ctx, Status> {
        let text = |name: &str| request.metadata().get(name).and_then(|v| v.to_str().ok());
        let caller =
            text("authorization").and_then(|bearer| Caller::from_bearer(&self.keys, bearer));
        let Some(caller) = caller else {
            return Err(Status::unauthenticated("A valid internal token is needed."));
        };
        let Actor::Service { id } = &caller.ctx.actor else {
            return Err(Status::permission_denied("Only services call this."));
        };
        if !self.register.may_call(id, self.service, rpc) {
            return Err(Status::permission_denied(format!(
                "{id} may not call {}/{rpc}.",
                self.service
            )));
        }
        let mut ctx = caller.ctx;
        ctx.correlation_id = text("x-request-id")
            .and_then(|id| Uuid::parse_str(id).ok())
            .unwrap_or_else(Uuid::now_v7);
        ctx.trace = text("traceparent").and_then(trace);
        Ok(ctx)
    }
}

fn trace(parent: &str) -> Option<Trace> {
    let mut parts = parent.split('-');
    let (version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex(version, 2) || !hex(id, 32) || !hex(span, 16) {
        return None;
    }
    Some(Trace {
        id: Uuid::try_parse(id).ok()?,
        parent: parent.to_owned(),
    })
}

/// Signs this service's calls.
#[derive(Clone)]
pub struct Outbound {
    signer: Signer,
    clock: Clock,
    tokens: Arc<Mutex<HashMap<TenantId, (String, i64)>>>,
}

/// A token is used for half its life, so that it is still valid when a slow call arrives, and so that the
/// other side can remember it as verified.
const REUSE: i64 = INTERNAL_LIFE.as_secs() as i64 / 2;
/// Tokens kept; beyond that the old ones are dropped.
const KEPT: usize = 4096;

impl Outbound {
    /// Signs with `signer`, whose issuer is this service.
    pub fn new(signer: Signer) -> Self {
        Self {
            signer,
            clock: Clock::System,
            tokens: Arc::default(),
        }
    }

    /// `message` with token, request id, trace and deadline.
    ///
    /// # Errors
    /// INTERNAL when the key cannot sign.
    #[allow(clippy::result_large_err)] // As the calls themselves.
    pub fn request<T>(
        &self,
        ctx: &Ctx,
        message: T,
        timeout: Duration,
    ) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let bearer = format!("Bearer {}", self.token(ctx.tenant)?);
        let mut bearer =
            MetadataValue::try_from(bearer).map_err(|_| Status::internal("an unusable token"))?;
        bearer.set_sensitive(true);
        metadata.insert("authorization", bearer);
        if let Ok(id) = MetadataValue::try_from(ctx.correlation_id.to_string()) {
            metadata.insert("x-request-id", id);
        }
        if let Some(parent) = ctx
            .trace
            .as_ref()
            .and_then(|t| MetadataValue::try_from(&t.parent).ok())
        {
            metadata.insert("traceparent", parent);
        }
        request.set_timeout(timeout);
        Ok(request)
    }

    #[allow(clippy::result_large_err)]
    fn token(&self, tenant: TenantId) -> Result<String, Status> {
        let now = self.clock.now().timestamp();
        let mut tokens = self.tokens.lock();
        if let Some((token, until)) = tokens.get(&tenant)
            && now < *until
        {
            return Ok(token.clone());
        }
        let name = self.signer.issuer().to_owned();
        let claims = Claims {
            iss: name.clone(),
            aud: AUDIENCE_INTERNAL.to_owned(),
            sub: name,
            tid: tenant,
            sid: None,
            perms: Vec::new(),
            branches: Scope::default(),
            name: None,
            rate: None,
            amr: Vec::new(),
            txn: None,
            sxp: None,
            iat: now,
            exp: now + INTERNAL_LIFE.as_secs() as i64,
        };
        let token = self.signer.sign(INTERNAL, &claims).map_err(|error| {
            tracing::error!(%error, "a token between services cannot be signed");
            Status::internal("the token cannot be signed")
        })?;
        if tokens.len() >= KEPT {
            tokens.retain(|_, (_, until)| now < *until);
        }
        tokens.insert(tenant, (token.clone(), now + REUSE));
        Ok(token)
    }
}

/// A refusal as a gRPC status: the class by HTTP status, the stable code in the metadata ([`CODE`]).
pub fn status_of(refusal: &impl Refusal) -> Status {
    let verdict = refusal.verdict();
    let code = match verdict.status.as_u16() {
        400 | 413 | 415 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 | 412 | 422 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    };
    let message = if code == Code::Internal {
        tracing::error!(code = verdict.code, error = ?refusal, "call failed");
        "An unexpected error.".to_owned()
    } else {
        refusal.to_string()
    };
    let mut status = Status::new(code, message);
    status
        .metadata_mut()
        .insert(CODE, MetadataValue::from_static(verdict.code));
    status
}

/// The stable code of a refusal that [`status_of`] made.
pub fn code_of(status: &Status) -> Option<&str> {
    status
        .metadata()
        .get(CODE)
        .and_then(|code| code.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_class_and_code() {
        let status = status_of(&bahi_db::Error::Unavailable);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(code_of(&status), Some("DATABASE_UNAVAILABLE"));
        let status = status_of(&bahi_http::Fault::NotYetKnown("product".into()));
        assert_eq!(
            (status.code(), code_of(&status)),
            (Code::FailedPrecondition, Some("NOT_YET_KNOWN"))
        );
    }

    #[test]
    fn a_broken_traceparent_is_no_trace() {
        assert!(trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        assert!(trace("00-4bf9-00f067aa0ba902b7-01").is_none());
        assert!(trace("").is_none());
    }
}
