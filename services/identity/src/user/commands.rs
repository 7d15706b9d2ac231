//! The use cases of users.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use bahi_http::{Caller, Fault, Grants};
use bahi_types::{BranchId, Clock, RoleId, Scope, UserId};
use serde_json::json;

use super::{
    model::{Member, Status, User, role_set},
    store,
};
use crate::{
    Error, State, api_key, branch, erasure, events, oidc, revocation, role, session,
    ticket::{self, Kind, Ticket},
    verification,
};

/// A person to be invited.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// E-mail in lower case.
    pub email: String,
    /// Name.
    pub name: String,
    /// Roles.
    pub role_ids: Vec<RoleId>,
    /// The branches that they are good at.
    pub scope: Scope,
}

/// Nobody acts on the account of somebody who may do what he may not, or where he may not.
pub async fn above(tx: &mut Tx, grants: &Grants, id: UserId) -> Result<(), Error> {
    role::model::within(grants, &store::permissions(tx, id).await?)?;
    let user = store::credentials(tx, id).await?.ok_or(DbError::NotFound)?;
    reaches(tx, &user.scope())
}

/// Nobody gives, or takes, branches that he does not work for himself.
pub fn reaches(tx: &Tx, scope: &Scope) -> Result<(), Error> {
    if tx.ctx().scope.covers(scope) {
        Ok(())
    } else {
        Err(DbError::OtherBranch.into())
    }
}

/// Branches that are to be somebody's with these roles: within what the caller works for, and there. An owner works for
/// all of them: somebody must be able to give back what was taken.
pub async fn given(
    tx: &mut Tx,
    scope: &Scope,
    roles: &[RoleId],
) -> Result<Option<Vec<BranchId>>, Error> {
    reaches(tx, scope)?;
    let Some(ids) = scope.branches() else {
        return Ok(None);
    };
    if roles.contains(&role::store::lock_owner(tx).await?) {
        return Err(Fault::field("branch_ids", "an owner works for all branches").into());
    }
    if branch::store::by_ids(tx, ids).await?.len() < ids.len() {
        return Err(Fault::field("branch_ids", "a branch is not there").into());
    }
    Ok(Some(ids.to_vec()))
}

/// A user, locked, unless he is being erased, or was: what is given to him would be taken from him again.
async fn lock(tx: &mut Tx, id: UserId) -> Result<Member, Error> {
    let member = store::lock(tx, id).await?;
    if erasure::of_user(tx, id).await? {
        return Err(Error::Erased);
    }
    Ok(member)
}

/// Makes every access token of users void that was issued until now. Their rows are locked: nobody mints a token
/// from what he read before, and the time is taken under the lock.
pub async fn void_tokens(tx: &mut Tx, clock: &Clock, users: &[UserId]) -> Result<i64, Error> {
    let not_before = clock.now().timestamp() + 1;
    store::set_not_before(tx, users, not_before).await?;
    // A key never holds more than the one who made it.
    let keys = api_key::store::void_made_by(tx, users, not_before).await?;
    let principals: Vec<_> = users.iter().map(|user| user.uuid()).chain(keys).collect();
    revocation::principals(tx, &principals, not_before).await?;
    Ok(not_before)
}

/// Invites a person; the ticket is to be handed over.
pub async fn invite(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    new: NewUser,
) -> Result<Done<(Member, Ticket)>, Error> {
    let (secret, grants) = (state.secret.clone(), grants.clone());
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let role_ids = role_set(new.role_ids);
            role::store::share(tx, &role_ids).await?;
            let branch_ids = given(tx, &new.scope, &role_ids).await?;
            role::model::within(&grants, &role::store::permissions(tx, &role_ids).await?)?;
            let user = User {
                tenant_id: tx.tenant(),
                id: UserId::new(),
                email: new.email,
                name: new.name,
                status: Status::INVITED.into(),
                version: 1,
                created_at: tx.now(),
                updated_at: tx.now(),
                email_verified_at: None,
                branch_ids,
            };
            store::insert(tx, &user, None).await?;
            store::set_roles(tx, user.id, &role_ids).await?;
            let ticket = ticket::issue(tx, &secret, Kind::Invitation, user.id).await?;
            let member = Member { user, role_ids };
            tx.publish(events::user_created(&member));
            let details =
                json!({ "role_ids": member.role_ids, "branch_ids": member.user.branch_ids });
            tx.audit(
                "identity.user.invite",
                ("user", member.user.id.uuid()),
                None,
                details,
            );
            Ok((member, ticket))
        })
        .await
}

/// Gives an invited user a new invitation; the one before is void.
pub async fn invite_again(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    id: UserId,
) -> Result<Done<(Member, Ticket)>, Error> {
    hand_out(
        state,
        ctx,
        grants,
        id,
        Kind::Invitation,
        "identity.user.invite",
    )
    .await
}

