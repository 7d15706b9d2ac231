//! `/api/v1/users`.

use actix_web::{HttpResponse, get, http::header::CACHE_CONTROL, post, put, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::Tx;
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, ok, page, validate,
};
use bahi_types::{BranchId, Page, PageQuery, RoleId, Scope, UserId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands::{self, NewUser},
    model::Member,
    store,
};
use crate::{Error, State, session::Device, ticket::Ticket};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(invite)
        .service(list)
        .service(get_one)
        .service(update)
        .service(disable)
        .service(enable)
        .service(invite_again)
        .service(reset_password);
}

/// An e-mail address: for `#[garde(custom(..))]`.
///
/// # Errors
/// When it is none.
pub fn address(value: &str, (): &()) -> garde::Result {
    let shaped = value.split_once('@').is_some_and(|(local, domain)| {
        let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-');
        !local.is_empty()
            && local.len() <= 64
            && domain.contains('.')
            && domain.split('.').all(label)
    });
    let plain = value.is_ascii()
        && !value
            .chars()
            .any(|c| c.is_ascii_whitespace() || c.is_ascii_control());
    if shaped && plain && value.len() <= 254 {
        Ok(())
    } else {
        Err(garde::Error::new("must be an e-mail address"))
    }
}

/// A person to be invited.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Invite {
    /// E-mail address.
    #[garde(custom(address))]
    #[schema(format = "email")]
    email: String,
    /// Name on screens and receipts.
    #[garde(custom(validate::line))]
    name: String,
    /// Roles.
    #[garde(length(max = 50))]
    #[schema(value_type = Vec<uuid::Uuid>)]
    role_ids: Vec<RoleId>,
    /// The branches that the roles are good at; all of them, also those to come, without.
    #[garde(inner(length(min = 1, max = 200)))]
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    branch_ids: Option<Vec<BranchId>>,
}

/// Name, roles, branches and address.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Name on screens and receipts.
    #[garde(custom(validate::line))]
    name: String,
    /// All roles he has from now on.
    #[garde(length(max = 50))]
    #[schema(value_type = Vec<uuid::Uuid>)]
    role_ids: Vec<RoleId>,
    /// All branches that the roles are good at from now on; `null` for every one, also those to come. Without it they stay
    /// what they are.
    #[garde(inner(inner(length(min = 1, max = 200))))]
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    #[serde(default, deserialize_with = "validate::said")]
    branch_ids: Option<Option<Vec<BranchId>>>,
    /// His e-mail address, where it changes; it must be verified anew. Nobody changes his own, and no API key anybody's.
    #[garde(inner(custom(address)))]
    #[schema(format = "email")]
    email: Option<String>,
}

/// Why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disable {
    /// For the audit trail.
    #[garde(inner(custom(validate::line)))]
    pub(super) reason: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "User")]
pub(super) struct UserBody {
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    email: String,
    name: String,
    /// `invited`, `active` or `disabled`.
    status: String,
    #[schema(value_type = Vec<uuid::Uuid>)]
    role_ids: Vec<RoleId>,
    /// The branches that the roles are good at; all of them where there is none.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    branch_ids: Option<Vec<BranchId>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// When he has shown that his address is his.
    email_verified_at: Option<DateTime<Utc>>,
}

impl From<Member> for UserBody {
    fn from(Member { user, role_ids }: Member) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            status: user.status,
            role_ids,
            branch_ids: user.branch_ids,
            version: user.version,
            created_at: user.created_at,
            updated_at: user.updated_at,
            email_verified_at: user.email_verified_at,
        }
    }
}

impl Versioned for UserBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// A user and the one-time token to be handed to him.
#[derive(Clone, Serialize, ToSchema)]
struct Handed {
    /// The user.
    user: UserBody,
    /// He sets his password with it, once.
    token: String,
    /// Until then.
    expires_at: DateTime<Utc>,
}

impl Versioned for Handed {
    fn version(&self) -> Option<i64> {
        Versioned::version(&self.user)
    }
}

impl Handed {
    fn new(state: &State, (member, ticket): (Member, Ticket)) -> Self {
        let token = ticket.token(&state.secret).text();
        Self {
            user: member.into(),
            token,
            expires_at: ticket.expires_at,
        }
    }

    fn private(mut response: HttpResponse) -> HttpResponse {
        let no_store = actix_web::http::header::HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        response
    }
}

/// What a list may be narrowed to.
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "UserFilter")]
pub(super) struct Filter {
    /// `invited`, `active` or `disabled`.
    status: Option<String>,
    /// E-mail, whole.
    email: Option<String>,
    /// Holders of a role.
    #[param(value_type = Option<uuid::Uuid>)]
    role_id: Option<RoleId>,
    /// Who works for a branch, also those who work for all.
    #[param(value_type = Option<uuid::Uuid>)]
    branch_id: Option<BranchId>,
}

