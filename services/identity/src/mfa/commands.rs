//! The use cases of second factors.

use bahi_db::{Ctx, Done, Tx};
use bahi_http::{Caller, Fault};
use bahi_types::{SessionId, UserId};
use serde_json::json;

use super::{
    model::{Code, hash, new_codes, new_secret, owner, step, totp},
    store,
};
use crate::{
    Error, State,
    attempt::{self, Counted, SECOND},
    company,
    password::Password,
    secret::Token,
    session::{self, Device, PASSWORD, SignedIn, TWO_FACTORS, Why},
    ticket::{self, Kind},
    user::{self, Credentials},
};

/// How somebody's second factor stands.
pub struct Standing {
    /// Whether he has one.
    pub enabled: bool,
    /// Whether the company asks for one.
    pub required: bool,
    /// Recovery codes that are left.
    pub codes_left: i64,
}

/// Looks up how the caller's second factor stands.
pub async fn standing(state: &State, ctx: &Ctx, user: UserId) -> Result<Standing, Error> {
    state
        .db
        .read(ctx, async move |tx: &mut Tx| {
            Ok(Standing {
                enabled: store::is_enabled(tx, user).await?,
                required: company::store::requires_mfa(tx).await?,
                codes_left: store::codes_left(tx, user).await?,
            })
        })
        .await
}

/// A secret to be put into an app.
pub struct Enrolment {
    /// In base32, to be typed.
    pub secret: String,
    /// As key URI, to be shown as QR.
    pub uri: String,
}

/// Makes a secret for an app; it does not count before a code of it was right.
pub async fn begin(
    state: &State,
    ctx: &Ctx,
    user: UserId,
    from: Device,
    password: Password,
) -> Result<Enrolment, Error> {
    let (ctx, proven) = session::prove(state, ctx, user, &from, &password).await?;
    let secret = new_secret()?;
    let sealed = state.secret.seal(&owner(ctx.tenant, user), &secret)?;
    let enrolment = enrolment(&secret, &proven.credentials)?;
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = proven.lock(tx).await?;
        put(tx, &user, &sealed).await?;
        attempt::forgive(tx, &proven.counted.shown_by(&user)).await
    });
    done.await?;
    Ok(enrolment)
}

/// As [`begin`], for somebody who has just given his password and may not come in without a second factor.
pub async fn enrol(state: &State, ctx: Ctx, token: &Token) -> Result<Enrolment, Error> {
    let (ctx, user) = ticket::holder(state, ctx, token, Kind::MfaEnrolment).await?;
    let secret = new_secret()?;
    let sealed = state.secret.seal(&owner(ctx.tenant, user.id), &secret)?;
    let enrolment = enrolment(&secret, &user)?;
    let token = token.hash();
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = user::store::lock_credentials(tx, user.id)
            .await?
            .ok_or(Error::TicketInvalid)?;
        ticket::find(tx, &token, Kind::MfaEnrolment).await?;
        put(tx, &user, &sealed).await
    });
    done.await?;
    Ok(enrolment)
}

fn enrolment(secret: &[u8], user: &Credentials) -> Result<Enrolment, Error> {
    let totp = totp(secret, &user.email)?;
    Ok(Enrolment {
        secret: totp.secret().to_base32(),
        uri: totp.to_url().map_err(Error::Totp)?,
    })
}

async fn put(tx: &mut Tx, user: &Credentials, sealed: &[u8]) -> Result<(), Error> {
    if store::is_enabled(tx, user.id).await? {
        return Err(Error::MfaEnabled);
    }
    Ok(store::put(tx, user.id, sealed).await?)
}

/// Takes the first code of the caller's new secret. His recovery codes are in the answer, once; his sessions of the
/// password alone end, but for this one.
pub async fn confirm(
    state: &State,
    caller: &Caller,
    from: Device,
    code: Password,
) -> Result<Vec<String>, Error> {
    let user = caller.user()?;
    let session = session::session_of(caller.session)?;
    let ctx = unremembered(&caller.ctx);
    let counted = Counted::second(&state.secret, (ctx.tenant, user), from.ip);
    let _taken = attempt::take(state, &counted).await?;
    let (code, codes, state_) = (Code::read(&code), new_codes()?, state.clone());
    let hashes = hashes(&codes);
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = user::store::lock_credentials(tx, user)
            .await?
            .ok_or(Fault::NotFound)?;
        enable(tx, &state_, &user, &code, &hashes, Some(session)).await?;
        session::set_amr(tx, session, &TWO_FACTORS).await?;
        attempt::forgive(tx, &counted).await
    });
    done.await?;
    Ok(codes)
}

