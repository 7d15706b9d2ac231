//! `/internal/v1/revocations`: for the gateway, which does not route it.

use actix_web::{HttpResponse, get, web};
use bahi_db::Tx;
use bahi_events::Actor;
use bahi_http::{Caller, Fault, Problem};
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::store;
use crate::{Error, State, tenant};

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(revocations);
}

/// An access token lives 15 minutes; one more for clocks and slow commits.
const WINDOW: TimeDelta = TimeDelta::minutes(16);

/// All that was revoked in the last 16 minutes.
#[derive(Serialize, ToSchema)]
struct Revocations {
    /// Sessions that ended.
    sessions: Vec<Uuid>,
    /// Users, and API keys, whose older access tokens are void.
    users: Vec<UserRevocation>,
    /// Tenants that are suspended now.
    tenants: Vec<Uuid>,
}

/// Access tokens of a user issued before a Unix second are void.
#[derive(Serialize, ToSchema)]
struct UserRevocation {
    user_id: Uuid,
    not_before: i64,
}

/// Refuses everybody but the gateway on its own account.
///
/// # Errors
/// [`Fault::Forbidden`].
pub fn gateway(caller: &Caller) -> Result<(), Fault> {
    match &caller.ctx.actor {
        Actor::Service { id } if id == "api-gateway" => Ok(()),
        _ => Err(Fault::Forbidden("the gateway itself".into())),
    }
}

/// What to refuse: a full snapshot, across tenants.
#[utoipa::path(tag = "internal", security(("bearer" = ["service"])), responses((status = 200, body = Revocations)))]
#[get("/internal/v1/revocations")]
async fn revocations(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    gateway(&caller)?;
    let revoked = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        let since = tx.now() - WINDOW;
        let revoked = store::since(tx, since).await?;
        Ok::<_, Error>((revoked, tenant::store::suspended(tx).await?))
    });
    let (revoked, tenants) = revoked.await?;
    let mut answer = Revocations {
        sessions: Vec::new(),
        users: Vec::new(),
        tenants,
    };
    for one in revoked {
        answer.sessions.extend(one.session_id);
        if let (Some(user_id), Some(not_before)) = (one.user_id, one.not_before) {
            answer.users.push(UserRevocation {
                user_id,
                not_before,
            });
        }
    }
    Ok(HttpResponse::Ok().json(answer))
}
