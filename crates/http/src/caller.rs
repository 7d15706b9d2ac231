//! Who is calling: the internal token of a request, verified.

use std::{
    future::{Ready, ready},
    sync::{Arc, LazyLock},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use bahi_db::{Ctx, Idempotency};
use bahi_events::Actor;
use bahi_types::{TenantId, UserId};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Claims, Fault, Keys, Operations, Problem, operation,
    token::{API_KEY, AUDIENCE_INTERNAL, INTERNAL},
};

/// What the actor's name of an API key begins with.
const KEY_ACTOR: &str = "api-key:";

/// Permissions held. A grant is a permission or a prefix ending in `*` (`sales.*`). One that ends in `up_to_` and a
/// number holds every lower number too (`sales.discount.up_to_10`).
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<Vec<String>>);

impl Grants {
    /// From a list of grants.
    pub fn new(grants: Vec<String>) -> Self {
        Self(Arc::new(grants))
    }

    /// Whether `permission` is granted.
    pub fn allow(&self, permission: &str) -> bool {
        let bounded = bound(permission);
        self.0.iter().any(|grant| match grant.strip_suffix('*') {
            Some(prefix) => permission.starts_with(prefix),
            None => {
                grant == permission
                    || bounded.is_some_and(|(stem, asked)| {
                        bound(grant).is_some_and(|(held, to)| held == stem && to >= asked)
                    })
            }
        })
    }

    /// The highest number of the grants `<stem>.up_to_<number>`.
    pub fn up_to(&self, stem: &str) -> Option<u32> {
        let bounds = self.0.iter().filter_map(|grant| bound(grant));
        let own = bounds.filter(|(held, _)| held.strip_suffix('.') == Some(stem));
        own.map(|(_, to)| to).max()
    }
}

/// What is bounded, and by which number: `sales.discount.` and 10 of `sales.discount.up_to_10`.
fn bound(grant: &str) -> Option<(&str, u32)> {
    let (stem, number) = grant.rsplit_once("up_to_")?;
    Some((stem, number.parse().ok()?))
}

/// The caller of a request. As an extractor it answers 401 to anything but a valid internal token, and 403 to one that does
/// not hold what the operation asks for.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Tenant, actor, trace, idempotency key.
    pub ctx: Ctx,
    /// Permissions.
    pub grants: Grants,
    /// Session, for a person.
    pub session: Option<Uuid>,
    /// Name of the person.
    pub name: Option<String>,
    /// When the session ends, Unix seconds, where it is told: what lasts longer than a request ends then.
    pub session_ends: Option<i64>,
}

impl Caller {
    /// Refuses a caller without `permission`, which some uses of an operation need beside its own.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn require(&self, permission: &'static str) -> Result<(), Fault> {
        if self.grants.allow(permission) {
            Ok(())
        } else {
            Err(Fault::Forbidden(permission.into()))
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.ctx.tenant
    }

    /// The person, where it is one.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for a service, which cannot do what only a person may.
    pub fn user(&self) -> Result<UserId, Fault> {
        match &self.ctx.actor {
            Actor::User { id } => Ok(UserId::from_uuid(*id)),
            Actor::Service { .. } => Err(Fault::Forbidden("a person's session".into())),
        }
    }

    /// The service, where it is one on its own account.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for a person, and for an API key, which is somebody's program.
    pub fn service(&self) -> Result<&str, Fault> {
        match &self.ctx.actor {
            Actor::Service { id } if !id.starts_with(KEY_ACTOR) => Ok(id),
            _ => Err(Fault::Forbidden("a service on its own account".into())),
        }
    }

    /// From verified claims.
    pub fn from_claims(claims: Claims) -> Option<Self> {
        let actor = if claims.sub == claims.iss {
            Actor::Service { id: claims.sub }
        } else if claims.iss != "api-gateway" {
            return None;
        } else if let Some(key) = claims.sub.strip_prefix(API_KEY) {
            // A program, which does not do what only a person may.
            let id = Uuid::parse_str(key).ok()?;
            Actor::Service {
                id: format!("{KEY_ACTOR}{id}"),
            }
        } else {
            Actor::User {
                id: Uuid::parse_str(&claims.sub).ok()?,
            }
        };
        let ctx = Ctx {
            tenant: claims.tid,
            actor,
            scope: claims.branches,
            correlation_id: Uuid::now_v7(),
            causation_id: None,
            trace: None,
            idempotency: None,
        };
        Some(Self {
            ctx,
            grants: Grants::new(claims.perms),
            session: claims.sid,
            name: claims.name,
            session_ends: claims.sxp,
        })
    }
}

