//! `/api/v1/auth/...`: sign-in and what a person may do about his own sessions.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, delete,
    dev::Payload,
    get,
    http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT},
    post, web,
};
use bahi_http::{Caller, Claims, Post, Problem, Public, no_content, token, validate};
use bahi_types::{BranchId, RoleId, SessionId, TenantId, UserId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    commands,
    model::{ACCESS_LIFE, Entry, LONGEST_NAME, Session, SignedIn, language},
};
use crate::{
    Error, State,
    password::{self, Password},
    secret::{Purpose, Token},
    ticket::Kind,
    user::http::address,
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(login)
        .service(refresh)
        .service(logout)
        .service(me)
        .service(change_password)
        .service(list)
        .service(revoke)
        .service(revoke_others)
        .service(list_of)
        .service(revoke_of)
        .service(revoke_one_of);
}

/// Where a request comes from. The gateway strips what clients send and sets the header itself, so its last entry
/// is the client; without it, the peer.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Network address.
    pub ip: Option<IpAddr>,
    /// Browser or app.
    pub user_agent: Option<String>,
    /// What its user calls it.
    pub name: Option<String>,
    /// The language it asks for first (BCP 47).
    pub language: Option<String>,
}

impl Device {
    /// The same, by its user's name for it.
    pub fn named(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }
}

/// A name for a device: for `#[garde(custom(..))]`.
///
/// # Errors
/// When it is longer than a line of a list.
pub fn name_of_device(name: &Option<String>, (): &()) -> garde::Result {
    let Some(name) = name else {
        return Ok(());
    };
    validate::line(name, &())?;
    if name.chars().count() > LONGEST_NAME {
        return Err(garde::Error::new(format!(
            "must have at most {LONGEST_NAME} characters"
        )));
    }
    Ok(())
}

impl FromRequest for Device {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = |name: &str| req.headers().get(name).and_then(|v| v.to_str().ok());
        let forwarded = text("x-forwarded-for").and_then(|all| all.rsplit(',').next());
        let ip = match forwarded {
            Some(address) => address.trim().parse().ok(),
            None => req.peer_addr().map(|peer| peer.ip()),
        };
        ready(Ok(Self {
            ip,
            user_agent: text(USER_AGENT.as_str()).map(str::to_owned),
            name: None,
            language: text(ACCEPT_LANGUAGE.as_str()).and_then(language),
        }))
    }
}

/// E-mail and password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// E-mail address.
    #[garde(custom(address))]
    #[schema(format = "email")]
    email: String,
    /// Password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    password: Password,
    /// Short name of the tenant, where the e-mail belongs to several.
    #[garde(length(max = 40))]
    tenant: Option<String>,
    /// What the session is to be called; after the browser or app where absent.
    #[garde(custom(name_of_device))]
    device_name: Option<String>,
}

/// A refresh token.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    /// The token.
    #[garde(length(min = 1, max = 200))]
    refresh_token: String,
}

/// The old and the new password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The present password.
    #[garde(custom(password::given))]
    #[schema(value_type = String, format = "password")]
    old_password: Password,
    /// The one to come, of 10 to 128 characters.
    #[garde(custom(password::fit))]
    #[schema(value_type = String, format = "password")]
    new_password: Password,
}

/// Tokens of a session.
#[derive(Clone, Serialize, ToSchema)]
pub struct Tokens {
    /// For the `Authorization` header.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds that the access token lives.
    expires_in: i64,
    /// For the next access token; replaced by each use. Absent where the session keeps its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// End of the session.
    session_expires_at: DateTime<Utc>,
    /// Session.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Tenant.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// User.
    #[schema(value_type = uuid::Uuid)]
    user_id: UserId,
}

impl Tokens {
    /// The tokens of somebody who just signed in: the first of his session.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn first(state: &State, signed: &SignedIn) -> Result<Self, Error> {
        let first = state
            .secret
            .token(Purpose::Session, signed.tenant, signed.session.uuid());
        Self::new(state, signed, Some(&first))
    }

    fn new(state: &State, signed: &SignedIn, next: Option<&Token>) -> Result<Self, Error> {
        let claims = Claims {
            iss: state.signer.issuer().to_owned(),
            aud: token::AUDIENCE_API.to_owned(),
            sub: signed.user.to_string(),
            tid: signed.tenant,
            sid: Some(signed.session.uuid()),
            perms: signed.permissions.clone(),
            branches: signed.scope.clone(),
            name: Some(signed.name.clone()),
            rate: None,
            amr: signed.amr.clone(),
            txn: None,
            sxp: None,
            iat: signed.issued_at,
            exp: signed.issued_at + ACCESS_LIFE,
        };
        Ok(Self {
            access_token: state.signer.sign(token::ACCESS, &claims)?,
            token_type: "Bearer",
            expires_in: (claims.exp - state.clock.now().timestamp()).max(0),
            refresh_token: next.map(Token::text),
            session_expires_at: signed.expires_at,
            session_id: signed.session,
            tenant_id: signed.tenant,
            user_id: signed.user,
        })
    }

    /// The answer with tokens, which no cache may keep.
    pub fn answer(&self, mut response: actix_web::HttpResponseBuilder) -> HttpResponse {
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(self)
    }
}

