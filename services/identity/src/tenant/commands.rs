//! Registration.

use bahi_db::{Ctx, Done, Idempotency, Tx};
use bahi_events::Actor;
use bahi_types::{RoleId, TenantId, UserId};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Tenant, slug_of},
    store,
};
use crate::{
    Error, State,
    attempt::Counted,
    company, events,
    password::{self, Password},
    role::{
        self,
        model::{DEFAULTS, Role},
    },
    secret::Purpose,
    session::{self, Device, SignedIn},
    user::{self, Member, Status, User},
    verification,
};

/// A business that registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Name of the business.
    pub tenant_name: String,
    /// Short name, where it wants a certain one.
    pub slug: Option<String>,
    /// Name of the owner.
    pub name: String,
    /// His e-mail in lower case.
    pub email: String,
    /// His password.
    pub password: Password,
}

/// Ids of what registration makes.
struct Ids {
    tenant: TenantId,
    owner: UserId,
}

impl Ids {
    fn new(key: Option<&Idempotency>, email: &str) -> Self {
        let Some(key) = key else {
            return Self {
                tenant: TenantId::new(),
                owner: UserId::new(),
            };
        };
        // Any fixed namespace does.
        let namespace = Uuid::from_u128(0x019a_a5c1_7d00_7000_8000_6261_6869_0001);
        let name = |what: &str| format!("{what} {email} {}", key.key);
        Self {
            tenant: TenantId::derived(namespace, &name("tenant")),
            owner: UserId::derived(namespace, &name("owner")),
        }
    }
}

/// Registers a business and signs its owner in.
pub async fn register(
    state: &State,
    mut ctx: Ctx,
    from: Device,
    new: Registration,
) -> Result<Done<SignedIn>, Error> {
    let whose = password::Owner {
        email: new.email.clone(),
        name: new.name.clone(),
        business: new.tenant_name.clone(),
    };
    whose.check(&state.breached, &new.password).await?;
    let Ids { tenant, owner } = Ids::new(ctx.idempotency.as_ref(), &new.email);
    ctx.tenant = tenant;
    ctx.actor = Actor::User { id: owner.uuid() };
    if let Some(key) = &mut ctx.idempotency {
        // The request holds a password, and what is stored of it must not help to guess it.
        let fields = (
            &new.tenant_name,
            &new.slug,
            &new.name,
            &new.email,
            new.password.as_str(),
        );
        let text = serde_json::to_vec(&fields).map_err(bahi_db::Error::from)?;
        key.hash = state.secret.mac(Purpose::Request, &text).to_vec();
    }
    let counted = Counted::of(&state.secret, &new.email, from.ip);
    let _lane = state.lanes.enter(&counted).await?;
    let password_hash = state.hasher.hash(&new.password).await?;
    let state_ = state.clone();
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            let slug = claim_slug(tx, &new).await?;
            let tenant = Tenant {
                tenant_id: tenant,
                slug,
                name: new.tenant_name,
                version: 1,
                created_at: tx.now(),
                suspended_at: None,
                suspended_for: None,
            };
            store::insert(tx, &tenant).await?;
            let roles = default_roles(tx);
            role::store::insert(tx, &roles).await?;
            let user = User {
                tenant_id: tx.tenant(),
                id: owner,
                email: new.email,
                name: new.name,
                status: Status::ACTIVE.into(),
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
                email_verified_at: None,
                branch_ids: None,
            };
            user::store::insert(tx, &user, Some(&password_hash)).await?;
            let role_ids: Vec<_> = roles
                .iter()
                .filter(|role| role.is_owner)
                .map(|role| role.id)
                .collect();
            user::store::set_roles(tx, owner, &role_ids).await?;
            let company = company::first(tx, &tenant.name).await?;
            let credentials = user::store::share(tx, owner)
                .await?
                .ok_or(bahi_db::Error::NotFound)?;
            let signed =
                session::open(tx, &state_, &credentials, &from, &session::PASSWORD).await?;
            tx.publish(events::tenant_created(&tenant));
            tx.publish(events::company_updated(&company));
            for role in &roles {
                tx.publish(events::role_created(role));
            }
            let member = Member { user, role_ids };
            tx.publish(events::user_created(&member));
            verification::request(tx, &state_.secret, &member.user, from.language.clone()).await?;
            let details = json!({ "slug": tenant.slug });
            tx.audit(
                "identity.tenant.register",
                ("tenant", tenant.tenant_id.uuid()),
                None,
                details,
            );
            Ok(signed)
        })
        .await
}

async fn claim_slug(tx: &mut Tx, new: &Registration) -> Result<String, Error> {
    if let Some(slug) = &new.slug {
        return if store::claim_slug(tx, slug).await? {
            Ok(slug.clone())
        } else {
            Err(Error::SlugTaken)
        };
    }
    let plain = slug_of(&new.tenant_name, None);
    if store::claim_slug(tx, &plain).await? {
        return Ok(plain);
    }
    // The random end of the tenant's own id tells namesakes apart.
    let [.., a, b, c, d] = *tx.tenant().uuid().as_bytes();
    let distinct = slug_of(&new.tenant_name, Some(u32::from_be_bytes([a, b, c, d])));
    if store::claim_slug(tx, &distinct).await? {
        Ok(distinct)
    } else {
        Err(Error::SlugTaken)
    }
}

fn default_roles(tx: &Tx) -> Vec<Role> {
    let role = |(name, grants): (&String, &Vec<String>)| Role {
        tenant_id: tx.tenant(),
        id: RoleId::new(),
        name: name.clone(),
        permissions: grants.clone(),
        is_owner: name == role::model::OWNER,
        version: 1,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    DEFAULTS.iter().map(role).collect()
}

/// Suspends the tenant of `ctx`; one that is stays so as it was. `operator` is who did it by hand.
pub async fn suspend(
    state: &State,
    ctx: &Ctx,
    reason: String,
    operator: Option<String>,
) -> Result<Done<Tenant>, Error> {
    let ctx = ctx.clone();
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            let mut row = store::lock(tx).await?;
            if row.suspended_at.is_some() {
                return Ok(row);
            }
            row.suspended_at = Some(tx.now());
            row.suspended_for = Some(reason.clone());
            row.version += 1;
            store::save(tx, &row).await?;
            tx.publish(events::tenant_suspended(&row));
            told(tx, "identity.tenant.suspend", reason, operator);
            Ok(row)
        })
        .await
}

/// Lets the tenant of `ctx` in again; nothing for one that is not suspended.
pub async fn reactivate(
    state: &State,
    ctx: &Ctx,
    reason: String,
    operator: Option<String>,
) -> Result<Done<Tenant>, Error> {
    let ctx = ctx.clone();
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            let mut row = store::lock(tx).await?;
            if row.suspended_at.is_none() {
                return Ok(row);
            }
            row.suspended_at = None;
            row.suspended_for = None;
            row.version += 1;
            store::save(tx, &row).await?;
            tx.publish(events::tenant_reactivated(&row));
            told(tx, "identity.tenant.reactivate", reason, operator);
            Ok(row)
        })
        .await
}

fn told(tx: &mut Tx, action: &'static str, reason: String, operator: Option<String>) {
    let details = operator.map_or_else(|| json!({}), |who| json!({ "operator": who }));
    let id = tx.tenant().uuid();
    tx.audit(action, ("tenant", id), Some(reason), details);
}
