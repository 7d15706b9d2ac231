//! Second factors.

use bahi_testkit::Reply;
use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::support::*;

/// An authenticator app.
pub struct Phone(Totp);

impl Phone {
    fn with(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// The code so many seconds from the app's time.
    pub fn code(&self, app: &App, seconds: i64) -> String {
        let at = app.clock.now().timestamp() + seconds;
        self.0.generate(at.try_into().unwrap()).to_string()
    }

    fn wrong(&self, app: &App) -> String {
        let right: Vec<_> = [-30, 0, 30].map(|s| self.code(app, s)).into();
        let mut codes = (0..).map(|n| format!("{n:06}"));
        codes.find(|code| !right.contains(code)).unwrap()
    }
}

async fn begin(client: &bahi_testkit::Client) -> Phone {
    let body = json!({ "password": PASSWORD });
    let begun = client
        .post("/api/v1/auth/mfa:begin", body)
        .await
        .expect(200);
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let (secret, uri) = (begun.text_at("secret"), begun.text_at("uri"));
    assert!(
        uri.starts_with("otpauth://totp/Bahi:") && uri.contains(&secret),
        "{uri}"
    );
    Phone::with(&secret)
}

/// Enrols somebody; a minute later no code of now was used.
pub async fn enrolled(app: &App, client: &bahi_testkit::Client) -> (Phone, Vec<String>) {
    let phone = begin(client).await;
    let body = json!({ "code": phone.code(app, 0) });
    let done = client
        .post("/api/v1/auth/mfa:confirm", body)
        .await
        .expect(200);
    app.clock.advance(TimeDelta::seconds(60));
    (phone, codes(&done))
}

fn codes(reply: &Reply) -> Vec<String> {
    let codes = reply.body["recovery_codes"].as_array().expect("codes");
    codes
        .iter()
        .map(|c| c.as_str().unwrap().to_owned())
        .collect()
}

/// The challenge that the right password leads to.
async fn challenge(app: &App, email: &str) -> String {
    let reply = log_in(app, email, PASSWORD).await.expect(202);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(!reply.text.contains("access_token") && !reply.text.contains("refresh_token"));
    assert_eq!(reply.body["enrol"], false);
    reply.text_at("challenge")
}

async fn verify(app: &App, challenge: &str, code: &str) -> Reply {
    let body = json!({ "challenge": challenge, "code": code });
    post(app, "/api/v1/auth/mfa:verify", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_second_factor_needs_it_to_sign_in() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let other = log_in(&app, &shop.email, PASSWORD).await.expect(200);
    let path = "/api/v1/auth/mfa";
    assert_eq!(
        shop.owner.get(path).await.expect(200).body,
        json!({ "enabled": false, "required": false, "recovery_codes_left": 0 })
    );
    assert_eq!(claims(&shop.tokens.text_at("access_token")).amr, ["pwd"]);

    // Begun is not enrolled: a phone that was never shown the secret must lock nobody out.
    let first = begin(&shop.owner).await;
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
    let phone = begin(&shop.owner).await;
    let confirm = async |code: String| {
        let body = json!({ "code": code });
        shop.owner.post("/api/v1/auth/mfa:confirm", body).await
    };
    assert_eq!(
        confirm(first.code(&app, 0)).await.expect(422).code(),
        "WRONG_CODE",
        "begun anew"
    );
    assert_eq!(
        codes(&confirm(phone.code(&app, 0)).await.expect(200)).len(),
        10
    );
    assert_eq!(
        shop.owner.get(path).await.expect(200).body,
        json!({ "enabled": true, "required": false, "recovery_codes_left": 10 })
    );
    // Sessions of the password alone end, this one is as good as one of both.
    refresh(&app, &other.text_at("refresh_token"))
        .await
        .expect(401);
    assert!(is_refused(&app, &other.text_at("access_token")).await);
    let next = refresh(&app, &shop.tokens.text_at("refresh_token"))
        .await
        .expect(200);
    assert_eq!(
        claims(&next.text_at("access_token")).amr,
        ["pwd", "otp", "mfa"]
    );

    app.clock.advance(TimeDelta::seconds(60));
    log_in(&app, &shop.email, "a wrong password")
        .await
        .expect(401);
    let challenge = challenge(&app, &shop.email).await;
    assert_eq!(
        verify(&app, &challenge, &phone.wrong(&app))
            .await
            .expect(422)
            .code(),
        "WRONG_CODE"
    );
    let tokens = verify(&app, &challenge, &phone.code(&app, 0))
        .await
        .expect(200);
    assert!(tokens.body.get("recovery_codes").is_none());
    assert_eq!(
        claims(&tokens.text_at("access_token")).amr,
        ["pwd", "otp", "mfa"]
    );
    let next = refresh(&app, &tokens.text_at("refresh_token"))
        .await
        .expect(200);
    assert_eq!(
        claims(&next.text_at("access_token")).amr,
        ["pwd", "otp", "mfa"]
    );
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.mfa.enable"
    );

    // Neither outbox nor database holds the secret or a code in the clear.
    let secret = phone.0.secret().to_base32();
    let events = serde_json::to_string(&app.events().await).unwrap();
    let raw: Vec<u8> = phone.0.secret().as_ref().to_vec();
    let rows = app
        .admin()
        .await
        .query("select sealed from mfa", &[])
        .await
        .unwrap();
    let sealed: Vec<u8> = rows[0].get(0);
    assert!(!events.contains(&secret) && !sealed.windows(20).any(|w| w == raw));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_taken_once_and_within_one_step_to_either_side() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (phone, _) = enrolled(&app, &shop.owner).await;
    let sign_in = async |code: String| {
        let challenge = challenge(&app, &shop.email).await;
        verify(&app, &challenge, &code).await
    };
    for early in [-60, 60] {
        sign_in(phone.code(&app, early)).await.expect(422);
    }
    let late = phone.code(&app, -30);
    sign_in(late.clone()).await.expect(200);
    assert_eq!(
        sign_in(late.clone()).await.expect(422).code(),
        "WRONG_CODE",
        "a replay"
    );
    let soon = phone.code(&app, 30);
    sign_in(soon.clone()).await.expect(200);
    // What was skipped is as good as used: somebody may have looked over the shoulder.
    sign_in(phone.code(&app, 0)).await.expect(422);
    sign_in(soon).await.expect(422);
    app.clock.advance(TimeDelta::seconds(60));
    sign_in(phone.code(&app, 0)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_parallel_uses_of_one_code_open_one_session() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (phone, recovery) = enrolled(&app, &shop.owner).await;
    for code in [phone.code(&app, 0), recovery[3].to_lowercase()] {
        // From as many networks, as those of one wait for each other anyway.
        let mut challenges = Vec::new();
        for _ in 0..20 {
            challenges.push(challenge(&app, &shop.email).await);
        }
        reset_counters(&app).await;
        let replies =
            join_all(challenges.iter().enumerate().map(|(n, challenge)| {
                let body = json!({ "challenge": challenge, "code": code });
                let app = &app;
                async move {
                    post_from(app, &format!("10.{n}.0.1"), "/api/v1/auth/mfa:verify", body).await
                }
            }));
        let replies = replies.await;
        let opened = replies.iter().filter(|r| r.status == 200).count();
        let statuses: Vec<_> = replies.iter().map(|r| r.status).collect();
        assert_eq!(opened, 1, "{statuses:?}");
        app.clock.advance(TimeDelta::days(1));
    }
    let left = shop.owner.get("/api/v1/auth/mfa").await.expect(200);
    assert_eq!(left.body["recovery_codes_left"], 9);
}

/// Makes the counters patient: not they are to decide here.
async fn reset_counters(app: &App) {
    let sql = "update attempt set failures = -1000000, blocked_until = '2000-01-01'";
    let admin = app.admin().await;
    admin
        .execute(
            "alter table attempt drop constraint attempt_failures_check",
            &[],
        )
        .await
        .ok();
    admin.execute(sql, &[]).await.unwrap();
    admin.batch_execute(
        "create or replace function patient() returns trigger language plpgsql as $$ begin new.failures := -1000000; new.blocked_until := '2000-01-01'; return new; end $$;
         create or replace trigger patient before insert or update on attempt for each row execute function patient()",
    ).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_challenge_opens_one_session_and_lives_five_minutes() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (phone, recovery) = enrolled(&app, &shop.owner).await;
    let used = challenge(&app, &shop.email).await;
    verify(&app, &used, &phone.code(&app, 0)).await.expect(200);
    for code in [phone.code(&app, 30), recovery[0].clone()] {
        assert_eq!(
            verify(&app, &used, &code).await.expect(422).code(),
            "TOKEN_INVALID"
        );
    }
    // The refused uses have cost no recovery code.
    let left = shop.owner.get("/api/v1/auth/mfa").await.expect(200);
    assert_eq!(left.body["recovery_codes_left"], 10);

    let old = challenge(&app, &shop.email).await;
    app.clock.advance(TimeDelta::minutes(5));
    assert_eq!(
        verify(&app, &old, &phone.code(&app, 0))
            .await
            .expect(422)
            .code(),
        "TOKEN_INVALID"
    );
    // A new password voids what the old one has led to.
    let before = challenge(&app, &shop.email).await;
    let body = json!({ "old_password": PASSWORD, "new_password": "a better password" });
    shop.owner
        .post("/api/v1/auth/password", body)
        .await
        .expect(200);
    assert_eq!(
        verify(&app, &before, &phone.code(&app, 0))
            .await
            .expect(422)
            .code(),
        "TOKEN_INVALID"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_takes_the_code_of_its_user_alone() {
    let app = start_fixed().await;
    let (one, two) = (Shop::open(&app).await, Shop::open(&app).await);
    let hired = one.hire(&app, "cashier").await;
    let (phone_one, _) = enrolled(&app, &one.owner).await;
    let (phone_two, codes_two) = enrolled(&app, &two.owner).await;
    let (phone_hired, codes_hired) = enrolled(&app, &hired.client).await;
    let own = challenge(&app, &one.email).await;
    for foreign in [
        phone_two.code(&app, 0),
        codes_two[0].clone(),
        phone_hired.code(&app, 0),
        codes_hired[0].clone(),
    ] {
        let refused = verify(&app, &own, &foreign).await.expect(422);
        assert_eq!(refused.code(), "WRONG_CODE");
        app.clock.advance(TimeDelta::seconds(1));
    }
    // The token of one tenant is nothing in another.
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let mut bytes = BASE64.decode(&own).unwrap();
    bytes[..16].copy_from_slice(two.owner.tenant.uuid().as_bytes());
    let moved = BASE64.encode(bytes);
    assert_eq!(
        verify(&app, &moved, &phone_two.code(&app, 0))
            .await
            .expect(422)
            .code(),
        "TOKEN_INVALID"
    );
    // Neither is an invitation, a reset, a refresh token or nonsense a challenge.
    let invited = one.invite("cashier").await;
    let reset = one
        .owner
        .post(&format!("{}:reset-password", hired.path()), json!({}))
        .await
        .expect(200);
    for token in [
        invited.text_at("token"),
        reset.text_at("token"),
        one.tokens.text_at("refresh_token"),
        "nonsense".into(),
    ] {
        let refused = verify(&app, &token, &phone_one.code(&app, 0))
            .await
            .expect(422);
        assert_eq!(refused.code(), "TOKEN_INVALID");
    }
    let body = json!({ "token": own, "password": "a stolen password" });
    post(&app, "/api/v1/auth/invitations:accept", body)
        .await
        .expect(422);
    verify(&app, &own, &phone_one.code(&app, 0))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_the_code_wait_and_the_right_password_does_not_help() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (phone, _) = enrolled(&app, &shop.owner).await;
    for _ in 0..5 {
        let challenge = challenge(&app, &shop.email).await;
        verify(&app, &challenge, &phone.wrong(&app))
            .await
            .expect(422);
    }
    for wait in [1, 2, 4, 8] {
        let challenge = challenge(&app, &shop.email).await;
        let early = verify(&app, &challenge, &phone.code(&app, 0))
            .await
            .expect(429);
        assert_eq!(
            (early.code(), early.header("retry-after")),
            ("TOO_MANY_ATTEMPTS", Some(wait.to_string().as_str()))
        );
        app.clock.advance(TimeDelta::seconds(wait));
        verify(&app, &challenge, &phone.wrong(&app))
            .await
            .expect(422);
    }
    let guessed = audited(&app, shop.owner.tenant).await;
    assert_eq!(
        guessed
            .iter()
            .filter(|a| *a == "identity.mfa.guessed")
            .count(),
        1
    );
    // Whoever waits is let in, and all is forgotten.
    app.clock.advance(TimeDelta::seconds(16));
    let right = challenge(&app, &shop.email).await;
    verify(&app, &right, &phone.code(&app, 0)).await.expect(200);
    app.clock.advance(TimeDelta::seconds(60));
    let right = challenge(&app, &shop.email).await;
    verify(&app, &right, &phone.wrong(&app)).await.expect(422);
    verify(&app, &right, &phone.code(&app, 0)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_taken_away_with_password_and_code() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let disable = async |password: &str, code: &str| {
        let body = json!({ "password": password, "code": code });
        shop.owner.post("/api/v1/auth/mfa:disable", body).await
    };
    assert_eq!(
        disable(PASSWORD, "123456").await.expect(409).code(),
        "MFA_NOT_ENABLED"
    );
    let (phone, recovery) = enrolled(&app, &shop.owner).await;
    let again = json!({ "password": PASSWORD });
    let again = shop
        .owner
        .post("/api/v1/auth/mfa:begin", again)
        .await
        .expect(409);
    assert_eq!(again.code(), "MFA_ENABLED");
    assert_eq!(
        disable("not the password", &phone.code(&app, 0))
            .await
            .expect(422)
            .code(),
        "WRONG_PASSWORD"
    );
    assert_eq!(
        disable(PASSWORD, &phone.wrong(&app))
            .await
            .expect(422)
            .code(),
        "WRONG_CODE"
    );

    let renew = json!({ "password": PASSWORD, "code": recovery[0] });
    let path = "/api/v1/auth/mfa:renew-codes";
    let fresh = codes(&shop.owner.post(path, renew).await.expect(200));
    let old = challenge(&app, &shop.email).await;
    verify(&app, &old, &recovery[1]).await.expect(422);
    verify(&app, &old, &fresh[0]).await.expect(200);
    let mut audit = audited(&app, shop.owner.tenant).await.into_iter().rev();
    assert_eq!(audit.next().unwrap(), "identity.mfa.recover");
    assert_eq!(audit.next().unwrap(), "identity.mfa.renew_codes");

    disable(PASSWORD, &phone.code(&app, 0)).await.expect(204);
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.mfa.disable"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_his_phone_is_helped_by_somebody_who_holds_as_much() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (manager, cashier) = (
        shop.hire(&app, "manager").await,
        shop.hire(&app, "cashier").await,
    );
    enrolled(&app, &cashier.client).await;
    enrolled(&app, &shop.owner).await;
    let reset = async |who: &bahi_testkit::Client, id: &str| {
        who.post(&format!("/api/v1/users/{id}:reset-mfa"), json!({}))
            .await
    };
    let owner = shop.owner.user.to_string();
    reset(&cashier.client, &manager.id).await.expect(403);
    let escalation = reset(&manager.client, &owner).await.expect(403);
    assert_eq!(escalation.code(), "ESCALATION");
    assert_eq!(
        reset(&shop.owner, &owner).await.expect(422).code(),
        "OWN_MFA"
    );
    let stranger = Shop::open(&app).await;
    reset(&stranger.owner, &cashier.id).await.expect(404);
    challenge(&app, &cashier.email).await;

    reset(&shop.owner, &cashier.id).await.expect(204);
    log_in(&app, &cashier.email, PASSWORD).await.expect(200);
    reset(&shop.owner, &cashier.id).await.expect(204);
    let resets = audited(&app, shop.owner.tenant).await;
    assert_eq!(
        resets.iter().filter(|a| *a == "identity.mfa.reset").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_may_ask_everybody_for_a_second_factor() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let cashier = shop.hire(&app, "cashier").await;
    let invited = shop.invite("cashier").await;
    let company =
        |require: Value| json!({ "legal_name": "S", "currency": "INR", "require_mfa": require });
    let put = async |body, version| shop.owner.put("/api/v1/company", body, version).await;
    put(company(json!(true)), 1).await.expect(200);
    // Who does not know of the setting leaves it as it is.
    let kept = put(company(Value::Null), 2).await.expect(200);
    assert_eq!(kept.body["require_mfa"], true);

    // A session of the password alone is not prolonged, and none is opened.
    let change = json!({ "old_password": PASSWORD, "new_password": "a better password" });
    let change = cashier.client.post("/api/v1/auth/password", change).await;
    assert_eq!(change.expect(401).code(), "SESSION_ENDED");
    refresh(&app, &cashier.tokens.text_at("refresh_token"))
        .await
        .expect(401);
    let asked = log_in(&app, &cashier.email, PASSWORD).await.expect(202);
    assert_eq!(asked.body["enrol"], true);
    assert!(!asked.text.contains("_token"), "{}", asked.text);
    let challenge = asked.text_at("challenge");
    assert_eq!(
        verify(&app, &challenge, "123456").await.expect(422).code(),
        "WRONG_CODE",
        "before there is a secret"
    );
    let enrol = async |challenge: &str| {
        let body = json!({ "challenge": challenge });
        post(&app, "/api/v1/auth/mfa:enrol", body).await
    };
    enrol("nonsense").await.expect(422);
    let begun = enrol(&challenge).await.expect(200);
    let phone = Phone::with(&begun.text_at("secret"));
    let tokens = verify(&app, &challenge, &phone.code(&app, 0))
        .await
        .expect(200);
    assert_eq!(codes(&tokens).len(), 10);
    assert_eq!(
        claims(&tokens.text_at("access_token")).amr,
        ["pwd", "otp", "mfa"]
    );
    refresh(&app, &tokens.text_at("refresh_token"))
        .await
        .expect(200);
    // Nobody puts his own phone in place of the one that is enrolled, even with a ticket from before.
    assert_eq!(enrol(&challenge).await.expect(422).code(), "TOKEN_INVALID");
    assert_eq!(
        log_in(&app, &cashier.email, PASSWORD)
            .await
            .expect(202)
            .body["enrol"],
        false
    );

    let body = json!({ "token": invited.text_at("token"), "password": PASSWORD });
    let joined = post(&app, "/api/v1/auth/invitations:accept", body)
        .await
        .expect(202);
    assert_eq!(joined.body["enrol"], true);
    let enrolled = enrol(&joined.text_at("challenge")).await.expect(200);
    let phone = Phone::with(&enrolled.text_at("secret"));
    verify(&app, &joined.text_at("challenge"), &phone.code(&app, 0))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_from_before_does_not_replace_an_enrolled_phone() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let body = json!({ "legal_name": "S", "currency": "INR", "require_mfa": true });
    shop.owner.put("/api/v1/company", body, 1).await.expect(200);
    let first = log_in(&app, &shop.email, PASSWORD).await.expect(202);
    let second = log_in(&app, &shop.email, PASSWORD).await.expect(202);
    let enrol = async |reply: &Reply| {
        let body = json!({ "challenge": reply.text_at("challenge") });
        post(&app, "/api/v1/auth/mfa:enrol", body).await
    };
    let phone = Phone::with(&enrol(&first).await.expect(200).text_at("secret"));
    verify(&app, &first.text_at("challenge"), &phone.code(&app, 0))
        .await
        .expect(200);
    assert_eq!(enrol(&second).await.expect(409).code(), "MFA_ENABLED");
    app.clock.advance(TimeDelta::seconds(60));
    let late = verify(&app, &second.text_at("challenge"), &phone.code(&app, 0)).await;
    assert_eq!(late.expect(409).code(), "MFA_ENABLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_no_second_factor_and_codes_are_not_remembered() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let service = nobody(&app).with_token(&app.service_token("sales", shop.owner.tenant));
    service.get("/api/v1/auth/mfa").await.expect(403);
    let phone = begin(&shop.owner).await;
    let body = json!({ "code": phone.code(&app, 0) });
    let request = shop
        .owner
        .request(Method::POST, "/api/v1/auth/mfa:confirm")
        .header("Idempotency-Key", "k1")
        .json(&body);
    shop.owner.send(request).await.expect(200);
    let admin = app.admin().await;
    let kept = admin
        .query_one("select count(*) from idempotency", &[])
        .await
        .unwrap();
    assert_eq!(kept.get::<_, i64>(0), 0);
}
