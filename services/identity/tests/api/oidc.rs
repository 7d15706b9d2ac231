//! Signing in with an identity provider that runs beside the tests.

use std::time::Duration;

use bahi_testkit::{
    Manners, Misstep, ProviderKey, Reply, SentBack, Signing, TestApp, TestProvider,
};
use bahi_types::{BranchId, Clock, TenantId};
use chrono::{SubsecRound, TimeDelta, Utc};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    emails::{confirm, mails},
    mfa::enrolled,
    organisation::site,
    support::*,
};

pub const BACK: &str = "https://shop.example.in/signed-in";
const BEGIN: &str = "/api/v1/auth/oidc:begin";
const COMPLETE: &str = "/api/v1/auth/oidc:complete";

/// A fleet that calls this machine, and waits a second for answers.
pub async fn start_beside() -> App {
    let clock = Clock::fixed(Utc::now().trunc_subsecs(0));
    let settings = [
        ("BAHI_PROVIDERS_PRIVATE", "true"),
        ("BAHI_PROVIDER_TIMEOUT_MS", "1000"),
    ];
    TestApp::start_with(identity::app(), &settings, clock).await
}

pub fn input(provider: &TestProvider) -> Value {
    json!({ "name": "Office account", "issuer": provider.issuer, "client_id": "bahi",
        "client_secret": "s3cret: with/odd+letters", "redirect_uris": [BACK, "http://127.0.0.1:5173/back"] })
}

/// A business and a provider of it.
struct Office {
    shop: Shop,
    provider: TestProvider,
    id: String,
}

impl Office {
    async fn open(app: &App) -> Self {
        Self::with(app, json!({})).await
    }

    async fn with(app: &App, more: Value) -> Self {
        let shop = Shop::open(app).await;
        let provider = TestProvider::start().await;
        let id = add(&shop, &provider, more).await;
        let office = Self { shop, provider, id };
        office.tick(app);
        office
    }

    /// Sets the clock of the provider by that of the service.
    fn tick(&self, app: &App) {
        let now = app.clock.now().timestamp();
        self.provider.behave(|m| m.now = Some(now));
    }

    fn person(&self, person: Value) {
        self.provider.behave(|m| m.person = person);
    }

    async fn begin(&self, app: &App) -> Reply {
        let body = json!({ "tenant": self.shop.slug, "provider_id": self.id });
        post(app, BEGIN, body).await
    }

    /// Goes to the provider and comes back, with what `:complete` takes.
    async fn gone(&self, app: &App) -> Value {
        let begun = self.begin(app).await.expect(200);
        let back = self
            .provider
            .consent(&begun.text_at("authorization_url"))
            .await;
        returned(&begun, &back)
    }

    async fn sign_in(&self, app: &App) -> Reply {
        let returned = self.gone(app).await;
        post(app, COMPLETE, returned).await
    }

    /// Links somebody who is signed in to who is signed in at the provider.
    async fn link(&self, who: &bahi_testkit::Client) -> Reply {
        let body = json!({ "password": PASSWORD, "provider_id": self.id });
        let begun = who
            .post("/api/v1/auth/identities:begin", body)
            .await
            .expect(200);
        let back = self
            .provider
            .consent(&begun.text_at("authorization_url"))
            .await;
        let returned = returned(&begun, &back);
        who.post("/api/v1/auth/identities:complete", returned).await
    }
}

async fn add(shop: &Shop, provider: &TestProvider, more: Value) -> String {
    let mut body = input(provider);
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let path = "/api/v1/identity-providers";
    shop.owner.post(path, body).await.expect(201).text_at("id")
}

fn returned(begun: &Reply, back: &SentBack) -> Value {
    json!({ "state": back.state, "code": back.code, "iss": back.iss, "key": begun.text_at("key") })
}

fn amr(tokens: &Reply) -> Vec<String> {
    claims(&tokens.text_at("access_token")).amr
}

