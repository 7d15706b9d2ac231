//! Who asks, for which tenant, in which flow.

use bahi_events::Actor;
use bahi_types::{Scope, TenantId};
use uuid::Uuid;

use crate::Error;

/// The W3C trace that a change belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Trace id.
    pub id: Uuid,
    /// The `traceparent` header of the current span.
    pub parent: String,
}

/// A client's promise to send one command under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// Method and path template.
    pub route: String,
    /// SHA-256 of the request.
    pub hash: Vec<u8>,
}

/// The circumstances of a command: tenant, actor, flow. Stamped on every event it publishes.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// Whose data.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: Actor,
    /// The branches he acts for: the database shows and takes no document of another.
    pub scope: Scope,
    /// The request, or the flow it belongs to.
    pub correlation_id: Uuid,
    /// The event that caused it, in a consumer.
    pub causation_id: Option<Uuid>,
    /// The trace.
    pub trace: Option<Trace>,
    /// Present when the client sent an `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
}

impl Ctx {
    /// The circumstances of a service acting on its own account.
    pub fn service(name: &str, tenant: TenantId) -> Self {
        Self {
            tenant,
            actor: Actor::Service {
                id: name.to_owned(),
            },
            scope: Scope::default(),
            correlation_id: Uuid::now_v7(),
            causation_id: None,
            trace: None,
            idempotency: None,
        }
    }

    /// Refuses who acts for some branches only.
    ///
    /// # Errors
    /// [`Error::OtherBranch`].
    pub fn everywhere(&self) -> Result<(), Error> {
        match self.scope.is_whole() {
            true => Ok(()),
            false => Err(Error::OtherBranch),
        }
    }

    /// The actor as text: scope of idempotency keys.
    pub fn principal(&self) -> String {
        match &self.actor {
            Actor::User { id } => format!("user:{id}"),
            Actor::Service { id } => format!("service:{id}"),
        }
    }
}
