//! The use cases of sessions.

use bahi_db::{Ctx, Done, Tx};
use bahi_events::Actor;
use bahi_http::{Fault, Grants};
use bahi_types::{SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    http::Device,
    model::{
        Entry, FAMILY_LIFE, MOST_OPEN, PASSWORD, Presented, Session, SignedIn, Why, device,
        device_name, judge,
    },
    store,
};
use crate::{
    Error, State,
    attempt::{self, ACCOUNT, Counted},
    company, mfa,
    password::{self, Password},
    revocation,
    secret::{Purpose, Token},
    tenant,
    ticket::{self, Kind},
    user,
    user::Credentials,
};

/// Lets a user in whose row is locked and who has shown who he is (`amr`): into a session, unless a second factor is needed.
pub async fn enter(
    tx: &mut Tx,
    state: &State,
    user: &Credentials,
    from: &Device,
    amr: &[&str],
) -> Result<Entry, Error> {
    tenant::store::ensure_active(tx).await?;
    let kind = if amr.contains(&"mfa") {
        return Ok(Entry::Open(open(tx, state, user, from, amr).await?));
    } else if mfa::store::is_enabled(tx, user.id).await? {
        Kind::MfaChallenge
    } else if company::store::requires_mfa(tx).await? {
        Kind::MfaEnrolment
    } else {
        return Ok(Entry::Open(open(tx, state, user, from, amr).await?));
    };
    let ticket = ticket::add_after(tx, &state.secret, kind, user.id, amr).await?;
    Ok(Entry::Second(ticket))
}

/// Opens a session for a user whose row is locked. Where he has too many, the oldest end.
pub async fn open(
    tx: &mut Tx,
    state: &State,
    user: &Credentials,
    from: &Device,
    amr: &[&str],
) -> Result<SignedIn, Error> {
    tenant::store::ensure_active(tx).await?;
    let oldest = store::beyond(tx, user.id, MOST_OPEN - 1).await?;
    if !oldest.is_empty() {
        store::end(tx, &oldest, Why::TooMany).await?;
        revocation::sessions(tx, &oldest).await?;
    }
    let (ip, user_agent) = device(from.ip, from.user_agent.as_deref());
    let session = Session {
        tenant_id: tx.tenant(),
        id: SessionId::new(),
        user_id: user.id,
        created_at: tx.now(),
        last_used_at: tx.now(),
        expires_at: tx.now() + FAMILY_LIFE,
        revoked_at: None,
        revoked_for: None,
        ip,
        device: from
            .name
            .clone()
            .or_else(|| device_name(user_agent.as_deref()?)),
        user_agent,
        amr: amr.iter().map(|method| (*method).to_owned()).collect(),
    };
    store::insert(tx, &session).await?;
    let token = state
        .secret
        .token(Purpose::Session, tx.tenant(), session.id.uuid());
    store::insert_token(tx, &token.hash(), session.id).await?;
    signed_in(tx, user, &session).await
}

async fn signed_in(tx: &mut Tx, user: &Credentials, session: &Session) -> Result<SignedIn, Error> {
    Ok(SignedIn {
        tenant: tx.tenant(),
        user: user.id,
        name: user.name.clone(),
        session: session.id,
        expires_at: session.expires_at,
        permissions: user::store::permissions(tx, user.id).await?,
        scope: user.scope(),
        // Right after a change of permissions the clock may still stand in the second that was made void.
        issued_at: tx.now().timestamp().max(user.not_before),
        amr: session.amr.clone(),
    })
}

/// Ends the sessions of a user whose row is locked, all but one. The caller voids his access tokens.
pub async fn revoke_all(
    tx: &mut Tx,
    user: UserId,
    except: Option<SessionId>,
    why: Why,
) -> Result<Vec<SessionId>, Error> {
    let mut ids = store::lock_open(tx, user).await?;
    ids.retain(|id| Some(*id) != except);
    store::end(tx, &ids, why).await?;
    revocation::sessions(tx, &ids).await?;
    Ok(ids)
}

struct Candidate {
    tenant: TenantId,
    slug: String,
    credentials: Credentials,
}

