//! The use cases of signing in with a provider.

use std::sync::LazyLock;

use bahi_db::{Ctx, Done, Tx};
use bahi_events::Actor;
use bahi_http::{Caller, Fault};
use bahi_types::{TenantId, UserId};
use prometheus::{IntCounterVec, register_int_counter_vec};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{
    discovery::{Exchange, Known, NoToken},
    model::{Expected, FEDERATED, Link, Login, MULTIPLE, Person},
    store,
};
use crate::{
    Error, State, attempt, erasure,
    password::Password,
    provider::{self, Provider},
    secret::Token,
    session::{self, Device, Entry},
    ticket,
    user::{self, Credentials, Status},
};

#[allow(clippy::unwrap_used)] // Name and label are constants; a clash shows at the first sign-in.
static ENDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "identity_provider_sign_ins_total",
        "Sign-ins with an identity provider that came back from there",
        &["outcome"]
    )
    .unwrap()
});

fn counted<T>(answer: Result<T, Error>) -> Result<T, Error> {
    let outcome = match &answer {
        Ok(_) => "accepted",
        Err(Error::SignInRefused) => "refused",
        Err(Error::NoAccount) => "no_account",
        Err(Error::ProviderUnavailable) => "unavailable",
        Err(_) => "failed",
    };
    ENDED.with_label_values(&[outcome]).inc();
    answer
}

/// Providers of a tenant that let people in; none for an unknown one.
pub async fn offered(state: &State, slug: String) -> Result<Vec<Provider>, Error> {
    let ctx = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    state
        .db
        .read(&ctx, async move |tx: &mut Tx| {
            let Some(tenant) = store::tenant_of(tx, &slug).await? else {
                return Ok(Vec::new());
            };
            tx.enter(tenant).await?;
            Ok(provider::store::all_open(tx).await?)
        })
        .await
}

/// A sign-in that has begun.
pub struct Begun {
    /// The sign-in.
    pub login: Login,
    /// Where the browser goes.
    pub address: String,
}

/// What somebody wants to begin.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Provider.
    pub provider: Uuid,
    /// Where he wants to be sent back to; the first of the provider's where absent.
    pub redirect_uri: Option<String>,
}

/// Begins to sign somebody in.
pub async fn begin(state: &State, ctx: Ctx, slug: String, wish: Wish) -> Result<Begun, Error> {
    let found = state.db.read(&ctx, async move |tx: &mut Tx| {
        let tenant = store::tenant_of(tx, &slug).await?;
        let tenant = tenant.ok_or(Fault::NotFound)?;
        tx.enter(tenant).await?;
        let (provider, _) = provider::store::open(tx, wish.provider)
            .await?
            .ok_or(Fault::NotFound)?;
        Ok::<_, Error>((provider, wish.redirect_uri))
    });
    let (provider, redirect) = found.await?;
    let redirect = back_to(&provider, redirect)?;
    let known = known(state, &provider).await?;
    let ctx = Ctx {
        tenant: provider.tenant_id,
        idempotency: None,
        ..ctx
    };
    let now = state.clock.now();
    let login = Login::new(provider.tenant_id, provider.id, redirect, None, now);
    let (row, hash) = (login.clone(), login.state(&state.secret).hash());
    let begun = state.db.write(&ctx, async move |tx: &mut Tx| {
        Ok::<_, Error>(store::insert(tx, &row, &hash).await?)
    });
    begun.await?;
    let address = address(state, &provider, &known, &login)?;
    Ok(Begun { login, address })
}

/// Begins to link the caller, who gives his password: at an unattended screen somebody else could link himself.
pub async fn begin_link(
    state: &State,
    caller: &Caller,
    from: &Device,
    password: &Password,
    wish: Wish,
) -> Result<Begun, Error> {
    let user = caller.user()?;
    let (ctx, proven) = session::prove(state, &caller.ctx, user, from, password).await?;
    let found = state.db.read(&ctx, async move |tx: &mut Tx| {
        let found = provider::store::open(tx, wish.provider).await?;
        Ok::<_, Error>((found.ok_or(Fault::NotFound)?.0, wish.redirect_uri))
    });
    let (provider, redirect) = found.await?;
    let redirect = back_to(&provider, redirect)?;
    let known = known(state, &provider).await?;
    let now = state.clock.now();
    let login = Login::new(ctx.tenant, provider.id, redirect, Some(user), now);
    let (row, hash) = (login.clone(), login.state(&state.secret).hash());
    let begun = state.db.write(&ctx, async move |tx: &mut Tx| {
        let user = proven.lock(tx).await?;
        store::insert(tx, &row, &hash).await?;
        attempt::forgive(tx, &proven.counted.shown_by(&user)).await
    });
    begun.await?;
    let address = address(state, &provider, &known, &login)?;
    Ok(Begun { login, address })
}

