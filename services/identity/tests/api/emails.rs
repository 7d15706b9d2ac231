//! Verification of e-mail addresses.

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::*;

const ASK: &str = "/api/v1/auth/email-verifications";

/// What was asked to be mailed to a user, in order.
pub async fn mails(app: &App, user: &str) -> Vec<Value> {
    said(app, "user.email_verification_requested", user).await
}

/// Gives the token of a mail back.
pub async fn confirm(app: &App, mail: &Value) -> bahi_testkit::Reply {
    let body = json!({ "token": mail["token"] });
    post(app, &format!("{ASK}:confirm"), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_mail_verifies_the_address_once() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let owner = shop.owner.user.to_string();
    let me = async || shop.owner.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me().await.body["email_verified_at"], Value::Null);
    let mail = mails(&app, &owner).await.pop().unwrap();
    assert_eq!(
        (&mail["email"], &mail["name"], &mail["locale"]),
        (&json!(shop.email), &json!("Asha Sharma"), &Value::Null)
    );
    assert_eq!(
        mail["expires_at"],
        json!(app.clock.now() + TimeDelta::days(1))
    );

    // The token does that and nothing else.
    let token = mail["token"].as_str().unwrap();
    refresh(&app, token).await.expect(401);
    let body = json!({ "token": token, "new_password": "a stolen password" });
    post(&app, "/api/v1/auth/password-resets:complete", body)
        .await
        .expect(422);
    let body = json!({ "challenge": token, "code": "123456" });
    post(&app, "/api/v1/auth/mfa:verify", body)
        .await
        .expect(422);

    let replies = join_all((0..5).map(|_| confirm(&app, &mail))).await;
    let mut statuses: Vec<_> = replies.iter().map(|r| r.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 422, 422, 422, 422]);
    let verified = me().await.body["email_verified_at"].clone();
    assert_eq!(verified, json!(app.clock.now()));
    let told = said(&app, "user.updated", &owner).await.pop().unwrap();
    assert_eq!(told["email_verified_at"], verified);
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.user.verify_email"
    );
    let again = shop.owner.post(ASK, json!({})).await.expect(409);
    assert_eq!(again.code(), "EMAIL_VERIFIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_asked_for_again_once_a_minute_and_voids_the_one_before() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let owner = shop.owner.user.to_string();
    let early = shop.owner.post(ASK, json!({})).await.expect(429);
    assert_eq!(
        (early.code(), early.header("retry-after")),
        ("TOO_MANY_MAILS", Some("60"))
    );
    app.clock.advance(TimeDelta::minutes(1));
    let request = shop
        .owner
        .request(reqwest::Method::POST, ASK)
        .header("accept-language", "hi-IN,hi;q=0.9")
        .json(&json!({}));
    shop.owner.send(request).await.expect(204);
    let sent = mails(&app, &owner).await;
    assert_eq!((sent.len(), &sent[1]["locale"]), (2, &json!("hi-IN")));
    assert_eq!(
        confirm(&app, &sent[0]).await.expect(422).code(),
        "TOKEN_INVALID"
    );

    app.clock.advance(TimeDelta::days(1));
    confirm(&app, &sent[1]).await.expect(422);
    // Of twenty at once one is sent.
    let replies = join_all((0..20).map(|_| shop.owner.post(ASK, json!({})))).await;
    assert_eq!(replies.iter().filter(|r| r.status == 204).count(), 1);
    let last = mails(&app, &owner).await.pop().unwrap();
    confirm(&app, &last).await.expect(204);
    let service = nobody(&app).with_token(&app.service_token("sales", shop.owner.tenant));
    service.post(ASK, json!({})).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_is_not_verified_and_only_who_holds_as_much_gives_it() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (manager, cashier) = (
        shop.hire(&app, "manager").await,
        shop.hire(&app, "cashier").await,
    );
    let first = mails(&app, &cashier.id).await.pop().unwrap();
    confirm(&app, &first).await.expect(204);
    let change = async |who: &bahi_testkit::Client, id: &str, email: &str| {
        let path = format!("/api/v1/users/{id}");
        let user = shop.owner.get(&path).await.expect(200);
        let body =
            json!({ "name": user.body["name"], "role_ids": user.body["role_ids"], "email": email });
        who.put(&path, body, user.body["version"].as_i64().unwrap())
            .await
    };
    let owner = shop.owner.user.to_string();
    let stolen = change(&manager.client, &owner, "mine@x.example.in")
        .await
        .expect(403);
    assert_eq!(stolen.code(), "ESCALATION");
    let taken = change(&shop.owner, &cashier.id, &manager.email)
        .await
        .expect(409);
    assert_eq!(taken.code(), "EMAIL_TAKEN");
    change(&shop.owner, &cashier.id, "no address")
        .await
        .expect(400);
    // The same address is no change.
    let same = change(&shop.owner, &cashier.id, &cashier.email.to_uppercase())
        .await
        .expect(200);
    assert_ne!(same.body["email_verified_at"], Value::Null);
    assert_eq!(mails(&app, &cashier.id).await.len(), 1);

    let reset = format!("{}:reset-password", cashier.path());
    let reset = shop.owner.post(&reset, json!({})).await.expect(200);
    app.clock.advance(TimeDelta::minutes(1));
    let moved = change(&shop.owner, &cashier.id, "Ravi@new.example.in")
        .await
        .expect(200);
    assert_eq!(
        (&moved.body["email"], &moved.body["email_verified_at"]),
        (&json!("ravi@new.example.in"), &Value::Null)
    );
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.user.set_email"
    );
    let body = json!({ "token": reset.text_at("token"), "new_password": "a brand new password" });
    post(&app, "/api/v1/auth/password-resets:complete", body)
        .await
        .expect(422);
    log_in(&app, &cashier.email, PASSWORD).await.expect(401);
    log_in(&app, "ravi@new.example.in", PASSWORD)
        .await
        .expect(200);
    let sent = mails(&app, &cashier.id).await;
    assert_eq!(sent[1]["email"], "ravi@new.example.in");
    // To and fro, nobody's box is filled.
    let early = change(&shop.owner, &cashier.id, "ravi@third.example.in")
        .await
        .expect(429);
    assert_eq!(
        (early.code(), early.header("retry-after")),
        ("TOO_MANY_MAILS", Some("60"))
    );
    assert_eq!(mails(&app, &cashier.id).await.len(), 2);
    // A mail to an address that he has left no longer verifies anything.
    app.clock.advance(TimeDelta::minutes(1));
    change(&shop.owner, &cashier.id, "ravi@third.example.in")
        .await
        .expect(200);
    confirm(&app, &sent[1]).await.expect(422);
    let told = said(&app, "user.updated", &cashier.id).await.pop().unwrap();
    assert!(told.get("email_verified_at").is_none(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_register_with_an_address_keep_nobody_out() {
    let app = start().await;
    let email = "asha@many.example.in";
    let first = Shop::open_as(&app, "zz-first", email, "the first password").await;
    for n in 0..10 {
        Shop::open_as(&app, &format!("aa-{n}"), email, "a stranger's password").await;
    }
    let last = Shop::open_as(&app, "zz-last", email, "the last password").await;
    let comes_in = async |password: &str| log_in(&app, email, password).await;
    // Who has had it longest is among the ten whose password is looked at, wherever its name stands.
    let found = comes_in("the first password").await.expect(200);
    assert_eq!(found.body["tenant_id"], json!(first.owner.tenant));
    comes_in("the last password").await.expect(401);
    // Who has shown that it is his comes before all who have not.
    let mail = mails(&app, &last.owner.user.to_string()).await.pop();
    confirm(&app, &mail.unwrap()).await.expect(204);
    let found = comes_in("the last password").await.expect(200);
    assert_eq!(found.body["tenant_id"], json!(last.owner.tenant));
    comes_in("the first password").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_his_own_address_and_no_key_changes_anybodys() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let (partner, cashier) = (
        shop.hire(&app, "owner").await,
        shop.hire(&app, "cashier").await,
    );
    app.clock.advance(TimeDelta::minutes(1));
    let change = async |who: &bahi_testkit::Client, path: &str, name: &str, email: &str| {
        let user = shop.owner.get(path).await.expect(200).body;
        let body = json!({ "name": name, "role_ids": user["role_ids"], "email": email });
        who.put(path, body, user["version"].as_i64().unwrap()).await
    };
    let own = format!("/api/v1/users/{}", shop.owner.user);
    let mine = "mine@elsewhere.example.in";
    // Whoever has his token for a moment would come in by a provider that links by this address.
    let himself = change(&shop.owner, &own, "Asha", mine).await;
    assert_eq!(himself.expect(422).code(), "OWN_EMAIL");
    // A key that was made with his token is somebody else, and would do it for him.
    let key = nobody(&app).with_token(&token_of_key(shop.owner.tenant, &["*"]));
    for path in [&own, &cashier.path()] {
        let refused = change(&key, path, "Asha", mine).await;
        assert_eq!(refused.expect(403).code(), "FORBIDDEN", "{path}");
    }
    let kept = shop.owner.get(&own).await.expect(200);
    assert_eq!(
        (&kept.body["email"], &kept.body["name"]),
        (&json!(shop.email), &json!("Asha Sharma"))
    );
    // The same address is no change, and the rest of him he changes.
    let same = shop.email.to_uppercase();
    change(&shop.owner, &own, "Asha S", &same).await.expect(200);
    change(&key, &cashier.path(), "Ravi K", &cashier.email)
        .await
        .expect(200);
    let moved = change(&partner.client, &own, "Asha S", mine).await;
    assert_eq!(moved.expect(200).body["email"], mine);
}
