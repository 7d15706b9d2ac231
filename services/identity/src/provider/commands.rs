//! The use cases of identity providers.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::{BranchId, RoleId, Scope};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Provider, domain_set, is_issuer, owner},
    store,
};
use crate::{
    Error, State, events, oidc,
    password::Password,
    role::{self, model::within},
    secret::Purpose,
    user,
};

/// What is said of a provider, and may change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What people see.
    pub name: String,
    /// Our name there.
    pub client_id: String,
    /// What to do about the client secret.
    pub secret: Change,
    /// Where it may send people back to.
    pub redirect_uris: Vec<String>,
    /// Domains for which it speaks.
    pub domains: Vec<String>,
    /// Whether a verified address finds its user.
    pub link_by_email: bool,
    /// What unknown people become.
    pub role_id: Option<RoleId>,
    /// Where they work then, where this changes.
    pub scope: Option<Scope>,
    /// Whether its second factor counts.
    pub trusts_mfa: bool,
    /// Whether it lets anybody in.
    pub active: bool,
}

/// What to do about a client secret.
#[derive(Clone, Debug)]
pub enum Change {
    /// Leave it.
    Keep,
    /// Take another.
    Take(Password),
    /// A public client has none.
    Drop,
}

impl Change {
    /// Sealed, where there is a change.
    fn sealed(&self, state: &State, whose: &[u8]) -> Result<Option<Option<Vec<u8>>>, Error> {
        Ok(match self {
            Self::Keep => None,
            Self::Take(secret) => Some(Some(state.secret.seal(whose, secret.as_str().as_bytes())?)),
            Self::Drop => Some(None),
        })
    }
}

/// Who has a provider in hand can be anybody whom it speaks for: so nobody but who holds everything, everywhere.
fn mighty(caller: &Caller) -> Result<(), Error> {
    within(&caller.grants, &["*".to_owned()])?;
    Ok(caller.ctx.everywhere()?)
}

/// The branches of those whom it brings in, which are `before` unless it says others.
async fn fits(
    tx: &mut Tx,
    settings: &Settings,
    before: Scope,
) -> Result<Option<Vec<BranchId>>, Error> {
    if settings.domains.is_empty() && (settings.link_by_email || settings.role_id.is_some()) {
        let message = "must name the domains whose people it links by e-mail or brings in";
        return Err(Fault::field("domains", message).into());
    }
    if let Some(role) = settings.role_id {
        let known = role::store::permissions(tx, &[role]).await;
        known.map_err(|error| match error {
            Error::UnknownReference(_) => Error::UnknownReference("role_id"),
            other => other,
        })?;
    }
    let scope = settings.scope.as_ref().unwrap_or(&before);
    user::given(tx, scope, settings.role_id.as_slice()).await
}

/// No request that holds a client secret is remembered by a hash of its body.
fn keyed(state: &State, ctx: &Ctx, issuer: &str, settings: &Settings) -> Ctx {
    let mut ctx = ctx.clone();
    if let (Some(key), Change::Take(secret)) = (&mut ctx.idempotency, &settings.secret) {
        let text = format!("{issuer} {settings:?} {}", secret.as_str());
        key.hash = state.secret.mac(Purpose::Request, text.as_bytes()).to_vec();
    }
    ctx
}

/// Makes a provider.
pub async fn create(
    state: &State,
    caller: &Caller,
    issuer: String,
    settings: Settings,
) -> Result<Done<Provider>, Error> {
    mighty(caller)?;
    let address = state.providers.address(&issuer).ok();
    if !address.is_some_and(|url| is_issuer(&url)) {
        let message = "must be a public https address without query or fragment";
        return Err(Fault::field("issuer", message).into());
    }
    let ctx = keyed(state, &caller.ctx, &issuer, &settings);
    let state_ = state.clone();
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            let branch_ids = fits(tx, &settings, Scope::default()).await?;
            let id = Uuid::now_v7();
            let sealed = settings.secret.sealed(&state_, &owner(tx.tenant(), id))?;
            let row = Provider {
                tenant_id: tx.tenant(),
                id,
                name: settings.name,
                issuer,
                client_id: settings.client_id,
                redirect_uris: settings.redirect_uris,
                domains: domain_set(settings.domains),
                link_by_email: settings.link_by_email,
                role_id: settings.role_id,
                trusts_mfa: settings.trusts_mfa,
                active: settings.active,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
                branch_ids,
            };
            store::insert(tx, &row, sealed.flatten().as_deref()).await?;
            tx.publish(events::provider(&row));
            told(tx, "identity.provider.create", &row);
            Ok(row)
        })
        .await
}

fn told(tx: &mut Tx, action: &'static str, row: &Provider) {
    let details = json!({
        "issuer": row.issuer, "client_id": row.client_id, "redirect_uris": row.redirect_uris, "domains": row.domains,
        "link_by_email": row.link_by_email, "role_id": row.role_id, "branch_ids": row.branch_ids, "trusts_mfa": row.trusts_mfa, "active": row.active,
    });
    tx.audit(action, ("identity_provider", row.id), None, details);
}

async fn at_version(tx: &mut Tx, id: Uuid, version: i64) -> Result<Provider, Error> {
    let row = store::lock(tx, id).await?;
    if row.version == version {
        Ok(row)
    } else {
        let current = row.version;
        Err(DbError::Stale { current }.into())
    }
}

/// Changes a provider, closes it or opens it again.
pub async fn update(
    state: &State,
    caller: &Caller,
    (id, version): (Uuid, i64),
    settings: Settings,
) -> Result<Done<Provider>, Error> {
    mighty(caller)?;
    let ctx = keyed(state, &caller.ctx, "", &settings);
    let state_ = state.clone();
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            let mut row = at_version(tx, id, version).await?;
            row.branch_ids = fits(tx, &settings, row.scope()).await?;
            if let Some(sealed) = settings.secret.sealed(&state_, &owner(tx.tenant(), id))? {
                store::set_sealed(tx, id, sealed.as_deref()).await?;
            }
            row.name = settings.name;
            row.client_id = settings.client_id;
            row.redirect_uris = settings.redirect_uris;
            row.domains = domain_set(settings.domains);
            row.link_by_email = settings.link_by_email;
            row.role_id = settings.role_id;
            row.trusts_mfa = settings.trusts_mfa;
            row.active = settings.active;
            row.version += 1;
            row.updated_at = tx.now();
            store::save(tx, &row).await?;
            tx.publish(events::provider(&row));
            told(tx, "identity.provider.update", &row);
            Ok(row)
        })
        .await
}

/// Deletes a provider, and who is linked to it is so no more.
pub async fn delete(
    state: &State,
    caller: &Caller,
    (id, version): (Uuid, i64),
) -> Result<Done<()>, Error> {
    mighty(caller)?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut row = at_version(tx, id, version).await?;
            oidc::forget(tx, id).await?;
            store::delete(tx, id).await?;
            row.version += 1;
            tx.publish(events::provider_deleted(&row));
            told(tx, "identity.provider.delete", &row);
            Ok(())
        })
        .await
}