/// Letter by letter one of those that the company has named (RFC 9700, 2.1).
fn back_to(provider: &Provider, wanted: Option<String>) -> Result<String, Error> {
    let mut known = provider.redirect_uris.iter();
    let found = match wanted {
        None => known.next(),
        Some(wanted) => known.find(|uri| **uri == wanted),
    };
    let message = "must be one of those that the provider is set up with";
    found
        .cloned()
        .ok_or_else(|| Fault::field("redirect_uri", message).into())
}

async fn known(state: &State, provider: &Provider) -> Result<std::sync::Arc<Known>, Error> {
    let known = state.providers.current(&provider.issuer).await;
    known.map_err(|_| Error::ProviderUnavailable)
}

fn address(
    state: &State,
    provider: &Provider,
    known: &Known,
    login: &Login,
) -> Result<String, Error> {
    let secret = &state.secret;
    let mut url = Url::parse(&known.metadata.authorization_endpoint)
        .map_err(|_| Error::ProviderUnavailable)?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &login.redirect_uri)
        .append_pair("scope", "openid email profile")
        .append_pair("state", &login.state(secret).text())
        .append_pair("nonce", &login.nonce(secret))
        .append_pair("code_challenge", &login.challenge(secret))
        .append_pair("code_challenge_method", "S256");
    Ok(url.into())
}

/// What a provider has sent back with the browser, and the browser's own key.
#[derive(Clone)]
pub struct Returned {
    /// State.
    pub state: Token,
    /// Code.
    pub code: String,
    /// Who has sent it, where the provider says so.
    pub issuer: Option<String>,
    /// Key of the browser.
    pub key: String,
}

/// Refuses, and notes why where only we see it.
fn refuse(tenant: TenantId, why: impl std::fmt::Display) -> Error {
    tracing::warn!(%tenant, %why, "a sign-in with an identity provider is refused");
    Error::SignInRefused
}

/// Uses a sign-in up and finds out for whom the provider vouches. The state is used up first and for good, so that no code
/// is exchanged twice, whatever comes of it.
async fn redeem(
    state: &State,
    ctx: &Ctx,
    returned: &Returned,
    linking: Option<UserId>,
) -> Result<(Provider, Person), Error> {
    let (hash, key, secret) = (
        returned.state.hash(),
        returned.key.clone(),
        state.secret.clone(),
    );
    let tenant = ctx.tenant;
    let taken = state.db.write(ctx, async move |tx: &mut Tx| {
        let login = store::lock_login(tx, &hash).await?;
        let login = login.ok_or_else(|| refuse(tenant, "the state is unknown"))?;
        if !login.began_with(&secret, &key) {
            return Err(refuse(tenant, "another browser began it"));
        }
        if !login.is_good(tx.now()) {
            return Err(refuse(tenant, "it was ended before, or took too long"));
        }
        if login.user_id != linking {
            return Err(refuse(tenant, "somebody else began it"));
        }
        let open = provider::store::open(tx, login.provider_id).await?;
        let (provider, sealed) = open.ok_or_else(|| refuse(tenant, "the provider is closed"))?;
        store::set_used(tx, login.id).await?;
        Ok(Taken {
            login,
            provider,
            sealed,
        })
    });
    let Taken {
        login,
        provider,
        sealed,
    } = taken.await?.value;
    let known = known(state, &provider).await?;
    // RFC 9207: an answer of another provider must not bring us to take its code here.
    let says = known
        .metadata
        .authorization_response_iss_parameter_supported;
    match &returned.issuer {
        Some(issuer) if *issuer != provider.issuer => {
            return Err(refuse(tenant, "another provider has sent it back"));
        }
        None if says => return Err(refuse(tenant, "the provider does not say who it is")),
        _ => {}
    }
    let client_secret = match sealed {
        Some(sealed) => Some(opened(state, &provider, &sealed)?),
        None => None,
    };
    let code = Exchange {
        code: &returned.code,
        verifier: &login.verifier(&state.secret),
        redirect_uri: &login.redirect_uri,
        client_id: &provider.client_id,
        secret: client_secret.as_deref(),
    };
    let token = match state.providers.exchange(&known, code).await {
        Ok(token) => token,
        Err(NoToken::Unusable(why)) => {
            tracing::warn!(issuer = provider.issuer, %why, "an identity provider cannot be used");
            return Err(Error::ProviderUnavailable);
        }
        Err(why) => return Err(refuse(tenant, why)),
    };
    let signed = state.providers.signed(&provider.issuer, &known, &token);
    let signed = signed.await.map_err(|why| refuse(tenant, why))?;
    let person = signed.check(&Expected {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        nonce: &login.nonce(&state.secret),
        now: state.clock.now(),
    });
    let person = person.map_err(|why| refuse(tenant, why))?;
    Ok((provider, person))
}

