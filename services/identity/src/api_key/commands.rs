//! The use cases of API keys.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_http::{Caller, Grants};
use bahi_types::{Clock, Scope, TenantId, UserId};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{ApiKey, Presented, hash, new_prefix, within_a_year},
    store,
};
use crate::{
    Error, State, revocation,
    role::model::{grant_set, within},
    tenant,
    user::{self, Credentials},
};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: String,
    /// Grants.
    pub permissions: Vec<String>,
    /// Requests a minute.
    pub rate: i32,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

/// Makes a key for the caller to hand to a program.
pub async fn create(state: &State, caller: &Caller, new: NewKey) -> Result<Done<ApiKey>, Error> {
    let (maker, grants, secret) = (caller.user()?, caller.grants.clone(), state.secret.clone());
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            here(tx, maker).await?;
            within_a_year(new.expires_at, tx.now())?;
            let permissions = grant_set(new.permissions);
            within(&grants, &permissions)?;
            let id = Uuid::now_v7();
            let key = ApiKey {
                tenant_id: tx.tenant(),
                id,
                name: new.name,
                prefix: claim(tx, id).await?,
                permissions,
                rate: new.rate,
                made_by: maker,
                not_before: 0,
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
                expires_at: new.expires_at,
                last_used_at: None,
                revoked_at: None,
            };
            store::insert(tx, &key, &hash(&key.secret(&secret))).await?;
            let details = json!({ "name": key.name, "prefix": key.prefix, "permissions": key.permissions, "expires_at": key.expires_at });
            tx.audit("identity.api_key.create", ("api_key", id), None, details);
            Ok(key)
        })
        .await
}

/// The maker must not be shut out meanwhile: his keys were revoked then.
async fn here(tx: &mut Tx, maker: UserId) -> Result<(), Error> {
    let user = user::store::share(tx, maker).await?;
    match user {
        Some(user) if user.is_active() => Ok(()),
        Some(user) => Err(Error::UserStatus(user.status)),
        None => Err(DbError::NotFound.into()),
    }
}

async fn claim(tx: &mut Tx, id: Uuid) -> Result<String, Error> {
    // Of a million million prefixes two are hardly ever alike.
    loop {
        let prefix = new_prefix()?;
        if store::claim(tx, &prefix, id).await? {
            return Ok(prefix);
        }
    }
}

/// Makes the secret of a key anew, and the caller its maker. The one before is void at once.
pub async fn rotate(
    state: &State,
    caller: &Caller,
    id: Uuid,
    expires_at: Option<DateTime<Utc>>,
) -> Result<Done<ApiKey>, Error> {
    let (maker, grants, secret) = (caller.user()?, caller.grants.clone(), state.secret.clone());
    let clock = state.clock.clone();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            here(tx, maker).await?;
            let mut key = store::lock(tx, id).await?;
            over(tx, &grants, &key).await?;
            if !key.is_good(tx.now()) {
                return Err(Error::KeyEnded);
            }
            if let Some(end) = expires_at {
                within_a_year(end, tx.now())?;
                key.expires_at = end;
            }
            key.made_by = maker;
            changed(tx, &clock, &mut key).await?;
            store::set_hash(tx, id, &hash(&key.secret(&secret))).await?;
            let details = json!({ "expires_at": key.expires_at });
            tx.audit("identity.api_key.rotate", ("api_key", id), None, details);
            Ok(key)
        })
        .await
}

/// Nobody acts upon a key that holds more than he, or reaches further: as far as its maker.
async fn over(tx: &mut Tx, grants: &Grants, key: &ApiKey) -> Result<(), Error> {
    within(grants, &key.permissions)?;
    let maker = user::store::credentials(tx, key.made_by).await?;
    user::reaches(tx, &maker.ok_or(DbError::NotFound)?.scope())
}

/// Saves a key whose row is locked, and makes void what was believed of it.
async fn changed(tx: &mut Tx, clock: &Clock, key: &mut ApiKey) -> Result<(), Error> {
    key.version += 1;
    key.updated_at = tx.now();
    key.not_before = clock.now().timestamp() + 1;
    store::save(tx, key).await?;
    Ok(revocation::principals(tx, &[key.id], key.not_before).await?)
}

/// Ends a key.
pub async fn revoke(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    id: Uuid,
    reason: Option<String>,
) -> Result<Done<ApiKey>, Error> {
    let (grants, clock) = (grants.clone(), state.clock.clone());
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut key = store::lock(tx, id).await?;
            over(tx, &grants, &key).await?;
            if key.revoked_at.is_none() {
                end(tx, &clock, &mut key, reason).await?;
            }
            Ok(key)
        })
        .await
}

async fn end(
    tx: &mut Tx,
    clock: &Clock,
    key: &mut ApiKey,
    reason: Option<String>,
) -> Result<(), Error> {
    key.revoked_at = Some(tx.now());
    changed(tx, clock, key).await?;
    tx.audit(
        "identity.api_key.revoke",
        ("api_key", key.id),
        reason,
        json!({}),
    );
    Ok(())
}

/// Ends the keys whose secret a user has seen, who is being disabled.
pub async fn revoke_made_by(tx: &mut Tx, clock: &Clock, user: UserId) -> Result<(), Error> {
    for mut key in store::lock_made_by(tx, user).await? {
        let reason = Some("its maker was disabled".to_owned());
        end(tx, clock, &mut key, reason).await?;
    }
    Ok(())
}

/// A key that was presented and is good.
#[derive(Clone, Debug)]
pub struct Good {
    /// The key.
    pub key: ApiKey,
    /// What it may do now: no more than its maker.
    pub permissions: Vec<String>,
    /// Where: no further than its maker.
    pub scope: Scope,
    /// The Unix second of which this is true.
    pub issued_at: i64,
    /// Whether its tenant is suspended: then it is good for nothing, and the gateway says so.
    pub suspended: bool,
}

/// Looks at a key that was presented, and notes its use. Nothing for whatever is wrong, because a caller gains nothing
/// from knowing.
pub async fn verify(state: &State, presented: Presented) -> Result<Option<Good>, Error> {
    let nobody = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let found = state.db.read(&nobody, async move |tx: &mut Tx| {
        let Some((tenant, id)) = store::find_prefix(tx, &presented.prefix).await? else {
            return Ok(None);
        };
        tx.enter(tenant).await?;
        let known = store::with_hash(tx, id).await?;
        let Some((key, _)) =
            known.filter(|(key, hash)| presented.is(hash) && key.is_good(tx.now()))
        else {
            return Ok(None);
        };
        let maker = user::store::credentials(tx, key.made_by).await?;
        let Some(maker) = maker.filter(Credentials::is_active) else {
            return Ok(None);
        };
        let held = Grants::new(user::store::permissions(tx, key.made_by).await?);
        let permissions = key.permissions.iter().filter(|p| held.allow(p)).cloned();
        Ok::<_, Error>(Some(Good {
            permissions: permissions.collect(),
            scope: maker.scope(),
            issued_at: tx.now().timestamp().max(key.not_before),
            suspended: tenant::store::get(tx).await?.suspended_at.is_some(),
            key,
        }))
    });
    let Some(good) = found.await? else {
        return Ok(None);
    };
    if good.key.is_noteworthy(state.clock.now()) {
        let ctx = Ctx::service(state.db.service(), good.key.tenant_id);
        let id = good.key.id;
        let noted = state.db.write(&ctx, async move |tx: &mut Tx| {
            Ok::<_, Error>(store::touch(tx, id).await?)
        });
        noted.await?;
    }
    Ok(Some(good))
}