/// Signs in with e-mail and password.
pub async fn sign_in(
    state: &State,
    ctx: Ctx,
    from: Device,
    email: String,
    password: Password,
    slug: Option<String>,
) -> Result<Entry, Error> {
    let counted = Counted::of(&state.secret, &email, from.ip);
    let taken = attempt::take(state, &counted).await?;
    let candidates = candidates(state, &ctx, email, slug).await?;
    let mut matching = Vec::new();
    let mut known = Vec::new();
    for candidate in candidates {
        if state
            .hasher
            .verify(&password, candidate.credentials.password_hash.as_deref())
            .await?
        {
            matching.push(candidate);
        } else {
            known.push(candidate);
        }
    }
    if matching.is_empty() {
        if known.is_empty() {
            state.hasher.verify(&password, None).await?;
        }
        if taken.failures == ACCOUNT.free {
            report(state, ctx, &known);
        }
        return Err(Error::InvalidCredentials);
    }
    if matching.len() > 1 {
        matching.sort_by(|a, b| a.slug.cmp(&b.slug));
        forgive(state, &ctx, counted).await?;
        return Err(Error::ChooseTenant(
            matching.into_iter().map(|c| c.slug).collect(),
        ));
    }
    let Some(found) = matching.pop() else {
        return Err(Error::InvalidCredentials);
    };
    let ctx = Ctx {
        tenant: found.tenant,
        actor: Actor::User {
            id: found.credentials.id.uuid(),
        },
        idempotency: None,
        ..ctx
    };
    let state_ = state.clone();
    let entry = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = user::store::share(tx, found.credentials.id)
            .await?
            .ok_or(Error::InvalidCredentials)?;
        // Between the check and now the password or the address may have changed, or the user been disabled.
        if !user.is_active() || !user.is_as(&found.credentials) {
            return Err(Error::InvalidCredentials);
        }
        let entry = enter(tx, &state_, &user, &from, &PASSWORD).await?;
        attempt::forgive(tx, &counted.shown_by(&user)).await?;
        Ok(entry)
    });
    Ok(entry.await?.value)
}

async fn candidates(
    state: &State,
    ctx: &Ctx,
    email: String,
    slug: Option<String>,
) -> Result<Vec<Candidate>, Error> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            let mut candidates = Vec::new();
            for (tenant, user) in store::candidates(tx, &email, slug.as_deref()).await? {
                tx.enter(tenant).await?;
                let slug = tenant::store::slug(tx).await?;
                if let Some(credentials) = user::store::credentials(tx, user).await? {
                    candidates.push(Candidate {
                        tenant,
                        slug,
                        credentials,
                    });
                }
            }
            Ok::<_, Error>(candidates)
        })
        .await
}

/// A right password that leads to a choice is no failure.
async fn forgive(state: &State, ctx: &Ctx, counted: Counted) -> Result<(), Error> {
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            attempt::forgive(tx, &counted).await
        })
        .await?;
    Ok(())
}

/// Tells the tenants that somebody guesses at a user of theirs: once, when the waiting begins. Nobody waits for
/// it, or the answer would come later where there is a user. From where is not told: the trail is kept for ever.
fn report(state: &State, ctx: Ctx, known: &[Candidate]) {
    let db = state.db.clone();
    let users: Vec<_> = known.iter().map(|c| (c.tenant, c.credentials.id)).collect();
    let details = json!({ "failures": ACCOUNT.free });
    tokio::spawn(async move {
        for (tenant, user) in users {
            let ctx = Ctx {
                tenant,
                idempotency: None,
                ..ctx.clone()
            };
            let details = details.clone();
            let told = db.write(&ctx, async move |tx: &mut Tx| {
                tx.audit(
                    "identity.session.guessed",
                    ("user", user.uuid()),
                    None,
                    details,
                );
                Ok::<_, Error>(())
            });
            if let Err(error) = told.await {
                tracing::warn!(%error, %tenant, "guessing at a password went unreported");
            }
        }
    });
}

/// Refuses to prolong a session of the password alone once the company asks for a second factor.
async fn prolongable(tx: &mut Tx, session: &Session) -> Result<(), Error> {
    if !session.has_two_factors() && company::store::requires_mfa(tx).await? {
        return Err(Error::SessionEnded);
    }
    Ok(())
}

/// What a refresh led to. An ended family must stay ended, so it is no error inside the transaction.
#[derive(Serialize, Deserialize)]
enum Refreshed {
    /// Go on.
    Open(SignedIn),
    /// The family was ended because a copied token was presented.
    Copied,
}