type Digested = [u8; 32];

/// Verified tokens until they expire: one signature check a token and process, not one a request.
static VERIFIED: LazyLock<Cache<Digested, (Caller, i64)>> = LazyLock::new(|| Cache::new(4096));

impl Caller {
    /// Verifies the `Authorization` header of a request between services.
    pub fn from_bearer(keys: &Keys, authorization: &str) -> Option<Self> {
        let token = authorization.strip_prefix("Bearer ")?;
        let digest: Digested = Sha256::digest(token.as_bytes()).into();
        let now = bahi_types::Clock::System.now().timestamp();
        if let Some((caller, exp)) = VERIFIED.get(&digest)
            && now < exp
        {
            return Some(caller);
        }
        let claims = keys.verify(token, INTERNAL, AUDIENCE_INTERNAL)?;
        let exp = claims.exp;
        let caller = Self::from_claims(claims)?;
        VERIFIED.insert(digest, (caller.clone(), exp));
        Some(caller)
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(caller_of(req).map_err(Problem::from))
    }
}

pub(crate) fn caller_of(req: &HttpRequest) -> Result<Caller, Fault> {
    let keys = req
        .app_data::<web::Data<Keys>>()
        .ok_or(Fault::Unauthenticated)?;
    let text = |name: &str| req.headers().get(name).and_then(|v| v.to_str().ok());
    let authorization = text(header::AUTHORIZATION.as_str()).ok_or(Fault::Unauthenticated)?;
    let mut caller = Caller::from_bearer(keys, authorization).ok_or(Fault::Unauthenticated)?;
    let operations = req.app_data::<web::Data<Operations>>();
    let operations = operations.ok_or(Fault::Unauthenticated)?;
    let pattern = req.match_pattern().unwrap_or_default();
    let operation = operation::name(req.method().as_str(), &pattern);
    operations.admit(&operation, &caller)?;
    if let Ok(id) = Uuid::parse_str(&crate::request_id()) {
        caller.ctx.correlation_id = id;
    }
    caller.ctx.trace = crate::request::current_trace();
    caller.ctx.idempotency = idempotency(req)?;
    tracing::Span::current().record("tenant", tracing::field::display(caller.ctx.tenant));
    Ok(caller)
}

/// The circumstances of a request that needs no token: nobody's, until the command learns whose.
pub(crate) fn anonymous(req: &HttpRequest) -> Result<Ctx, Fault> {
    let mut ctx = Ctx::service("anonymous", TenantId::from_uuid(Uuid::nil()));
    if let Ok(id) = Uuid::parse_str(&crate::request_id()) {
        ctx.correlation_id = id;
    }
    ctx.trace = crate::request::current_trace();
    ctx.idempotency = idempotency(req)?;
    Ok(ctx)
}

fn idempotency(req: &HttpRequest) -> Result<Option<Idempotency>, Fault> {
    let Some(value) = req.headers().get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|k| (1..=200).contains(&k.len()));
    let Some(key) = key else {
        return Err(Fault::field(
            "Idempotency-Key",
            "must be 1 to 200 visible ASCII characters",
        ));
    };
    // The concrete path, not its template: the same key on two documents is two commands.
    let route = format!("{} {}", req.method(), req.path());
    Ok(Some(Idempotency {
        key: key.to_owned(),
        route,
        hash: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_exact_or_a_prefix() {
        let grants = Grants::new(vec!["sales.pos.*".into(), "product.product.read".into()]);
        assert!(grants.allow("sales.pos.use"));
        assert!(grants.allow("product.product.read"));
        assert!(!grants.allow("product.product.write"));
        assert!(!grants.allow("sales.posse.use"));
        assert!(!Grants::default().allow("sales.pos.use"));
        assert!(Grants::new(vec!["*".into()]).allow("anything.at.all"));
    }

    #[test]
    fn a_bound_holds_every_lower_one() {
        let grants = Grants::new(vec![
            "sales.discount.up_to_5".into(),
            "sales.discount.up_to_10".into(),
        ]);
        assert!(grants.allow("sales.discount.up_to_10") && grants.allow("sales.discount.up_to_7"));
        assert!(!grants.allow("sales.discount.up_to_11") && !grants.allow("sales.price.up_to_1"));
        assert!(!grants.allow("sales.discount.give") && !grants.allow("sales.discount.up_to_"));
        assert_eq!(grants.up_to("sales.discount"), Some(10));
        assert_eq!(grants.up_to("sales.price"), None);
    }
}