/// Gives a user a one-time token with which he sets a new password. A key does not: it may be his own.
pub async fn reset_password(
    state: &State,
    caller: &Caller,
    id: UserId,
) -> Result<Done<(Member, Ticket)>, Error> {
    // Who sits at somebody's screen must not come to hold his account.
    if caller.user()? == id {
        return Err(Error::OwnPassword);
    }
    hand_out(
        state,
        &caller.ctx,
        &caller.grants,
        id,
        Kind::PasswordReset,
        "identity.user.reset_password",
    )
    .await
}

async fn hand_out(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    id: UserId,
    kind: Kind,
    action: &'static str,
) -> Result<Done<(Member, Ticket)>, Error> {
    let (secret, grants) = (state.secret.clone(), grants.clone());
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let member = lock(tx, id).await?;
            // Whoever holds the token holds the account.
            above(tx, &grants, id).await?;
            if member.user.status != kind.needs() {
                return Err(Error::UserStatus(member.user.status));
            }
            let ticket = ticket::issue(tx, &secret, kind, id).await?;
            tx.audit(action, ("user", id.uuid()), None, json!({}));
            Ok((member, ticket))
        })
        .await
}

/// An invited user has set his password: he is active.
pub async fn joined(tx: &mut Tx, id: UserId, password_hash: &str) -> Result<(), Error> {
    let mut member = lock(tx, id).await?;
    if member.user.status != Status::INVITED {
        return Err(Error::TicketInvalid);
    }
    store::set_password(tx, id, password_hash).await?;
    Status::ACTIVE.clone_into(&mut member.user.status);
    save(tx, &mut member).await?;
    tx.audit("identity.user.join", ("user", id.uuid()), None, json!({}));
    Ok(())
}

/// An invited user becomes active without a password: a provider vouches for him. It is one of the tenant's own choice, so
/// that his address is his only he can show.
pub async fn joined_by_provider(tx: &mut Tx, id: UserId) -> Result<(), Error> {
    let mut member = lock(tx, id).await?;
    Status::ACTIVE.clone_into(&mut member.user.status);
    save(tx, &mut member).await?;
    tx.audit("identity.user.join", ("user", id.uuid()), None, json!({}));
    Ok(())
}

/// A person becomes a user whom a provider vouches for. That his address is his only he can show, as in
/// [`joined_by_provider`].
pub async fn brought_in(
    tx: &mut Tx,
    email: &str,
    name: &str,
    role: RoleId,
    branch_ids: Option<Vec<BranchId>>,
) -> Result<UserId, Error> {
    let user = User {
        tenant_id: tx.tenant(),
        id: UserId::new(),
        email: email.to_owned(),
        name: name.to_owned(),
        status: Status::ACTIVE.into(),
        version: 1,
        created_at: tx.now(),
        updated_at: tx.now(),
        email_verified_at: None,
        branch_ids,
    };
    role::store::share(tx, &[role]).await?;
    store::insert(tx, &user, None).await?;
    store::set_roles(tx, user.id, &[role]).await?;
    let member = Member {
        user,
        role_ids: vec![role],
    };
    tx.publish(events::user_created(&member));
    let id = member.user.id;
    let details = json!({ "role_ids": member.role_ids, "branch_ids": member.user.branch_ids });
    tx.audit("identity.user.bring_in", ("user", id.uuid()), None, details);
    Ok(id)
}

/// What may change of a user.
#[derive(Clone, Debug)]
pub struct Change {
    /// Name.
    pub name: String,
    /// Roles.
    pub role_ids: Vec<RoleId>,
    /// The branches that they are good at, where these change.
    pub scope: Option<Scope>,
    /// E-mail in lower case, where it is another.
    pub email: Option<String>,
}

/// A user has shown that his address is his.
pub async fn verified(tx: &mut Tx, id: UserId) -> Result<(), Error> {
    let mut member = store::lock(tx, id).await?;
    member.user.email_verified_at = Some(tx.now());
    save(tx, &mut member).await?;
    tx.audit(
        "identity.user.verify_email",
        ("user", id.uuid()),
        None,
        json!({}),
    );
    Ok(())
}