/// Makes the secret of a user count whose row is locked, if the code is right.
async fn enable(
    tx: &mut Tx,
    state: &State,
    user: &Credentials,
    code: &Code,
    hashes: &[Vec<u8>],
    session: Option<SessionId>,
) -> Result<(), Error> {
    match store::find(tx, user.id).await? {
        None => return Err(Error::WrongCode),
        Some(mfa) if mfa.confirmed_at.is_some() => return Err(Error::MfaEnabled),
        Some(_) => {}
    }
    if !matches!(code, Code::App(_)) {
        return Err(Error::WrongCode);
    }
    take(tx, state, user, code).await?;
    store::confirm(tx, user.id).await?;
    store::set_codes(tx, user.id, hashes).await?;
    let ended = session::revoke_all(tx, user.id, session, Why::SecondFactor).await?;
    let details = json!({ "sessions_ended": ended.len() });
    tx.audit(
        "identity.mfa.enable",
        ("user", user.id.uuid()),
        None,
        details,
    );
    Ok(())
}

/// Takes a code of a user: one of the app, or a recovery code. Of many requests with one code, the first to get the row
/// has it.
async fn take(tx: &mut Tx, state: &State, user: &Credentials, code: &Code) -> Result<(), Error> {
    let mfa = store::lock(tx, user.id).await?.ok_or(Error::WrongCode)?;
    let right = match code {
        Code::App(digits) => {
            let whose = owner(tx.tenant(), user.id);
            let secret = state.secret.open(&whose, &mfa.sealed)?;
            let step = step(
                &totp(&secret, &user.email)?,
                digits,
                mfa.last_step,
                tx.now(),
            );
            if let Some(step) = step {
                store::set_step(tx, user.id, step).await?;
                // A former key may go once everybody has come by.
                let sealed = state.secret.seal(&whose, &secret)?;
                store::set_sealed(tx, user.id, &sealed).await?;
            }
            step.is_some()
        }
        Code::Recovery(hash) => store::use_code(tx, user.id, hash).await?,
    };
    if right { Ok(()) } else { Err(Error::WrongCode) }
}

/// What a right code leads to.
#[derive(Clone)]
pub struct Verified {
    /// The session.
    pub signed: SignedIn,
    /// Recovery codes, where the second factor has just been enrolled.
    pub codes: Option<Vec<String>>,
}

/// Signs somebody in who gave his password before and gives a code now.
pub async fn verify(
    state: &State,
    ctx: Ctx,
    from: Device,
    token: &Token,
    code: &Password,
) -> Result<Verified, Error> {
    let (kind, found) = match ticket::holder(state, ctx.clone(), token, Kind::MfaChallenge).await {
        Err(Error::TicketInvalid) => {
            let found = ticket::holder(state, ctx, token, Kind::MfaEnrolment).await?;
            (Kind::MfaEnrolment, found)
        }
        found => (Kind::MfaChallenge, found?),
    };
    let (ctx, user) = found;
    let counted = Counted::second(&state.secret, (ctx.tenant, user.id), from.ip);
    let taken = attempt::take(state, &counted).await?;
    let codes = match kind {
        Kind::MfaEnrolment => Some(new_codes()?),
        _ => None,
    };
    let (hashes, code) = (codes.as_deref().map(hashes), Code::read(code));
    let (token, state_, id) = (token.hash(), state.clone(), user.id);
    let signed = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = user::store::lock_credentials(tx, id)
            .await?
            .filter(Credentials::is_active)
            .ok_or(Error::TicketInvalid)?;
        match &hashes {
            Some(hashes) => enable(tx, &state_, &user, &code, hashes, None).await?,
            None if store::is_enabled(tx, id).await? => take(tx, &state_, &user, &code).await?,
            None => return Err(Error::TicketInvalid),
        }
        let ticket = ticket::take_in(tx, &token, kind).await?;
        let amr = session::and_a_code(&ticket.amr);
        let signed = session::open(tx, &state_, &user, &from, &amr).await?;
        if let Code::Recovery(_) = code {
            let details = json!({ "left": store::codes_left(tx, id).await? });
            tx.audit("identity.mfa.recover", ("user", id.uuid()), None, details);
        }
        attempt::forgive(tx, &counted).await?;
        Ok(signed)
    });
    let signed = match signed.await {
        Err(Error::WrongCode) if taken.failures == SECOND.free => {
            report(state, &ctx, id).await?;
            return Err(Error::WrongCode);
        }
        signed => signed?.value,
    };
    Ok(Verified { signed, codes })
}

