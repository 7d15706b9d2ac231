//! Setting a PIN, and approving by one.

use bahi_db::{Ctx, Error as DbError, Tx};
use bahi_http::{APPROVAL, APPROVAL_LIFE, AUDIENCE_APPROVAL, Approval, Caller, Grants};
use bahi_types::{Scope, UserId};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Approver, Asked, Given, MOST_FAILURES},
    store,
};
use crate::{
    Error, State,
    attempt::{self, Counted},
    password::Password,
    session::{self, Device},
    till, user,
};

/// No request that holds a PIN is remembered by its key: the hash of its body would be one of the PIN.
fn unremembered(ctx: &Ctx) -> Ctx {
    Ctx {
        idempotency: None,
        ..ctx.clone()
    }
}

/// Sets the caller's own PIN.
pub async fn set_pin(
    state: &State,
    ctx: &Ctx,
    owner: UserId,
    from: Device,
    password: Password,
    pin: Password,
) -> Result<(), Error> {
    let (ctx, proven) = session::prove(state, ctx, owner, &from, &password).await?;
    let hash = state.hasher.hash(&pin).await?;
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = proven.lock(tx).await?;
        store::put(tx, owner, &hash).await?;
        tx.audit("identity.pin.set", ("user", owner.uuid()), None, json!({}));
        attempt::forgive(tx, &proven.counted.shown_by(&user)).await
    });
    done.await?;
    Ok(())
}

/// A PIN that a guess was counted on.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Counting {
    /// It may be compared with this hash.
    Guess(String),
    /// It was guessed at too often.
    Locked,
    /// There is none.
    Missing,
}

/// Whoever stands behind a PIN that was right.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Lender {
    name: String,
    /// What he was asked for and does not hold.
    lacks: Option<String>,
    /// He does not work where it is to be used.
    elsewhere: bool,
}

/// Lends permissions of the approver to the caller, if the PIN is right.
pub async fn approve(
    state: &State,
    caller: &Caller,
    from: Device,
    asked: Asked,
    pin: Password,
) -> Result<Given, Error> {
    let ctx = unremembered(&caller.ctx);
    let asker = caller.user()?;
    let named = asked.approver.clone();
    let found = state.db.read(&ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::approver(tx, &named).await?)
    });
    let found = found.await?;
    let whom = match (&asked.approver, found) {
        (_, Some(id)) => id.to_string(),
        (Approver::Id(id), None) => id.to_string(),
        (Approver::Email(email), None) => email.clone(),
    };
    let counted = Counted::pin(&state.secret, caller.tenant(), &whom, from.ip);
    let _taken = attempt::take(state, &counted).await?;
    let counting = match found {
        Some(approver) => count(state, &ctx, approver).await?,
        None => Counting::Missing,
    };
    let stored = match (&counting, found) {
        (Counting::Locked, _) => return Err(Error::PinLocked),
        (Counting::Guess(hash), Some(approver)) => Some((hash.clone(), approver)),
        _ => None,
    };
    let hash = stored.as_ref().map(|(hash, _)| hash.as_str());
    let right = state.hasher.verify(&pin, hash).await?;
    let Some((hash, approver)) = stored.filter(|_| right) else {
        return Err(Error::WrongPin);
    };
    let granted_at = state.clock.now();
    let expires_at = granted_at + TimeDelta::seconds(APPROVAL_LIFE.as_secs() as i64);
    let jti = Uuid::now_v7();
    let wanted = asked.clone();
    let lender = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = user::store::share(tx, approver)
            .await?
            .filter(user::Credentials::is_active)
            .ok_or(Error::WrongPin)?;
        // Between the check and now the PIN may have changed.
        let pin = store::lock(tx, approver).await?;
        if pin.is_none_or(|pin| pin.hash != hash) {
            return Err(Error::WrongPin);
        }
        store::set_failures(tx, approver, 0).await?;
        let held = Grants::new(user::store::permissions(tx, approver).await?);
        let lacks = wanted.permissions.iter().find(|p| !held.allow(p)).cloned();
        let scope = user.scope();
        let elsewhere = match wanted.till_id {
            _ if scope.is_whole() => false,
            Some(till) => !scope.has(till::store::get(tx, till).await?.branch_id),
            None => !scope.covers(&tx.ctx().scope),
        };
        let action = match lacks.is_none() && !elsewhere {
            true => "identity.approval.give",
            false => "identity.approval.refuse",
        };
        let details = json!({
            "approval_id": jti, "asked_by": asker, "permissions": wanted.permissions,
            "document_id": wanted.document_id, "till_id": wanted.till_id,
        });
        tx.audit(
            action,
            ("user", approver.uuid()),
            Some(wanted.reason.clone()),
            details,
        );
        attempt::forgive(tx, &counted).await?;
        Ok(Lender {
            name: user.name,
            lacks,
            elsewhere,
        })
    });
    let lender = lender.await?.value;
    if let Some(permission) = lender.lacks {
        return Err(Error::Escalation(permission));
    }
    if lender.elsewhere {
        return Err(DbError::OtherBranch.into());
    }
    let approval = Approval {
        iss: state.signer.issuer().to_owned(),
        aud: AUDIENCE_APPROVAL.to_owned(),
        sub: approver,
        name: lender.name.clone(),
        tid: ctx.tenant,
        act: asker,
        perms: asked.permissions.clone(),
        doc: asked.document_id,
        till: asked.till_id,
        reason: asked.reason,
        jti,
        iat: granted_at.timestamp(),
        exp: expires_at.timestamp(),
    };
    Ok(Given {
        token: state.signer.sign(APPROVAL, &approval)?,
        approver,
        name: lender.name,
        permissions: asked.permissions,
        expires_at,
    })
}

/// Counts a guess before it is looked at, so that many at once count like one after the other.
async fn count(state: &State, ctx: &Ctx, approver: UserId) -> Result<Counting, Error> {
    let counted = state.db.write(ctx, async move |tx: &mut Tx| {
        let Some(pin) = store::lock(tx, approver).await? else {
            return Ok(Counting::Missing);
        };
        if pin.is_locked() {
            return Ok(Counting::Locked);
        }
        let failures = pin.failures + 1;
        store::set_failures(tx, approver, failures).await?;
        if failures == MOST_FAILURES {
            let details = json!({ "failures": failures });
            let who = ("user", approver.uuid());
            tx.audit("identity.pin.last_guess", who, None, details);
        }
        Ok::<_, Error>(Counting::Guess(pin.hash))
    });
    Ok(counted.await?.value)
}

/// Who may lend a permission, by name.
pub async fn approvers(
    state: &State,
    ctx: &Ctx,
    permission: String,
) -> Result<Vec<(UserId, String)>, Error> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            let holders = store::holders(tx).await?.into_iter();
            let here = &tx.ctx().scope;
            let able = holders.filter(|h| {
                Grants::new(h.grants.clone()).allow(&permission)
                    && Scope::new(h.branch_ids.clone()).covers(here)
            });
            Ok(able.map(|h| (h.user_id, h.name)).collect())
        })
        .await
}