/// Replaces a refresh token.
pub async fn refresh(
    state: &State,
    ctx: Ctx,
    presented: Token,
) -> Result<(SignedIn, Token), Error> {
    let successor = state.secret.successor(&presented);
    let (old, new) = (presented.hash(), successor.hash());
    let ctx = Ctx {
        tenant: presented.tenant,
        idempotency: None,
        ..ctx
    };
    let refreshed = state.db.write(&ctx, async move |tx: &mut Tx| {
        let (session, user) = store::owner(tx, &old).await?.ok_or(Error::SessionEnded)?;
        tenant::store::ensure_active(tx).await?;
        let user = user::store::share(tx, user)
            .await?
            .filter(Credentials::is_active)
            .ok_or(Error::SessionEnded)?;
        let session = store::lock(tx, session)
            .await?
            .filter(|s| s.is_open(tx.now()))
            .ok_or(Error::SessionEnded)?;
        prolongable(tx, &session).await?;
        let token = store::token(tx, &old).await?.ok_or(Error::SessionEnded)?;
        match judge(token.rotated_at, tx.now()) {
            Presented::Current => {
                store::rotate(tx, &old, tx.now()).await?;
                store::insert_token(tx, &new, session.id).await?;
                store::touch(tx, session.id).await?;
            }
            Presented::JustReplaced => {
                // Made under another key, so it cannot be told again.
                store::token(tx, &new).await?.ok_or(Error::SessionEnded)?;
            }
            Presented::Copied => {
                store::end(tx, &[session.id], Why::Copied).await?;
                revocation::sessions(tx, &[session.id]).await?;
                // From where is in its row, which can be erased.
                let details = json!({ "session_id": session.id });
                tx.audit(
                    "identity.session.copied",
                    ("user", user.id.uuid()),
                    None,
                    details,
                );
                return Ok::<_, Error>(Refreshed::Copied);
            }
        }
        Ok(Refreshed::Open(signed_in(tx, &user, &session).await?))
    });
    match refreshed.await?.value {
        Refreshed::Open(signed) => Ok((signed, successor)),
        Refreshed::Copied => Err(Error::SessionEnded),
    }
}

/// Ends the session of a refresh token. A token that leads nowhere is as good as signed out.
pub async fn sign_out(state: &State, ctx: Ctx, presented: Token) -> Result<(), Error> {
    let hash = presented.hash();
    let ctx = Ctx {
        tenant: presented.tenant,
        idempotency: None,
        ..ctx
    };
    state
        .db
        .write(&ctx, async move |tx: &mut Tx| {
            if let Some((session, _)) = store::owner(tx, &hash).await? {
                end(tx, session, Why::SignedOut).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(())
}

/// Ends a session; whether it was open.
async fn end(tx: &mut Tx, session: SessionId, why: Why) -> Result<bool, Error> {
    let locked = store::lock(tx, session).await?;
    let open = locked.is_some_and(|s| s.is_open(tx.now()));
    if open {
        store::end(tx, &[session], why).await?;
        revocation::sessions(tx, &[session]).await?;
    }
    Ok(open)
}

/// Ends one session of the caller.
pub async fn revoke_own(
    state: &State,
    ctx: &Ctx,
    user: UserId,
    id: SessionId,
) -> Result<Done<()>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| revoke_one(tx, user, id).await)
        .await
}

async fn revoke_one(tx: &mut Tx, user: UserId, id: SessionId) -> Result<(), Error> {
    store::lock(tx, id)
        .await?
        .filter(|s| s.user_id == user)
        .ok_or(Fault::NotFound)?;
    if end(tx, id, Why::Revoked).await? {
        revoked(tx, user, json!({ "session_ids": [id] }));
    }
    Ok(())
}

fn revoked(tx: &mut Tx, user: UserId, details: Value) {
    tx.audit(
        "identity.session.revoke",
        ("user", user.uuid()),
        None,
        details,
    );
}

/// Ends every session of the caller but the one he asks with.
pub async fn revoke_others(
    state: &State,
    ctx: &Ctx,
    (user, session): (UserId, SessionId),
) -> Result<Done<()>, Error> {
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            user::store::lock(tx, user).await?;
            let ended = revoke_all(tx, user, Some(session), Why::Revoked).await?;
            if !ended.is_empty() {
                revoked(tx, user, json!({ "sessions_ended": ended.len() }));
            }
            Ok(())
        })
        .await
}

/// Ends sessions of a user, one or every, by an administrator.
pub async fn revoke_of(
    state: &State,
    ctx: &Ctx,
    grants: &Grants,
    user: UserId,
    session: Option<SessionId>,
) -> Result<Done<()>, Error> {
    let grants = grants.clone();
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            user::store::lock(tx, user).await?;
            user::above(tx, &grants, user).await?;
            if let Some(id) = session {
                return revoke_one(tx, user, id).await;
            }
            let ended = revoke_all(tx, user, None, Why::Revoked).await?;
            revoked(tx, user, json!({ "sessions_ended": ended.len() }));
            Ok(())
        })
        .await
}

