//! Giving tickets out and taking them in.

use bahi_db::{Ctx, Tx};
use bahi_events::Actor;
use bahi_types::UserId;
use serde_json::json;

use super::{
    model::{Kind, Ticket},
    store,
};
use crate::{
    Error, State,
    password::{self, Password},
    secret::{Secret, Token},
    session::{self, Device, Entry},
    tenant,
    user::{self, Credentials},
    verification,
};

/// Makes a ticket for a user whose row is locked or new; his older ones are void.
pub async fn issue(
    tx: &mut Tx,
    secret: &Secret,
    kind: Kind,
    user: UserId,
) -> Result<Ticket, Error> {
    void(tx, user).await?;
    add(tx, secret, kind, user).await
}

/// Makes a ticket beside others: somebody may be about to sign in at several places.
pub async fn add(tx: &mut Tx, secret: &Secret, kind: Kind, user: UserId) -> Result<Ticket, Error> {
    let ticket = Ticket::new(tx.tenant(), kind, user, tx.now());
    store::insert(tx, &ticket, &ticket.token(secret).hash()).await?;
    Ok(ticket)
}

/// As [`add`], for somebody who has shown who he is otherwise than by a password.
pub async fn add_after(
    tx: &mut Tx,
    secret: &Secret,
    kind: Kind,
    user: UserId,
    amr: &[&str],
) -> Result<Ticket, Error> {
    let ticket = Ticket {
        amr: amr.iter().map(|method| (*method).to_owned()).collect(),
        ..Ticket::new(tx.tenant(), kind, user, tx.now())
    };
    store::insert(tx, &ticket, &ticket.token(secret).hash()).await?;
    Ok(ticket)
}

/// Makes the tickets of a user void.
pub async fn void(tx: &mut Tx, user: UserId) -> Result<(), Error> {
    Ok(store::mark_all_used(tx, user).await?)
}

/// Accepts an invitation: sets the password, and signs in.
pub async fn accept(
    state: &State,
    ctx: Ctx,
    from: Device,
    token: Token,
    password: Password,
) -> Result<Entry, Error> {
    let (ctx, user, hash) = prepare(state, ctx, &token, Kind::Invitation, &password).await?;
    let (token, state_) = (token.hash(), state.clone());
    let signed = state.db.write(&ctx, async move |tx: &mut Tx| {
        user::store::lock(tx, user).await?;
        take_in(tx, &token, Kind::Invitation).await?;
        user::joined(tx, user, &hash).await?;
        let user = user::store::share(tx, user)
            .await?
            .ok_or(Error::TicketInvalid)?;
        let joined = user::store::get(tx, user.id).await?;
        verification::request(tx, &state_.secret, &joined.user, from.language.clone()).await?;
        session::enter(tx, &state_, &user, &from, &session::PASSWORD).await
    });
    Ok(signed.await?.value)
}

/// Sets a new password; all sessions end.
pub async fn reset(state: &State, ctx: Ctx, token: Token, password: Password) -> Result<(), Error> {
    let (ctx, user, hash) = prepare(state, ctx, &token, Kind::PasswordReset, &password).await?;
    let (token, clock) = (token.hash(), state.clock.clone());
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        user::store::lock(tx, user).await?;
        take_in(tx, &token, Kind::PasswordReset).await?;
        user::store::set_password(tx, user, &hash).await?;
        void(tx, user).await?;
        user::void_tokens(tx, &clock, &[user]).await?;
        let ended = session::revoke_all(tx, user, None, session::Why::Password).await?;
        tx.audit(
            "identity.password.reset",
            ("user", user.uuid()),
            None,
            json!({ "sessions_ended": ended.len() }),
        );
        Ok::<_, Error>(())
    });
    done.await?;
    Ok(())
}

/// Whose a ticket is, and the circumstances of his request.
pub async fn holder(
    state: &State,
    ctx: Ctx,
    token: &Token,
    kind: Kind,
) -> Result<(Ctx, Credentials), Error> {
    let ctx = Ctx {
        tenant: token.tenant,
        idempotency: None,
        ..ctx
    };
    let hash = token.hash();
    let user = state.db.read(&ctx, async move |tx: &mut Tx| {
        let ticket = find(tx, &hash, kind).await?;
        user::store::credentials(tx, ticket.user_id)
            .await?
            .ok_or(Error::TicketInvalid)
    });
    let user = user.await?;
    let actor = Actor::User { id: user.id.uuid() };
    Ok((Ctx { actor, ..ctx }, user))
}

/// Finds out whose ticket it is, and hashes the password before any row is locked. A token that leads nowhere
/// costs no hashing: 256 bits are not guessed by measuring time.
async fn prepare(
    state: &State,
    ctx: Ctx,
    token: &Token,
    kind: Kind,
    password: &Password,
) -> Result<(Ctx, UserId, String), Error> {
    let (ctx, user) = holder(state, ctx, token, kind).await?;
    let business = state.db.read(&ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(tenant::store::get(tx).await?.name)
    });
    let whose = password::Owner {
        email: user.email,
        name: user.name,
        business: business.await?,
    };
    whose.check(&state.breached, password).await?;
    Ok((ctx, user.id, state.hasher.hash(password).await?))
}

/// A ticket that can be used as one of `kind`.
pub async fn find(tx: &mut Tx, hash: &[u8], kind: Kind) -> Result<Ticket, Error> {
    let ticket = store::find(tx, hash).await?;
    ticket
        .filter(|t| t.is_good(kind, tx.now()))
        .ok_or(Error::TicketInvalid)
}

/// Uses a ticket up.
pub async fn take_in(tx: &mut Tx, hash: &[u8], kind: Kind) -> Result<Ticket, Error> {
    let ticket = find(tx, hash, kind).await?;
    // Of two requests with one ticket, the second waits here for the first.
    if store::mark_used(tx, ticket.id).await? {
        Ok(ticket)
    } else {
        Err(Error::TicketInvalid)
    }
}