/// Invites a person.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), request_body = Invite, responses((status = 201, body = Handed)))]
#[post("/api/v1/users")]
async fn invite(state: web::Data<State>, req: Post<Invite>) -> Result<HttpResponse, Problem> {
    let Invite {
        email,
        name,
        role_ids,
        branch_ids,
    } = req.body;
    let new = NewUser {
        email: email.to_lowercase(),
        name,
        role_ids,
        scope: Scope::new(branch_ids),
    };
    let done = commands::invite(&state, &req.caller.ctx, &req.caller.grants, new).await?;
    Ok(Handed::private(created(
        &done.map(|made| Handed::new(&state, made)),
    )))
}

/// Users, by name unless sorted otherwise.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.read"])), params(PageQuery, Filter), responses((status = 200, body = Page<UserBody>)))]
#[get("/api/v1/users")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    Ok(page(
        &listed(&state, &caller, filter.into_inner(), &query).await?,
    ))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: Filter,
    paging: &PageQuery,
) -> Result<Page<UserBody>, Error> {
    caller.require("identity.user.read")?;
    let walk = Walk::read(paging, &store::SORTS)?;
    let Filter {
        status,
        email,
        role_id,
        branch_id,
    } = filter;
    let filter = store::Filter {
        status,
        email: email.map(|e| e.to_lowercase()),
        role: role_id,
        branch: branch_id,
    };
    let users = state.db.read(&caller.ctx, async |tx: &mut Tx| {
        store::list(tx, paging, &walk, &filter).await
    });
    Ok(users.await?.map(UserBody::from))
}

/// A user.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.read"])), responses((status = 200, body = UserBody)))]
#[get("/api/v1/users/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<UserId>,
) -> Result<HttpResponse, Problem> {
    let found = state.db.read(&caller.ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::get(tx, *id).await?)
    });
    Ok(ok(&bahi_db::Done::first(UserBody::from(found.await?))))
}

/// Changes name, roles, branches and address.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), request_body = Change, responses(
    (status = 200, body = UserBody), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 409, description = "EMAIL_TAKEN"), (status = 422, description = "OWN_EMAIL, LAST_OWNER, ERASED"), (status = 429, description = "TOO_MANY_MAILS, with Retry-After")))]
#[put("/api/v1/users/{id:[^:/]+}")]
async fn update(
    state: web::Data<State>,
    device: Device,
    id: web::Path<UserId>,
    req: Amend<Change>,
) -> Result<HttpResponse, Problem> {
    let change = commands::Change {
        name: req.body.name,
        role_ids: req.body.role_ids,
        scope: req.body.branch_ids.map(Scope::new),
        email: req.body.email.map(|email| email.to_lowercase()),
    };
    let which = (*id, req.version);
    let done = commands::update(&state, &req.caller, which, change, device.language).await?;
    Ok(ok(&done.map(UserBody::from)))
}

/// Shuts a user out.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), request_body = Disable, responses((status = 200, body = UserBody)))]
#[post("/api/v1/users/{id:[^:/]+}:disable")]
async fn disable(
    state: web::Data<State>,
    id: web::Path<UserId>,
    req: Post<Disable>,
) -> Result<HttpResponse, Problem> {
    let done = commands::disable(
        &state,
        &req.caller.ctx,
        &req.caller.grants,
        *id,
        req.body.reason,
    )
    .await?;
    Ok(ok(&done.map(UserBody::from)))
}

/// Lets a disabled user in again.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), request_body = Empty, responses(
    (status = 200, body = UserBody), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 422, description = "ERASED")))]
#[post("/api/v1/users/{id:[^:/]+}:enable")]
async fn enable(
    state: web::Data<State>,
    id: web::Path<UserId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::enable(&state, &req.caller.ctx, &req.caller.grants, *id).await?;
    Ok(ok(&done.map(UserBody::from)))
}

/// Gives an invited user a new invitation; the one before is void.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), request_body = Empty, responses((status = 200, body = Handed)))]
#[post("/api/v1/users/{id:[^:/]+}:invite")]
async fn invite_again(
    state: web::Data<State>,
    id: web::Path<UserId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::invite_again(&state, &req.caller.ctx, &req.caller.grants, *id).await?;
    Ok(Handed::private(ok(
        &done.map(|made| Handed::new(&state, made))
    )))
}

/// Gives a user a one-time token with which he sets a new password.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write", "person"])), request_body = Empty, responses(
    (status = 200, body = Handed), (status = 403, description = "ESCALATION, OTHER_BRANCH"), (status = 422, description = "OWN_PASSWORD, USER_STATUS, ERASED")))]
#[post("/api/v1/users/{id:[^:/]+}:reset-password")]
async fn reset_password(
    state: web::Data<State>,
    id: web::Path<UserId>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let done = commands::reset_password(&state, &req.caller, *id).await?;
    Ok(Handed::private(ok(
        &done.map(|made| Handed::new(&state, made))
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_an_address_when_it_sees_one() {
        for right in ["a@b.in", "Asha.Rao+till@shop-1.example.co.in"] {
            assert!(address(right, &()).is_ok(), "{right}");
        }
        for wrong in [
            "", "a", "a@", "@b.in", "a@b", "a b@c.in", "a@b..in", "a@b.in\n", "a@b@c.in", "ä@b.in",
        ] {
            assert!(address(wrong, &()).is_err(), "{wrong}");
        }
    }
}
