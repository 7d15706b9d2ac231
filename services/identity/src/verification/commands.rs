//! Asking for a mail, and taking its token.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::UserId;

use super::model::{DAY, may_send};
use crate::{
    Error, State, events,
    secret::{Secret, Token},
    ticket::{self, Kind},
    user::{self, User},
};

/// Asks for a mail to a user whose row is locked or new; the tokens of those before are void.
pub async fn request(
    tx: &mut Tx,
    secret: &Secret,
    user: &User,
    locale: Option<String>,
) -> Result<(), Error> {
    ticket::store::mark_kind_used(tx, user.id, Kind::EmailVerification).await?;
    let ticket = ticket::add(tx, secret, Kind::EmailVerification, user.id).await?;
    let token = ticket.token(secret);
    let event = events::email_verification_requested(user, &token, ticket.expires_at, locale);
    tx.publish(event);
    Ok(())
}

/// As [`request`], unless too many were asked for of late: whoever asks names the address, and it may be a stranger's.
pub async fn request_again(
    tx: &mut Tx,
    secret: &Secret,
    user: &User,
    locale: Option<String>,
) -> Result<(), Error> {
    let since = tx.now() - DAY;
    let sent = ticket::store::made_since(tx, user.id, Kind::EmailVerification, since).await?;
    may_send(&sent, tx.now()).map_err(|retry_after| Error::TooManyMails { retry_after })?;
    request(tx, secret, user, locale).await
}

/// Asks for a mail to the caller once more.
pub async fn ask_again(
    state: &State,
    ctx: &Ctx,
    user: UserId,
    locale: Option<String>,
) -> Result<Done<()>, Error> {
    let secret = state.secret.clone();
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let member = user::store::lock(tx, user).await?;
            if member.user.email_verified_at.is_some() {
                return Err(Error::EmailVerified);
            }
            request_again(tx, &secret, &member.user, locale).await
        })
        .await
}

/// Takes the token of a mail: the address is its owner's.
pub async fn confirm(state: &State, ctx: Ctx, token: &Token) -> Result<(), Error> {
    let (ctx, user) = ticket::holder(state, ctx, token, Kind::EmailVerification).await?;
    let hash = token.hash();
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        user::store::lock(tx, user.id).await?;
        ticket::take_in(tx, &hash, Kind::EmailVerification).await?;
        user::verified(tx, user.id).await
    });
    done.await?;
    Ok(())
}