/// The way in for somebody whose password was right, where that is not enough.
#[derive(Clone, Serialize, ToSchema)]
pub struct Challenge {
    /// To be given with the code.
    challenge: String,
    /// No second factor is enrolled yet: that is to be done first, with the challenge.
    enrol: bool,
    /// Until then.
    expires_at: DateTime<Utc>,
}

/// The answer to a right password: tokens, or a challenge. No cache may keep either.
///
/// # Errors
/// When the key cannot sign.
pub fn answer(state: &State, entry: &Entry) -> Result<HttpResponse, Problem> {
    let ticket = match entry {
        Entry::Open(signed) => {
            return Ok(Tokens::first(state, signed)?.answer(HttpResponse::Ok()));
        }
        Entry::Second(ticket) => ticket,
    };
    let challenge = Challenge {
        challenge: ticket.token(&state.secret).text(),
        enrol: ticket.kind == Kind::MfaEnrolment.name(),
        expires_at: ticket.expires_at,
    };
    Ok(HttpResponse::Accepted()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(challenge))
}

/// A session as its user sees it.
#[derive(Serialize, ToSchema)]
struct SessionBody {
    #[schema(value_type = uuid::Uuid)]
    id: SessionId,
    created_at: DateTime<Utc>,
    /// The last refresh.
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// From where it was opened.
    ip: Option<String>,
    user_agent: Option<String>,
    /// As its user called it, or after its browser or app.
    device_name: Option<String>,
    /// How its user has shown who he is (RFC 8176).
    amr: Vec<String>,
    /// The one this request belongs to.
    current: bool,
}

/// The open sessions of a user.
#[derive(Serialize, ToSchema)]
struct Sessions {
    items: Vec<SessionBody>,
}

impl Sessions {
    fn of(sessions: Vec<Session>, current: Option<SessionId>) -> Self {
        let body = |s: Session| SessionBody {
            id: s.id,
            created_at: s.created_at,
            last_used_at: s.last_used_at,
            expires_at: s.expires_at,
            ip: s.ip,
            user_agent: s.user_agent,
            device_name: s.device,
            amr: s.amr,
            current: Some(s.id) == current,
        };
        Self {
            items: sessions.into_iter().map(body).collect(),
        }
    }
}

/// The caller himself.
#[derive(Serialize, ToSchema)]
struct MeBody {
    #[schema(value_type = uuid::Uuid)]
    user_id: UserId,
    email: String,
    /// When the caller has shown that the address is his.
    email_verified_at: Option<DateTime<Utc>>,
    name: String,
    status: String,
    #[schema(value_type = Vec<uuid::Uuid>)]
    role_ids: Vec<RoleId>,
    /// Union of the grants of the roles, as they stand now.
    permissions: Vec<String>,
    /// The branches that they are good at; all of them where there is none.
    #[schema(value_type = Option<Vec<uuid::Uuid>>)]
    branch_ids: Option<Vec<BranchId>>,
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    tenant_slug: String,
    tenant_name: String,
    #[schema(value_type = Option<uuid::Uuid>)]
    session_id: Option<SessionId>,
}

/// Signs in.
#[utoipa::path(tag = "auth", security(()), request_body = Login, responses(
    (status = 200, body = Tokens),
    (status = 202, body = Challenge, description = "The password is right, a second factor is needed"),
    (status = 401, description = "INVALID_CREDENTIALS"),
    (status = 409, description = "CHOOSE_TENANT, with the short names of the tenants"),
    (status = 429, description = "TOO_MANY_ATTEMPTS, with Retry-After")))]
#[post("/api/v1/auth/login")]
async fn login(
    state: web::Data<State>,
    device: Device,
    req: Public<Login>,
) -> Result<HttpResponse, Problem> {
    let Login {
        email,
        password,
        tenant,
        device_name,
    } = req.body;
    let tenant = tenant.map(|slug| slug.to_lowercase());
    let entry = commands::sign_in(
        &state,
        req.ctx,
        device.named(device_name),
        email.to_lowercase(),
        password,
        tenant,
    )
    .await?;
    answer(&state, &entry)
}

/// Replaces a refresh token.
#[utoipa::path(tag = "auth", security(()), request_body = RefreshToken, responses(
    (status = 200, body = Tokens), (status = 401, description = "SESSION_ENDED")))]