/// Changes the caller's own password; his other sessions end.
pub async fn change_password(
    state: &State,
    ctx: &Ctx,
    (user, session): (UserId, SessionId),
    from: Device,
    old: Password,
    new: Password,
) -> Result<SignedIn, Error> {
    // A second change with the same old password is refused by itself.
    let (ctx, proven) = prove(state, ctx, user, &from, &old).await?;
    let business = state.db.read(&ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(tenant::store::get(tx).await?.name)
    });
    let whose = password::Owner {
        email: proven.credentials.email.clone(),
        name: proven.credentials.name.clone(),
        business: business.await?,
    };
    whose.check(&state.breached, &new).await?;
    let hash = state.hasher.hash(&new).await?;
    let clock = state.clock.clone();
    let signed = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = proven.lock(tx).await?;
        user::store::set_password(tx, user.id, &hash).await?;
        ticket::void(tx, user.id).await?;
        let not_before = user::void_tokens(tx, &clock, &[user.id]).await?;
        let ended = revoke_all(tx, user.id, Some(session), Why::Password).await?;
        tx.audit(
            "identity.password.change",
            ("user", user.id.uuid()),
            None,
            json!({ "sessions_ended": ended.len() }),
        );
        let session = store::lock(tx, session)
            .await?
            .filter(|s| s.is_open(tx.now()))
            .ok_or(Error::SessionEnded)?;
        prolongable(tx, &session).await?;
        let counted = proven.counted.shown_by(&user);
        let signed = signed_in(tx, &Credentials { not_before, ..user }, &session).await?;
        attempt::forgive(tx, &counted).await?;
        Ok::<_, Error>(signed)
    });
    Ok(signed.await?.value)
}

/// A password that was right.
#[derive(Clone)]
pub struct Proven {
    /// Its owner, as he was then.
    pub credentials: Credentials,
    /// To be forgiven.
    pub counted: Counted,
}

impl Proven {
    /// Its owner, locked; between the check and now the password or the address may have changed, or he been disabled.
    pub async fn lock(&self, tx: &mut Tx) -> Result<Credentials, Error> {
        let user = user::store::lock_credentials(tx, self.credentials.id)
            .await?
            .filter(Credentials::is_active)
            .ok_or(Fault::NotFound)?;
        if user.is_as(&self.credentials) {
            Ok(user)
        } else {
            Err(Error::WrongPassword)
        }
    }
}

/// Checks the password of somebody who is signed in: at an unattended screen somebody else may guess. No request that
/// holds one is remembered by its key, as the hash of its body would be one of the password.
pub async fn prove(
    state: &State,
    ctx: &Ctx,
    user: UserId,
    from: &Device,
    password: &Password,
) -> Result<(Ctx, Proven), Error> {
    let ctx = Ctx {
        idempotency: None,
        ..ctx.clone()
    };
    let known = state.db.read(&ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(user::store::credentials(tx, user).await?)
    });
    let credentials = known.await?.ok_or(Fault::NotFound)?;
    let counted = Counted::of(&state.secret, &credentials.email, from.ip);
    let _taken = attempt::take(state, &counted).await?;
    let right = state
        .hasher
        .verify(password, credentials.password_hash.as_deref());
    if !right.await? {
        return Err(Error::WrongPassword);
    }
    let proven = Proven {
        credentials,
        counted,
    };
    Ok((ctx, proven))
}

/// The caller himself, as he stands in the database.
pub struct Me {
    /// The user with his roles.
    pub member: user::Member,
    /// His tenant.
    pub tenant: tenant::Tenant,
    /// What he may do now.
    pub permissions: Vec<String>,
}

/// Looks up the caller.
pub async fn me(state: &State, ctx: &Ctx, user: UserId) -> Result<Me, Error> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            Ok(Me {
                member: user::store::get(tx, user).await?,
                tenant: tenant::store::get(tx).await?,
                permissions: user::store::permissions(tx, user).await?,
            })
        })
        .await
}

/// The open sessions of a user.
pub async fn sessions(state: &State, ctx: &Ctx, user: UserId) -> Result<Vec<Session>, Error> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            user::store::get(tx, user).await?;
            Ok(store::open(tx, user).await?)
        })
        .await
}

/// The session of a caller; one without is no person's.
pub fn session_of(session: Option<Uuid>) -> Result<SessionId, Fault> {
    session
        .map(SessionId::from_uuid)
        .ok_or(Fault::Forbidden("a person's session".into()))
}