/// Tells the tenant that somebody knows a password and guesses at the second factor: once, when the waiting begins.
async fn report(state: &State, ctx: &Ctx, user: UserId) -> Result<(), Error> {
    let told = state.db.write(ctx, async move |tx: &mut Tx| {
        let details = json!({ "failures": SECOND.free });
        tx.audit("identity.mfa.guessed", ("user", user.uuid()), None, details);
        Ok::<_, Error>(())
    });
    told.await?;
    Ok(())
}

/// Takes the caller's second factor away, with his password and a code.
pub async fn disable(
    state: &State,
    caller: &Caller,
    from: Device,
    password: Password,
    code: Password,
) -> Result<(), Error> {
    changed(state, caller, from, password, code, None).await
}

/// Makes the caller's recovery codes anew, with his password and a code.
pub async fn renew_codes(
    state: &State,
    caller: &Caller,
    from: Device,
    password: Password,
    code: Password,
) -> Result<Vec<String>, Error> {
    let codes = new_codes()?;
    changed(state, caller, from, password, code, Some(hashes(&codes))).await?;
    Ok(codes)
}

/// Replaces the recovery codes by others, or takes all away where there are none.
async fn changed(
    state: &State,
    caller: &Caller,
    from: Device,
    password: Password,
    code: Password,
    hashes: Option<Vec<Vec<u8>>>,
) -> Result<(), Error> {
    let user = caller.user()?;
    let session = session::session_of(caller.session)?;
    let (ctx, proven) = session::prove(state, &caller.ctx, user, &from, &password).await?;
    let counted = Counted::second(&state.secret, (ctx.tenant, user), from.ip);
    let _taken = attempt::take(state, &counted).await?;
    let (code, state_) = (Code::read(&code), state.clone());
    let done = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = proven.lock(tx).await?;
        if !store::is_enabled(tx, user.id).await? {
            return Err(Error::MfaNotEnabled);
        }
        take(tx, &state_, &user, &code).await?;
        let action = match &hashes {
            Some(hashes) => {
                store::set_codes(tx, user.id, hashes).await?;
                "identity.mfa.renew_codes"
            }
            None => {
                store::delete(tx, user.id).await?;
                session::set_amr(tx, session, &PASSWORD).await?;
                "identity.mfa.disable"
            }
        };
        tx.audit(action, ("user", user.id.uuid()), None, json!({}));
        attempt::forgive(tx, &proven.counted.shown_by(&user)).await?;
        attempt::forgive(tx, &counted).await
    });
    done.await?;
    Ok(())
}

/// Takes the second factor of a user away who lost it. A key does not: it may be his own.
pub async fn reset(state: &State, caller: &Caller, id: UserId) -> Result<Done<()>, Error> {
    // Who sits at somebody's screen must not take his second factor from him.
    if caller.user()? == id {
        return Err(Error::OwnMfa);
    }
    let grants = caller.grants.clone();
    let done = state.db.write(&caller.ctx, async move |tx: &mut Tx| {
        user::store::lock(tx, id).await?;
        user::above(tx, &grants, id).await?;
        let had = store::delete(tx, id).await?;
        if had {
            ticket::void(tx, id).await?;
            tx.audit("identity.mfa.reset", ("user", id.uuid()), None, json!({}));
        }
        Ok::<_, Error>(had)
    });
    Ok(done.await?.map(|_| ()))
}

fn hashes(codes: impl AsRef<[String]>) -> Vec<Vec<u8>> {
    codes.as_ref().iter().map(|code| hash(code)).collect()
}

/// No request that holds a code, or is answered with some, is remembered by its key.
fn unremembered(ctx: &Ctx) -> Ctx {
    Ctx {
        idempotency: None,
        ..ctx.clone()
    }
}