#[post("/api/v1/auth/refresh")]
async fn refresh(
    state: web::Data<State>,
    req: Public<RefreshToken>,
) -> Result<HttpResponse, Problem> {
    let presented = Token::read(&req.body.refresh_token).ok_or(Error::SessionEnded)?;
    let (signed, successor) = commands::refresh(&state, req.ctx, presented).await?;
    Ok(Tokens::new(&state, &signed, Some(&successor))?.answer(HttpResponse::Ok()))
}

/// Signs out: ends the session of a refresh token, known or not.
#[utoipa::path(tag = "auth", security(()), request_body = RefreshToken, responses((status = 204)))]
#[post("/api/v1/auth/logout")]
async fn logout(
    state: web::Data<State>,
    req: Public<RefreshToken>,
) -> Result<HttpResponse, Problem> {
    if let Some(presented) = Token::read(&req.body.refresh_token) {
        commands::sign_out(&state, req.ctx, presented).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Who the caller is.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 200, body = MeBody)))]
#[get("/api/v1/auth/me")]
async fn me(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let found = commands::me(&state, &caller.ctx, caller.user()?).await?;
    let (user, tenant) = (found.member.user, found.tenant);
    Ok(HttpResponse::Ok().json(MeBody {
        user_id: user.id,
        email: user.email,
        email_verified_at: user.email_verified_at,
        name: user.name,
        status: user.status,
        role_ids: found.member.role_ids,
        permissions: found.permissions,
        branch_ids: user.branch_ids,
        tenant_id: tenant.tenant_id,
        tenant_slug: tenant.slug,
        tenant_name: tenant.name,
        session_id: caller.session.map(SessionId::from_uuid),
    }))
}

/// Changes the caller's password; his other sessions end.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), request_body = PasswordChange, responses(
    (status = 200, body = Tokens), (status = 422, description = "WRONG_PASSWORD, PASSWORD_IS_ADDRESS, PASSWORD_IS_NAME, PASSWORD_BREACHED")))]
#[post("/api/v1/auth/password")]
async fn change_password(
    state: web::Data<State>,
    device: Device,
    req: Post<PasswordChange>,
) -> Result<HttpResponse, Problem> {
    let who = (
        req.caller.user()?,
        commands::session_of(req.caller.session)?,
    );
    let PasswordChange {
        old_password,
        new_password,
    } = req.body;
    let signed = commands::change_password(
        &state,
        &req.caller.ctx,
        who,
        device,
        old_password,
        new_password,
    )
    .await?;
    Ok(Tokens::new(&state, &signed, None)?.answer(HttpResponse::Ok()))
}

/// The caller's open sessions.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 200, body = Sessions)))]
#[get("/api/v1/auth/sessions")]
async fn list(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let sessions = commands::sessions(&state, &caller.ctx, caller.user()?).await?;
    Ok(HttpResponse::Ok().json(Sessions::of(
        sessions,
        caller.session.map(SessionId::from_uuid),
    )))
}

/// Ends one of the caller's sessions.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 204)))]
#[delete("/api/v1/auth/sessions/{id}")]
async fn revoke(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<SessionId>,
) -> Result<HttpResponse, Problem> {
    let ended = commands::revoke_own(&state, &caller.ctx, caller.user()?, *id).await?;
    Ok(no_content(&ended))
}

/// Ends the caller's sessions, all but the one he asks with.
#[utoipa::path(tag = "auth", security(("bearer" = ["person"])), responses((status = 204)))]
#[delete("/api/v1/auth/sessions")]
async fn revoke_others(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let who = (caller.user()?, commands::session_of(caller.session)?);
    let ended = commands::revoke_others(&state, &caller.ctx, who).await?;
    Ok(no_content(&ended))
}

/// The open sessions of a user.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.read"])), responses((status = 200, body = Sessions)))]
#[get("/api/v1/users/{id}/sessions")]
async fn list_of(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<UserId>,
) -> Result<HttpResponse, Problem> {
    let sessions = commands::sessions(&state, &caller.ctx, *id).await?;
    Ok(HttpResponse::Ok().json(Sessions::of(
        sessions,
        caller.session.map(SessionId::from_uuid),
    )))
}

/// Ends every session of a user.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), responses((status = 204), (status = 403, description = "ESCALATION")))]
#[delete("/api/v1/users/{id}/sessions")]
async fn revoke_of(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<UserId>,
) -> Result<HttpResponse, Problem> {
    let ended = commands::revoke_of(&state, &caller.ctx, &caller.grants, *id, None).await?;
    Ok(no_content(&ended))
}

/// Ends one session of a user.
#[utoipa::path(tag = "users", security(("bearer" = ["identity.user.write"])), responses((status = 204), (status = 403, description = "ESCALATION")))]
#[delete("/api/v1/users/{id}/sessions/{session}")]
async fn revoke_one_of(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(UserId, SessionId)>,
) -> Result<HttpResponse, Problem> {
    let (id, session) = path.into_inner();
    let ended = commands::revoke_of(&state, &caller.ctx, &caller.grants, id, Some(session)).await?;
    Ok(no_content(&ended))
}