#[track_caller]
fn refused(reply: Reply) {
    assert_eq!(reply.status, 401, "{}", reply.text);
    assert_eq!(reply.code(), "SIGN_IN_REFUSED");
    assert_eq!(
        reply.body["detail"],
        "The sign-in cannot be completed; begin anew."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_linked_comes_in_by_issuer_and_subject() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    let path = format!("/api/v1/auth/oidc/providers?tenant={}", office.shop.slug);
    let offered = nobody(&app).get(&path).await.expect(200);
    assert_eq!(
        offered.body,
        json!({ "items": [{ "id": office.id, "name": "Office account" }] })
    );
    let nowhere = "/api/v1/auth/oidc/providers?tenant=nobody-is-called-so";
    let nothing = nobody(&app).get(nowhere).await.expect(200);
    assert_eq!(nothing.body, json!({ "items": [] }));

    // Nobody yet, and a verified address changes nothing: the company has not said that it may.
    office.person(json!({ "sub": "7", "email": office.shop.email, "email_verified": true }));
    let nobody_yet = office.sign_in(&app).await.expect(403);
    assert_eq!(nobody_yet.code(), "NO_ACCOUNT");
    let linked = office.link(&office.shop.owner).await.expect(200);
    assert_eq!(
        (&linked.body["subject"], &linked.body["issuer"]),
        (&json!("7"), &json!(office.provider.issuer))
    );
    // Once more changes nothing.
    let again = office.link(&office.shop.owner).await.expect(200);
    assert_eq!(again.body["id"], linked.body["id"]);

    // Later he may have any address there: the subject is who he is.
    office.person(json!({ "sub": "7", "email": "other@elsewhere.example", "name": "X" }));
    let mut returned = office.gone(&app).await;
    returned["device_name"] = json!("Front till");
    let tokens = post(&app, COMPLETE, returned).await.expect(200);
    assert_eq!(tokens.header("cache-control"), Some("no-store"));
    assert_eq!(tokens.body["user_id"], json!(office.shop.owner.user));
    assert_eq!(amr(&tokens), ["fed"]);
    let owner = client(&app, &tokens);
    let sessions = owner.get("/api/v1/auth/sessions").await.expect(200);
    let sessions = sessions.body["items"].as_array().unwrap().iter();
    let this: Vec<_> = sessions.filter(|s| s["current"] == true).collect();
    assert_eq!(
        (&this[0]["device_name"], &this[0]["amr"]),
        (&json!("Front till"), &json!(["fed"]))
    );
    refresh(&app, &tokens.text_at("refresh_token"))
        .await
        .expect(200);
    let links = owner.get("/api/v1/auth/identities").await.expect(200);
    assert_eq!(links.body["items"].as_array().unwrap().len(), 1);
    assert!(links.body["items"][0]["last_used_at"].is_string());
    // Another subject with the same address is somebody else.
    office.person(json!({ "sub": "8", "email": office.shop.email, "email_verified": true }));
    office.sign_in(&app).await.expect(403);
    // Keys of the other kind do too.
    let ec = ProviderKey::ec("curve");
    office.person(json!({ "sub": "7" }));
    office.provider.behave(|m| {
        m.shown.push(ec.clone());
        m.signing = Signing::Key(ec);
    });
    app.clock.advance(TimeDelta::seconds(31));
    office.tick(&app);
    office.sign_in(&app).await.expect(200);

    // The trail, which is kept for ever, names the link and not who he is there.
    let owner = &office.shop.owner;
    let told = details_of(&app, owner.tenant, "identity.user.link").await;
    let link = json!({ "provider_id": office.id, "link_id": linked.body["id"], "by": "himself" });
    assert_eq!(told, std::slice::from_ref(&link));
    let path = format!("/api/v1/auth/identities/{}", linked.text_at("id"));
    owner.delete(&path, 1).await.expect(204);
    let told = details_of(&app, owner.tenant, "identity.user.unlink").await;
    assert_eq!(told, [link]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_person_stays_outside_unless_the_company_wants_him() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    let domain = "office.example.in";
    let change = |link: bool, role: Option<&str>, version: i64| {
        let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": [domain],
            "link_by_email": link, "role_id": role, "trusts_mfa": false, "active": true });
        let path = format!("/api/v1/identity-providers/{}", office.id);
        let owner = office.shop.owner.clone();
        async move { owner.put(&path, body, version).await.expect(200) }
    };
    let cashier = office.shop.role("cashier").await;
    let asha = format!("asha@{domain}");
    let verified = |sub: &str, email: &str| json!({ "sub": sub, "email": email, "email_verified": true, "name": "Asha Rao" });
    office.person(verified("a", &asha));
    office.sign_in(&app).await.expect(403);

    change(false, Some(&cashier), 1).await;
    for (person, why) in [
        (
            json!({ "sub": "a", "email": asha, "email_verified": false }),
            "not verified",
        ),
        (
            json!({ "sub": "a", "email": asha }),
            "not said to be verified",
        ),
        (json!({ "sub": "a" }), "no address"),
        (
            verified("a", "asha@evil-office.example.in"),
            "another domain",
        ),
        (
            verified("a", "asha@sub.office.example.in"),
            "a domain below",
        ),
        (verified("a", "a b@office.example.in"), "no address"),
    ] {
        office.person(person);
        let refused = office.sign_in(&app).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "NO_ACCOUNT"),
            "{why}"
        );
    }
    // Who comes several times at once is one.
    office.person(verified("a", &asha.to_uppercase()));
    let returned = join_all((0..5).map(|_| office.gone(&app))).await;
    let came = join_all(returned.into_iter().map(|r| post(&app, COMPLETE, r))).await;
    for tokens in &came {
        assert_eq!(tokens.status, 200, "{}", tokens.text);
        assert_eq!(tokens.body["user_id"], came[0].body["user_id"]);
    }
    let id = came[0].text_at("user_id");
    assert_eq!(said(&app, "user.created", &id).await.len(), 1);
    let path = format!("/api/v1/users/{id}");
    let user = office.shop.owner.get(&path).await.expect(200);
    assert_eq!(
        (
            &user.body["email"],
            &user.body["name"],
            &user.body["status"],
            &user.body["role_ids"]
        ),
        (
            &json!(asha),
            &json!("Asha Rao"),
            &json!("active"),
            &json!([cashier])
        )
    );
    // Of whom a provider says that an address is his has not shown it: the company chose the provider.
    assert_eq!(user.body["email_verified_at"], Value::Null);
    let himself = client(&app, &came[0]);
    let ask = "/api/v1/auth/email-verifications";
    assert!(mails(&app, &id).await.is_empty());
    himself.post(ask, json!({})).await.expect(204);
    let mail = mails(&app, &id).await.pop().unwrap();
    confirm(&app, &mail).await.expect(204);
    let shown = himself.get("/api/v1/auth/me").await.expect(200);
    assert!(shown.body["email_verified_at"].is_string());
    // Without a password nobody signs in with one, however empty.
    log_in(&app, &asha, "").await.expect(401);
    log_in(&app, &asha, PASSWORD).await.expect(401);

    // Somebody who is a user already is not made anew, and not linked unless the company says so.
    let hired = office.shop.hire(&app, "cashier").await;
    let (domain_of_shop, email) = (hired.email.split('@').nth(1).unwrap(), &hired.email);
    let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": [domain, domain_of_shop],
        "link_by_email": false, "role_id": cashier, "trusts_mfa": false, "active": true });
    let path = format!("/api/v1/identity-providers/{}", office.id);
    office
        .shop
        .owner
        .put(&path, body.clone(), 2)
        .await
        .expect(200);
    office.person(verified("h", email));
    office.sign_in(&app).await.expect(403);
    let mut body = body;
    body["link_by_email"] = json!(true);
    office.shop.owner.put(&path, body, 3).await.expect(200);
    let tokens = office.sign_in(&app).await.expect(200);
    assert_eq!(tokens.body["user_id"], hired.id.as_str());
    // Disabled he stays outside, whoever vouches for him.
    office
        .shop
        .owner
        .post(&format!("{}:disable", hired.path()), json!({}))
        .await
        .expect(200);
    assert!(is_refused(&app, &tokens.text_at("access_token")).await);
    assert_eq!(office.sign_in(&app).await.expect(403).code(), "NO_ACCOUNT");
    office
        .shop
        .owner
        .post(&format!("{}:enable", hired.path()), json!({}))
        .await
        .expect(200);
    office.sign_in(&app).await.expect(200);
    // So does somebody without a password once he is back.
    let path = format!("/api/v1/users/{id}");
    office
        .shop
        .owner
        .post(&format!("{path}:disable"), json!({}))
        .await
        .expect(200);
    let back = office
        .shop
        .owner
        .post(&format!("{path}:enable"), json!({}))
        .await
        .expect(200);
    assert_eq!(back.body["status"], "active");

    // Who was invited joins by coming; the invitation is used up.
    let invited = office.shop.invite("cashier").await;
    office.person(verified(
        "i",
        invited.body["user"]["email"].as_str().unwrap(),
    ));
    let joined = office.sign_in(&app).await.expect(200);
    assert_eq!(joined.body["user_id"], invited.body["user"]["id"]);
    let me = client(&app, &joined)
        .get("/api/v1/auth/me")
        .await
        .expect(200);
    assert_eq!(me.body["email_verified_at"], Value::Null);
    let body = json!({ "token": invited.body["token"], "password": PASSWORD });
    post(&app, "/api/v1/auth/invitations:accept", body)
        .await
        .expect(422);
    let actions = audited(&app, office.shop.owner.tenant).await;
    for action in [
        "identity.user.bring_in",
        "identity.user.join",
        "identity.user.link",
    ] {
        assert!(actions.iter().any(|a| a == action), "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_provider_brings_in_works_where_it_is_said() {
    let app = start_beside().await;
    let domain = "office.example.in";
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let provider = TestProvider::start().await;
    let role = shop.role("cashier").await;
    let here = json!([first.branch]);
    let more = json!({ "domains": [domain], "role_id": role, "branch_ids": here });
    let id = add(&shop, &provider, more).await;
    let office = Office { shop, provider, id };
    office.tick(&app);
    let path = format!("/api/v1/identity-providers/{}", office.id);
    let put = async |more: Value, version: i64| {
        let mut body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": [domain],
            "link_by_email": false, "role_id": role, "trusts_mfa": false, "active": true });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        office.shop.owner.put(&path, body, version).await
    };
    let come = async |sub: &str| {
        office.person(
            json!({ "sub": sub, "email": format!("{sub}@{domain}"), "email_verified": true }),
        );
        let tokens = office.sign_in(&app).await.expect(200);
        claims(&tokens.text_at("access_token")).branches
    };
    let scope = come("a").await;
    let branch = first.branch.parse().unwrap();
    assert_eq!(scope.branches(), Some(&[branch][..]));
    // What says nothing of branches leaves them; `null` is all of them, for those who come from then on.
    let kept = put(json!({}), 1).await.expect(200);
    assert_eq!(kept.body["branch_ids"], here);
    assert!(!come("b").await.is_whole());
    let all = put(json!({ "branch_ids": null }), 2).await.expect(200);
    assert_eq!(all.body["branch_ids"], Value::Null);
    assert!(come("c").await.is_whole());
    assert!(!come("a").await.is_whole());

    put(json!({ "branch_ids": [] }), 3).await.expect(400);
    put(json!({ "branch_ids": [uuid::Uuid::now_v7()] }), 3)
        .await
        .expect(400);
    let owner = office.shop.role("owner").await;
    put(json!({ "branch_ids": here, "role_id": owner }), 3)
        .await
        .expect(400);
    // Who holds everything, but not everywhere, brings nobody in beyond his branches.
    let some = BranchId::from_uuid(uuid::Uuid::now_v7());
    for branches in [vec![some], vec![branch, some]] {
        let scoped = office.shop.owner.at_branches(&["*"], &branches);
        let body = input(&office.provider);
        let reply = scoped.post("/api/v1/identity-providers", body).await;
        assert_eq!(reply.expect(403).code(), "OTHER_BRANCH");
        let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": [domain],
            "link_by_email": false, "role_id": role, "trusts_mfa": false, "active": true });
        let reply = scoped.put(&path, body, 3).await;
        assert_eq!(reply.expect(403).code(), "OTHER_BRANCH");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_not_right_to_the_letter_is_refused() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    office.link(&office.shop.owner).await.expect(200);
    let now = app.clock.now().timestamp();
    let (own, ec) = (office.provider.key(), ProviderKey::ec("curve"));
    let foreign = ProviderKey::rsa("one");
    let modulus = own.public()["n"].as_str().unwrap().as_bytes().to_vec();
    let claim = |name: &str, value: Value| {
        let claims = json!({ name: value });
        Box::new(move |m: &mut Manners| m.claims = claims.clone()) as Box<dyn Fn(&mut Manners)>
    };
    let signing = |signing: Signing| {
        Box::new(move |m: &mut Manners| m.signing = signing.clone()) as Box<dyn Fn(&mut Manners)>
    };
    let header = |header: Value| {
        Box::new(move |m: &mut Manners| m.header = header.clone()) as Box<dyn Fn(&mut Manners)>
    };
    office.provider.behave(|m| m.shown.push(ec.clone()));
    app.clock.advance(TimeDelta::seconds(31));
    office.tick(&app);
    let now = now + 31;
    let cases = [
        ("wrong nonce", claim("nonce", json!("another"))),
        ("no nonce", claim("nonce", Value::Null)),
        ("wrong audience", claim("aud", json!("another"))),
        (
            "audiences without party",
            claim("aud", json!(["bahi", "another"])),
        ),
        ("another party", claim("azp", json!("another"))),
        (
            "another issuer",
            claim("iss", json!("https://id.example.in")),
        ),
        (
            "issuer with a slash",
            claim("iss", json!(format!("{}/", office.provider.issuer))),
        ),
        ("expired", claim("exp", json!(now - 61))),
        ("not yet", claim("nbf", json!(now + 3600))),
        ("from the future", claim("iat", json!(now + 3600))),
        ("old", claim("iat", json!(now - 3600))),
        ("no subject", claim("sub", Value::Null)),
        ("unsigned", signing(Signing::None)),
        (
            "the public key as secret",
            signing(Signing::Secret(modulus)),
        ),
        ("an empty secret", signing(Signing::Secret(Vec::new()))),
        (
            "a foreign key by a known name",
            signing(Signing::Key(foreign.clone())),
        ),
        (
            "a foreign key without a name",
            signing(Signing::Named(foreign, None)),
        ),
        (
            "an unknown key",
            signing(Signing::Key(ProviderKey::rsa("nobody's"))),
        ),
        (
            "a curve by the name of an RSA key",
            signing(Signing::Named(ec.clone(), Some("one".into()))),
        ),
        (
            "RSA by the name of a curve",
            signing(Signing::Named(own.clone(), Some("curve".into()))),
        ),
        ("no token", signing(Signing::Text("a.b.c".into()))),
        ("nothing", signing(Signing::Text(String::new()))),
        ("an access token", header(json!({ "typ": "at+jwt" }))),
        ("a logout token", header(json!({ "typ": "logout+jwt" }))),
        (
            "a critical header",
            header(json!({ "crit": ["b64"], "b64": false })),
        ),
        (
            "its own key in the header",
            header(json!({ "kid": "own", "jwk": own.public() })),
        ),
    ];
    let right = |m: &mut Manners| {
        m.claims = json!({});
        m.header = json!({});
        m.signing = Signing::Key(own.clone());
    };
    for (what, change) in cases {
        office.provider.behave(|m| {
            right(m);
            change(m);
        });
        let reply = office.sign_in(&app).await;
        assert_eq!(
            (reply.status, reply.code()),
            (401, "SIGN_IN_REFUSED"),
            "{what}"
        );
        refused(reply);
        // The same flow is right but for that.
        office.provider.behave(right);
        office.sign_in(&app).await.expect(200);
    }
    // A key that needs no name is found where it is the only one of its kind.
    office
        .provider
        .behave(|m| m.signing = Signing::Named(ec, None));
    office.sign_in(&app).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_good_once_for_its_browser() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    office.link(&office.shop.owner).await.expect(200);

    // Ten at once: one is let in, and the code is sent to the provider once.
    let (returned, before) = (office.gone(&app).await, office.provider.seen("token"));
    let at_once = join_all((0..10).map(|_| post(&app, COMPLETE, returned.clone()))).await;
    let won = at_once.iter().filter(|r| r.status == 200).count();
    assert_eq!(won, 1);
    at_once
        .into_iter()
        .filter(|r| r.status != 200)
        .for_each(refused);
    assert_eq!(office.provider.seen("token"), before + 1);
    refused(post(&app, COMPLETE, returned).await);

    // Another browser has another key, or none; and its attempt does not use the sign-in up.
    let (mine, other) = (office.gone(&app).await, office.gone(&app).await);
    let mut stolen = mine.clone();
    stolen["key"] = other["key"].clone();
    refused(post(&app, COMPLETE, stolen.clone()).await);
    stolen["key"] = json!("guessed");
    refused(post(&app, COMPLETE, stolen).await);
    // A code of one sign-in in another: the provider sees the wrong verifier.
    let mut mixed = other.clone();
    mixed["code"] = mine["code"].clone();
    refused(post(&app, COMPLETE, mixed).await);
    assert_eq!(office.provider.refusals(), ["code_verifier"]);
    refused(post(&app, COMPLETE, other).await);

    // Ten minutes and no more.
    let (late, intime) = (office.gone(&app).await, office.gone(&app).await);
    app.clock.advance(TimeDelta::seconds(599));
    office.tick(&app);
    post(&app, COMPLETE, intime).await.expect(200);
    app.clock.advance(TimeDelta::seconds(1));
    refused(post(&app, COMPLETE, late).await);
    // Whatever else is no state of ours.
    let begun = office.gone(&app).await;
    for state in [
        "x".to_owned(),
        "A".repeat(64),
        begun["state"]
            .as_str()
            .unwrap()
            .replace(|c: char| c.is_ascii_digit(), "x"),
    ] {
        let mut wrong = begun.clone();
        wrong["state"] = json!(state);
        refused(post(&app, COMPLETE, wrong).await);
    }
    post(&app, COMPLETE, begun).await.expect(200);

    // Nothing of it is kept readably, and a wish to go elsewhere is refused.
    let kept = "select json_agg(l)::text from oidc_login l";
    let kept: String = app.admin().await.query_one(kept, &[]).await.unwrap().get(0);
    assert!(kept.contains(BACK));
    let begun = office.begin(&app).await.expect(200);
    let url: url::Url = begun.text_at("authorization_url").parse().unwrap();
    for (name, value) in url.query_pairs() {
        if ["state", "nonce", "code_challenge"].contains(&&*name) {
            assert!(!kept.contains(&*value), "{name}");
        }
    }
    assert!(!kept.contains(&begun.text_at("key")));
    assert!(
        !begun
            .text_at("authorization_url")
            .contains(&begun.text_at("key"))
    );
    for elsewhere in [
        "https://evil.example.in/",
        "https://shop.example.in/signed-in/",
        "https://shop.example.in/signed-in?x=1",
    ] {
        let body = json!({ "tenant": office.shop.slug, "provider_id": office.id, "redirect_uri": elsewhere });
        let wrong = post(&app, BEGIN, body).await.expect(400);
        assert_eq!(wrong.body["errors"][0]["field"], "redirect_uri");
    }
    // A closed provider lets nobody in, not even who was on his way.
    let on_the_way = office.gone(&app).await;
    let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": [],
        "link_by_email": false, "trusts_mfa": false, "active": false });
    let path = format!("/api/v1/identity-providers/{}", office.id);
    office.shop.owner.put(&path, body, 1).await.expect(200);
    refused(post(&app, COMPLETE, on_the_way).await);
    office.begin(&app).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_one_provider_is_not_taken_to_another() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    office.link(&office.shop.owner).await.expect(200);
    let evil = TestProvider::start().await;
    let evil_id = add(&office.shop, &evil, json!({ "name": "Evil" })).await;
    // Somebody begins with the honest one and is sent back by the evil one, or begins with the evil one, which sends
    // him to the honest one (RFC 9207, RFC 9700 4.4).
    let mut mixed = office.gone(&app).await;
    mixed["iss"] = json!(evil.issuer);
    let before = office.provider.seen("token");
    refused(post(&app, COMPLETE, mixed).await);
    let body = json!({ "tenant": office.shop.slug, "provider_id": evil_id });
    let begun = post(&app, BEGIN, body).await.expect(200);
    let honest = begun
        .text_at("authorization_url")
        .replace(&evil.issuer, &office.provider.issuer);
    let back = office.provider.consent(&honest).await;
    refused(post(&app, COMPLETE, returned(&begun, &back)).await);
    assert_eq!(
        (office.provider.seen("token"), evil.seen("token")),
        (before, 0),
        "no code was sent anywhere"
    );
    // Who says that he will say who he is must do so.
    let mut silent = office.gone(&app).await;
    silent["iss"] = Value::Null;
    refused(post(&app, COMPLETE, silent).await);
    // A provider that never says it needs not; what it does say must be right all the same.
    let quiet = Office::open(&app).await;
    let members = json!({ "authorization_response_iss_parameter_supported": null });
    quiet.provider.behave(|m| {
        m.discovery = members;
        m.says = None;
    });
    quiet.link(&quiet.shop.owner).await.expect(200);
    quiet.sign_in(&app).await.expect(200);
    quiet
        .provider
        .behave(|m| m.says = Some("https://id.example.in".into()));
    refused(quiet.sign_in(&app).await);

    // The state of one tenant does not let anybody into another, nor does a link that somebody else began.
    let other = Shop::open(&app).await;
    let body = json!({ "password": PASSWORD, "provider_id": office.id });
    other
        .owner
        .post("/api/v1/auth/identities:begin", body.clone())
        .await
        .expect(404);
    let begun = office
        .shop
        .owner
        .post("/api/v1/auth/identities:begin", body)
        .await
        .expect(200);
    let back = office
        .provider
        .consent(&begun.text_at("authorization_url"))
        .await;
    let link = returned(&begun, &back);
    let path = "/api/v1/auth/identities:complete";
    refused(other.owner.post(path, link.clone()).await);
    let colleague = office.shop.hire(&app, "cashier").await;
    refused(colleague.client.post(path, link.clone()).await);
    // A link is no sign-in, and a sign-in no link.
    refused(post(&app, COMPLETE, link.clone()).await);
    let sign_in = office.gone(&app).await;
    refused(office.shop.owner.post(path, sign_in).await);
    office.shop.owner.post(path, link).await.expect(200);
    // Whom a colleague is linked to nobody else takes.
    assert_eq!(
        office.link(&colleague.client).await.expect(409).code(),
        "IDENTITY_TAKEN"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_misbehaves_lets_nobody_in_and_holds_nobody_up() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    let check = format!("/api/v1/identity-providers/{}:check", office.id);
    let elsewhere = TestProvider::start().await;
    let away = Misstep::Redirect(format!(
        "{}/.well-known/openid-configuration",
        elsewhere.issuer
    ));
    let slow = Misstep::Slow(Duration::from_secs(20));
    let unusable = [
        ("discovery", away.clone(), "redirect"),
        ("discovery", slow.clone(), "in time"),
        ("discovery", Misstep::Huge, "longer"),
        ("discovery", Misstep::Status(500), "status 500"),
        ("discovery", Misstep::Text("<html>".into()), "not what"),
        (
            "jwks",
            Misstep::Redirect(format!("{}/jwks", elsewhere.issuer)),
            "redirect",
        ),
        ("jwks", slow.clone(), "in time"),
        ("jwks", Misstep::Huge, "longer"),
        ("jwks", Misstep::Text("{}".into()), "not what"),
    ];
    for (endpoint, misstep, reason) in unusable {
        office
            .provider
            .behave(|m| m.missteps = [(endpoint, misstep.clone())].into());
        let told = office.shop.owner.post(&check, json!({})).await.expect(422);
        assert_eq!(told.code(), "PROVIDER_UNUSABLE");
        let detail = told.text_at("detail");
        assert!(detail.contains(reason), "{endpoint} {misstep:?}: {detail}");
    }
    office.provider.behave(|m| m.missteps.clear());
    for (members, reason) in [
        (json!({ "issuer": elsewhere.issuer }), "issuer"),
        (
            json!({ "issuer": format!("{}/", office.provider.issuer) }),
            "issuer",
        ),
        (json!({ "issuer": null }), "not what"),
        (
            json!({ "code_challenge_methods_supported": ["plain"] }),
            "PKCE",
        ),
        (
            json!({ "token_endpoint": "http://id.example.in/token" }),
            "token_endpoint",
        ),
        (
            json!({ "authorization_endpoint": "javascript:alert(1)" }),
            "authorization_endpoint",
        ),
        (json!({ "jwks_uri": "file:///etc/passwd" }), "jwks_uri"),
    ] {
        office.provider.behave(|m| m.discovery = members.clone());
        let told = office.shop.owner.post(&check, json!({})).await.expect(422);
        assert!(
            told.text_at("detail").contains(reason),
            "{members}: {}",
            told.text
        );
    }
    assert_eq!(
        elsewhere.seen("discovery") + elsewhere.seen("jwks"),
        0,
        "a redirect was followed"
    );

    // Nobody begins with it, and it is left alone for five seconds.
    let asked = office.provider.seen("discovery");
    let busy = office.begin(&app).await.expect(503);
    assert_eq!(
        (busy.code(), busy.header("retry-after")),
        ("PROVIDER_UNAVAILABLE", Some("5"))
    );
    office.provider.behave(|m| m.discovery = json!({}));
    office.begin(&app).await.expect(503);
    assert_eq!(office.provider.seen("discovery"), asked);
    app.clock.advance(TimeDelta::seconds(5));
    office.tick(&app);
    office.link(&office.shop.owner).await.expect(200);

    // Where codes are exchanged.
    for misstep in [
        Misstep::Redirect(format!("{}/token", elsewhere.issuer)),
        slow,
        Misstep::Huge,
        Misstep::Status(502),
        Misstep::Text("{}".into()),
        Misstep::Text(r#"{"id_token":1}"#.into()),
    ] {
        office
            .provider
            .behave(|m| m.missteps = [("token", misstep.clone())].into());
        let failed = office.sign_in(&app).await;
        assert_eq!(
            (failed.status, failed.code()),
            (503, "PROVIDER_UNAVAILABLE"),
            "{misstep:?}"
        );
    }
    assert_eq!(elsewhere.seen("token"), 0, "a redirect was followed");
    office.provider.behave(|m| m.missteps.clear());
    office
        .provider
        .behave(|m| m.client_secret = Some("changed there".into()));
    refused(office.sign_in(&app).await);
    office
        .provider
        .behave(|m| m.client_secret = Some("s3cret: with/odd+letters".into()));
    office.sign_in(&app).await.expect(200);
    // What is known is believed for a day while it does not answer; later nobody comes in.
    office
        .provider
        .behave(|m| m.missteps = [("discovery", Misstep::Status(500))].into());
    app.clock.advance(TimeDelta::hours(2));
    office.tick(&app);
    office.sign_in(&app).await.expect(200);
    app.clock.advance(TimeDelta::hours(23));
    office.begin(&app).await.expect(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_asked_for_once_for_all() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    office.link(&office.shop.owner).await.expect(200);
    assert_eq!(office.provider.seen("jwks"), 1);
    let two = ProviderKey::rsa("two");
    office.provider.behave(|m| {
        m.shown = vec![two.clone()];
        m.signing = Signing::Key(two);
    });
    app.clock.advance(TimeDelta::seconds(31));
    office.tick(&app);
    let returned = join_all((0..10).map(|_| office.gone(&app))).await;
    let came = join_all(returned.into_iter().map(|r| post(&app, COMPLETE, r))).await;
    assert!(came.iter().all(|r| r.status == 200), "{:?}", came[0]);
    assert_eq!(office.provider.seen("jwks"), 2, "not once for each");
    // Whoever makes keys up cannot have the provider asked for each.
    office
        .provider
        .behave(|m| m.signing = Signing::Key(ProviderKey::rsa("made up")));
    for _ in 0..5 {
        refused(office.sign_in(&app).await);
    }
    assert_eq!(office.provider.seen("jwks"), 2);
    app.clock.advance(TimeDelta::seconds(30));
    office.tick(&app);
    for _ in 0..5 {
        refused(office.sign_in(&app).await);
    }
    assert_eq!(
        (
            office.provider.seen("jwks"),
            office.provider.seen("discovery")
        ),
        (3, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_as_after_a_password() {
    let app = start_beside().await;
    let office = Office::open(&app).await;
    office.link(&office.shop.owner).await.expect(200);
    let (phone, _) = enrolled(&app, &office.shop.owner).await;
    office.tick(&app);
    let several = json!({ "sub": "1", "amr": ["pwd", "otp", "mfa"] });
    // The company has not said that it trusts the provider's, whatever that says.
    office.person(several.clone());
    let asked = office.sign_in(&app).await.expect(202);
    assert_eq!(asked.body["enrol"], false);
    let body = json!({ "challenge": asked.body["challenge"], "code": phone.code(&app, 0) });
    let tokens = post(&app, "/api/v1/auth/mfa:verify", body)
        .await
        .expect(200);
    assert_eq!(amr(&tokens), ["fed", "otp", "mfa"]);

    let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": ["office.example.in"],
        "link_by_email": false, "role_id": office.shop.role("cashier").await, "trusts_mfa": true, "active": true });
    let path = format!("/api/v1/identity-providers/{}", office.id);
    office.shop.owner.put(&path, body, 1).await.expect(200);
    let tokens = office.sign_in(&app).await.expect(200);
    assert_eq!(amr(&tokens), ["fed", "mfa"]);
    office.person(json!({ "sub": "1", "amr": ["pwd"] }));
    office.sign_in(&app).await.expect(202);

    // Who has none must enrol where the company asks for one, password or not.
    let company = json!({ "legal_name": "S", "currency": "INR", "require_mfa": true });
    office
        .shop
        .owner
        .put("/api/v1/company", company, 1)
        .await
        .expect(200);
    office.person(json!({ "sub": "2", "email": "ravi@office.example.in", "email_verified": true }));
    let asked = office.sign_in(&app).await.expect(202);
    assert_eq!(asked.body["enrol"], true);
    assert!(!asked.text.contains("access_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_needs_the_password_and_the_last_way_in_stays() {
    let app = start_beside().await;
    let more = json!({ "domains": ["office.example.in"] });
    let office = Office::with(&app, more).await;
    let path = "/api/v1/auth/identities";
    let body = json!({ "password": "not the password", "provider_id": office.id });
    let wrong = office
        .shop
        .owner
        .post(&format!("{path}:begin"), body)
        .await
        .expect(422);
    assert_eq!(wrong.code(), "WRONG_PASSWORD");
    let key = nobody(&app).with_token(&token_of_key(office.shop.owner.tenant, &["*"]));
    let body = json!({ "password": PASSWORD, "provider_id": office.id });
    key.post(&format!("{path}:begin"), body).await.expect(403);

    let linked = office.link(&office.shop.owner).await.expect(200);
    let one = format!("{path}/{}", linked.text_at("id"));
    let colleague = office.shop.hire(&app, "cashier").await;
    colleague.client.delete(&one, 1).await.expect(404);
    office.shop.owner.delete(&one, 1).await.expect(204);
    office.shop.owner.delete(&one, 1).await.expect(404);
    office.sign_in(&app).await.expect(403);

    let role = office.shop.role("cashier").await;
    let body = json!({ "name": "Office", "client_id": "bahi", "redirect_uris": [BACK], "domains": ["office.example.in"],
        "link_by_email": false, "role_id": role, "trusts_mfa": false, "active": true });
    let provider = format!("/api/v1/identity-providers/{}", office.id);
    office.shop.owner.put(&provider, body, 1).await.expect(200);
    office.person(json!({ "sub": "2", "email": "ravi@office.example.in", "email_verified": true }));
    let ravi = client(&app, &office.sign_in(&app).await.expect(200));
    let links = ravi.get(path).await.expect(200);
    let only = format!("{path}/{}", links.body["items"][0]["id"].as_str().unwrap());
    assert_eq!(
        ravi.delete(&only, 1).await.expect(422).code(),
        "LAST_WAY_IN"
    );
    assert_eq!(
        ravi.get(path).await.expect(200).body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // The role he was given by the provider stays as long as it gives it.
    let gone = office
        .shop
        .owner
        .delete(&format!("/api/v1/roles/{role}"), 1)
        .await
        .expect(409);
    assert_eq!(gone.code(), "ROLE_IN_USE");
    let unlinked = audited(&app, TenantId::from_uuid(office.shop.owner.tenant.uuid())).await;
    assert!(unlinked.iter().any(|a| a == "identity.user.unlink"));
}