/// Changes name, roles, branches and address; the address is somebody else's, and no key changes one.
pub async fn update(
    state: &State,
    caller: &Caller,
    (id, version): (UserId, i64),
    change: Change,
    locale: Option<String>,
) -> Result<Done<Member>, Error> {
    let (clock, secret) = (state.clock.clone(), state.secret.clone());
    let (asker, grants) = (caller.clone(), caller.grants.clone());
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let role_ids = role_set(change.role_ids);
            role::store::share(tx, &role_ids).await?;
            let mut member = lock(tx, id).await?;
            if member.user.version != version {
                return Err(DbError::Stale {
                    current: member.user.version,
                }
                .into());
            }
            let Change {
                name, scope, email, ..
            } = change;
            let before = member.role_ids.clone();
            if role_ids != before {
                above(tx, &grants, id).await?;
                role::model::within(&grants, &role::store::permissions(tx, &role_ids).await?)?;
                let owner = role::store::lock_owner(tx).await?;
                if before.contains(&owner) && !role_ids.contains(&owner) {
                    keep_an_owner(tx, id).await?;
                }
                store::set_roles(tx, id, &role_ids).await?;
                void_tokens(tx, &clock, &[id]).await?;
                let details = json!({ "before": before, "after": role_ids });
                tx.audit(
                    "identity.user.set_roles",
                    ("user", id.uuid()),
                    None,
                    details,
                );
            }
            let scope = scope.unwrap_or_else(|| member.user.scope());
            let branch_ids = given(tx, &scope, &role_ids).await?;
            if branch_ids != member.user.branch_ids {
                above(tx, &grants, id).await?;
                void_tokens(tx, &clock, &[id]).await?;
                let details = json!({ "before": member.user.branch_ids, "after": branch_ids });
                tx.audit(
                    "identity.user.set_branches",
                    ("user", id.uuid()),
                    None,
                    details,
                );
                member.user.branch_ids = branch_ids;
            }
            member.user.name = name;
            member.role_ids = role_ids;
            let moved = email.filter(|email| *email != member.user.email);
            let Some(email) = moved else {
                save(tx, &mut member).await?;
                return Ok(member);
            };
            // Whoever reads his mail may come to act as him, by a provider that links by it: who has his token for a
            // moment must not come to hold his account.
            if asker.user()? == id {
                return Err(Error::OwnEmail);
            }
            above(tx, &grants, id).await?;
            // The trail is kept for ever, and the addresses are nobody's business there.
            tx.audit(
                "identity.user.set_email",
                ("user", id.uuid()),
                None,
                json!({}),
            );
            member.user.email = email;
            member.user.email_verified_at = None;
            // What was handed out for the old address is void.
            ticket::void(tx, id).await?;
            save(tx, &mut member).await?;
            if member.user.status == Status::ACTIVE {
                verification::request_again(tx, &secret, &member.user, locale).await?;
            }
            Ok(member)
        })
        .await
}

/// Shuts a user out: his sessions end and his tokens are void.
pub async fn disable(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    id: UserId,
    reason: Option<String>,
) -> Result<Done<Member>, Error> {
    let (clock, grants) = (state.clock.clone(), grants.clone());
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut member = store::lock(tx, id).await?;
            above(tx, &grants, id).await?;
            if member.user.status == Status::DISABLED {
                return Ok(member);
            }
            if member
                .role_ids
                .contains(&role::store::lock_owner(tx).await?)
            {
                keep_an_owner(tx, id).await?;
            }
            Status::DISABLED.clone_into(&mut member.user.status);
            void_tokens(tx, &clock, &[id]).await?;
            session::revoke_all(tx, id, None, session::Why::Disabled).await?;
            ticket::void(tx, id).await?;
            api_key::revoke_made_by(tx, &clock, id).await?;
            save(tx, &mut member).await?;
            tx.audit(
                "identity.user.disable",
                ("user", id.uuid()),
                reason,
                json!({}),
            );
            Ok(member)
        })
        .await
}

/// Lets a disabled user in again.
pub async fn enable(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    id: UserId,
) -> Result<Done<Member>, Error> {
    let grants = grants.clone();
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut member = lock(tx, id).await?;
            above(tx, &grants, id).await?;
            if member.user.status != Status::DISABLED {
                return Ok(member);
            }
            let credentials = store::credentials(tx, id).await?.ok_or(DbError::NotFound)?;
            let has_a_way_in =
                credentials.password_hash.is_some() || oidc::has_link(tx, id).await?;
            Status::enabled(has_a_way_in).clone_into(&mut member.user.status);
            save(tx, &mut member).await?;
            tx.audit("identity.user.enable", ("user", id.uuid()), None, json!({}));
            Ok(member)
        })
        .await
}

async fn save(tx: &mut Tx, member: &mut Member) -> Result<(), Error> {
    member.user.version += 1;
    member.user.updated_at = tx.now();
    store::save(tx, &member.user).await?;
    tx.publish(events::user_updated(member));
    Ok(())
}

/// Under the lock of the owner role: is there another active owner?
async fn keep_an_owner(tx: &mut Tx, id: UserId) -> Result<(), Error> {
    if store::other_owners(tx, id).await? == 0 {
        Err(Error::LastOwner)
    } else {
        Ok(())
    }
}
