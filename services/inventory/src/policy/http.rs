//! Policies over HTTP.

use actix_web::{HttpResponse, get, put, web};
use bahi_db::{Done, Tx};
use bahi_http::{Amend, Caller, Problem, Versioned, ok, validate};
use bahi_types::Money;
use garde::Validate;
use serde::Deserialize;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{Policy, Reason},
    store,
};
use crate::{Error, State};

/// The endpoints of this noun.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(find).service(replace);
}

impl Versioned for Policy {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Limits of adjustments, counts and transfers, and the reasons of adjustments.
#[utoipa::path(tag = "policy", security(("bearer" = ["inventory.stock.read"])), responses((status = 200, body = Policy)))]
#[get("/api/v1/inventory/policy")]
async fn find(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let policy = state
        .db
        .read(&caller.ctx, async |tx: &mut Tx| {
            store::get(tx).await.map_err(Error::from)
        })
        .await?;
    Ok(ok(&Done::first(policy)))
}

#[derive(Clone, Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct PolicyRequest {
    /// Change of value up to which `inventory.stock.adjust` is enough; any when absent.
    #[garde(inner(custom(validate::non_negative)))]
    adjust_limit: Option<Money>,
    /// Change of value up to which `inventory.count.approve` is enough; any when absent.
    #[garde(inner(custom(validate::non_negative)))]
    count_limit: Option<Money>,
    /// Change of value up to which somebody who counted may approve the count.
    #[garde(custom(validate::non_negative))]
    second_person_above: Money,
    /// Worth of goods up to which somebody who wrote a transfer may let it go too; any when absent.
    #[garde(inner(custom(validate::non_negative)))]
    transfer_second_person_above: Option<Money>,
    /// Reasons of adjustments, 1 to 100, each code once.
    #[garde(length(min = 1, max = 100), custom(once), dive)]
    reasons: Vec<Reason>,
}

fn once(value: &[Reason], (): &()) -> garde::Result {
    let codes: std::collections::BTreeSet<_> = value.iter().map(|r| &r.code).collect();
    if codes.len() == value.len() {
        Ok(())
    } else {
        Err(garde::Error::new("must not name a code twice"))
    }
}

/// Replaces the whole of it.
#[utoipa::path(tag = "policy", security(("bearer" = ["inventory.policy.write"])), request_body = PolicyRequest, responses((status = 200, body = Policy)))]
#[put("/api/v1/inventory/policy")]
async fn replace(
    state: web::Data<State>,
    req: Amend<PolicyRequest>,
) -> Result<HttpResponse, Problem> {
    let policy = Policy {
        adjust_limit: req.body.adjust_limit,
        count_limit: req.body.count_limit,
        second_person_above: req.body.second_person_above,
        transfer_second_person_above: req.body.transfer_second_person_above,
        reasons: req.body.reasons,
        version: 0,
    };
    let done = commands::replace(&state, &req.caller.ctx, req.version, policy).await?;
    Ok(ok(&done))
}