/// A sign-in that was used up.
#[derive(Clone, Serialize, Deserialize)]
struct Taken {
    login: Login,
    provider: Provider,
    sealed: Option<Vec<u8>>,
}

fn opened(state: &State, provider: &Provider, sealed: &[u8]) -> Result<String, Error> {
    let whose = provider::owner(provider.tenant_id, provider.id);
    let secret = state.secret.open(&whose, sealed)?;
    // It was text when it was sealed.
    String::from_utf8(secret).map_err(|_| aws_lc_rs::error::Unspecified.into())
}

/// Ends a sign-in.
pub async fn complete(
    state: &State,
    ctx: Ctx,
    from: Device,
    returned: Returned,
) -> Result<Entry, Error> {
    let ctx = Ctx {
        tenant: returned.state.tenant,
        actor: Actor::Service {
            id: state.db.service().to_owned(),
        },
        idempotency: None,
        ..ctx
    };
    counted(signed_in(state, &ctx, from, &returned).await)
}

async fn signed_in(
    state: &State,
    ctx: &Ctx,
    from: Device,
    returned: &Returned,
) -> Result<Entry, Error> {
    let (provider, person) = redeem(state, ctx, returned, None).await?;
    match admit(state, ctx, &from, &provider, &person).await {
        // He came twice at once and the other was first: now there is somebody whom he can be.
        Err(Error::EmailTaken | Error::IdentityTaken) => {
            match admit(state, ctx, &from, &provider, &person).await {
                Err(Error::EmailTaken) => Err(Error::NoAccount),
                other => other,
            }
        }
        other => other,
    }
}

async fn admit(
    state: &State,
    ctx: &Ctx,
    from: &Device,
    provider: &Provider,
    person: &Person,
) -> Result<Entry, Error> {
    let (from, id, person, state_) = (from.clone(), provider.id, person.clone(), state.clone());
    let entry = state.db.write(ctx, async move |tx: &mut Tx| {
        // Closed, deleted or changed while the code was exchanged.
        let provider = provider::store::share_open(tx, id).await?;
        let provider = provider.ok_or_else(|| refuse(tx.tenant(), "the provider is closed"))?;
        let user = match store::link(tx, &provider.issuer, &person.subject).await? {
            Some(link) => {
                store::touch(tx, link.id).await?;
                link.user_id
            }
            None => find(tx, &provider, &person).await?,
        };
        let user = user::store::share(tx, user)
            .await?
            .filter(Credentials::is_active)
            .ok_or(Error::NoAccount)?;
        let trusted = provider.trusts_mfa && person.several_factors;
        let amr: &[&str] = if trusted {
            &[FEDERATED, MULTIPLE]
        } else {
            &[FEDERATED]
        };
        session::enter(tx, &state_, &user, &from, amr).await
    });
    Ok(entry.await?.value)
}

/// Who somebody is by his address, linked from now on, or a new user; if the company wants that.
async fn find(tx: &mut Tx, provider: &Provider, person: &Person) -> Result<UserId, Error> {
    let email = person.email.as_deref().ok_or(Error::NoAccount)?;
    if !provider.speaks_for(email) || user::http::address(email, &()).is_err() {
        return Err(Error::NoAccount);
    }
    let user = match store::user_with(tx, email).await? {
        // It may be himself, if he came since we looked for his link.
        Some(_) if !provider.link_by_email => return Err(Error::EmailTaken),
        Some(id) => {
            let member = user::store::lock(tx, id).await?;
            if erasure::of_user(tx, id).await? {
                return Err(Error::NoAccount);
            }
            match member.user.status.as_str() {
                Status::ACTIVE => {}
                // The invitation was to this address, and the company believes this provider of whose it is.
                Status::INVITED => {
                    ticket::void(tx, id).await?;
                    user::joined_by_provider(tx, id).await?;
                }
                _ => return Err(Error::NoAccount),
            }
            id
        }
        None => {
            let role = provider.role_id.ok_or(Error::NoAccount)?;
            let name = person.name.as_deref().unwrap_or(email);
            let branch_ids = provider.branch_ids.clone();
            user::brought_in(tx, email, name, role, branch_ids).await?
        }
    };
    add_link(tx, provider, person, user, "email").await?;
    Ok(user)
}

async fn add_link(
    tx: &mut Tx,
    provider: &Provider,
    person: &Person,
    user: UserId,
    by: &str,
) -> Result<Link, Error> {
    let link = Link {
        tenant_id: tx.tenant(),
        id: Uuid::now_v7(),
        issuer: provider.issuer.clone(),
        subject: person.subject.clone(),
        provider_id: provider.id,
        user_id: user,
        email: person.email.clone(),
        created_at: tx.now(),
        last_used_at: None,
    };
    store::insert_link(tx, &link).await?;
    told(tx, "identity.user.link", &link, by);
    Ok(link)
}

fn told(tx: &mut Tx, action: &'static str, link: &Link, by: &str) {
    // Its subject says who he is there, and the trail is kept for ever.
    let details = json!({ "provider_id": link.provider_id, "link_id": link.id, "by": by });
    tx.audit(action, ("user", link.user_id.uuid()), None, details);
}

/// Links the caller to whom the provider vouches for.
pub async fn complete_link(
    state: &State,
    caller: &Caller,
    returned: Returned,
) -> Result<Link, Error> {
    let user = caller.user()?;
    let ctx = Ctx {
        idempotency: None,
        ..caller.ctx.clone()
    };
    if returned.state.tenant != ctx.tenant {
        return Err(refuse(ctx.tenant, "it is another tenant's"));
    }
    let (provider, person) = counted(redeem(state, &ctx, &returned, Some(user)).await)?;
    let linked = state.db.write(&ctx, async move |tx: &mut Tx| {
        let provider = provider::store::share_open(tx, provider.id).await?;
        let provider = provider.ok_or_else(|| refuse(tx.tenant(), "the provider is closed"))?;
        let active = user::store::lock_credentials(tx, user).await?;
        active
            .filter(Credentials::is_active)
            .ok_or(Fault::NotFound)?;
        match store::link(tx, &provider.issuer, &person.subject).await? {
            Some(link) if link.user_id == user => Ok(link),
            Some(_) => Err(Error::IdentityTaken),
            None => add_link(tx, &provider, &person, user, "himself").await,
        }
    });
    Ok(linked.await?.value)
}

/// The links of the caller.
pub async fn links(state: &State, caller: &Caller) -> Result<Vec<Link>, Error> {
    let user = caller.user()?;
    state
        .db
        .read(&caller.ctx, async move |tx: &mut Tx| {
            Ok(store::links(tx, user).await?)
        })
        .await
}

/// Takes a link of the caller away, unless he could not come in any more.
pub async fn unlink(state: &State, caller: &Caller, id: Uuid) -> Result<Done<()>, Error> {
    let user = caller.user()?;
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let own = user::store::lock_credentials(tx, user).await?;
            let own = own.ok_or(Fault::NotFound)?;
            let gone = store::delete_link(tx, user, id).await?;
            let gone = gone.ok_or(Fault::NotFound)?;
            if own.password_hash.is_none() && !store::has_link(tx, user).await? {
                return Err(Error::LastWayIn);
            }
            told(tx, "identity.user.unlink", &gone, "himself");
            Ok(())
        })
        .await
}

/// Forgets the links to a provider that is being deleted, and the sign-ins on their way.
pub async fn forget(tx: &mut Tx, provider: Uuid) -> Result<(), Error> {
    Ok(store::forget(tx, provider).await?)
}
