//! PINs, and what somebody lends a colleague by his.

use bahi_http::{Approval, Keys};
use bahi_testkit::{Client, Reply, test_env};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

/// Long enough to turn up nowhere by chance.
const PIN: &str = "471108152342";

async fn set_pin(owner: &Client, pin: &str) -> Reply {
    let body = json!({ "password": PASSWORD, "pin": pin });
    owner.post("/api/v1/auth/pin", body).await
}

fn asked(approver: &str, pin: &str, permission: &str) -> Value {
    json!({ "approver_id": approver, "pin": pin, "permissions": [permission],
            "document_id": Uuid::now_v7(), "reason": "Torn packet" })
}

fn read(reply: &Reply) -> Approval {
    let folder = format!("{}/public", test_env("BAHI_TEST_KEYS"));
    let keys = Keys::from_folder(folder.as_ref()).unwrap();
    keys.approval(&reply.text_at("approval"))
        .expect("an approval")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_lends_a_cashier_what_he_holds_for_one_document() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let manager = shop.hire(&app, "manager").await;
    let cashier = shop.hire(&app, "cashier").await;
    set_pin(&manager.client, PIN).await.expect(204);

    let able = cashier
        .client
        .get("/api/v1/auth/approvers?permission=sales.discount.up_to_20")
        .await
        .expect(200);
    assert_eq!(
        able.body,
        json!({ "items": [{ "user_id": manager.id, "name": "Ravi" }] }),
        "the owner has no PIN, the cashier not the right"
    );

    let body = asked(&manager.id, PIN, "sales.discount.up_to_20");
    let given = cashier
        .client
        .post("/api/v1/auth/approvals", body.clone())
        .await
        .expect(201);
    assert_eq!(given.header("cache-control"), Some("no-store"));
    let approval = read(&given);
    assert_eq!(approval.sub.to_string(), manager.id);
    assert_eq!(approval.act.to_string(), cashier.id);
    assert_eq!(approval.tid, shop.owner.tenant);
    assert_eq!(json!(approval.doc), body["document_id"]);
    assert_eq!(approval.perms, ["sales.discount.up_to_20"]);
    assert_eq!(approval.exp - approval.iat, 300);
    // It is no token of any other kind.
    let text = given.text_at("approval");
    nobody(&app)
        .with_token(&text)
        .get("/api/v1/auth/me")
        .await
        .expect(401);

    // By e-mail, in any case.
    let mut by_mail = asked(&manager.id, PIN, "sales.price.override");
    by_mail.as_object_mut().unwrap().remove("approver_id");
    by_mail["approver_email"] = json!(manager.email.to_uppercase());
    let given = cashier.client.post("/api/v1/auth/approvals", by_mail).await;
    given.expect(201);

    let audited = audited(&app, shop.owner.tenant).await;
    let count = |action: &str| audited.iter().filter(|a| *a == action).count();
    assert_eq!(
        (count("identity.pin.set"), count("identity.approval.give")),
        (1, 2)
    );
    // Nothing that was said or kept shows the PIN.
    let events = serde_json::to_string(&app.events().await).unwrap();
    assert!(!events.contains(PIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lends_what_he_does_not_hold_or_in_another_business() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let cashier = shop.hire(&app, "cashier").await;
    let other = shop.hire(&app, "cashier").await;
    set_pin(&other.client, PIN).await.expect(204);
    let ask = async |body: Value| cashier.client.post("/api/v1/auth/approvals", body).await;
    let refused = ask(asked(&other.id, PIN, "sales.price.override")).await;
    assert_eq!(refused.expect(403).code(), "ESCALATION");
    let star = ask(asked(&other.id, PIN, "sales.pos.*")).await.expect(400);
    assert_eq!(star.code(), "INVALID");

    let elsewhere = Shop::open(&app).await;
    let stranger = elsewhere.hire(&app, "manager").await;
    set_pin(&stranger.client, PIN).await.expect(204);
    let foreign = ask(asked(&stranger.id, PIN, "sales.price.override")).await;
    assert_eq!(foreign.expect(422).code(), "WRONG_PIN");
    // A disabled manager lends nothing.
    let manager = shop.hire(&app, "manager").await;
    set_pin(&manager.client, PIN).await.expect(204);
    let disable = format!("{}:disable", manager.path());
    shop.owner
        .post(&disable, json!({ "reason": "left" }))
        .await
        .expect(200);
    let gone = ask(asked(&manager.id, PIN, "sales.price.override")).await;
    assert_eq!(gone.expect(422).code(), "WRONG_PIN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_its_owners_and_takes_his_password() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let body = json!({ "password": "not the password", "pin": PIN });
    let wrong = shop.owner.post("/api/v1/auth/pin", body).await.expect(422);
    assert_eq!(wrong.code(), "WRONG_PASSWORD");
    for weak in ["1234", "0000", "12", "abcd"] {
        let refused = set_pin(&shop.owner, weak).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], "pin", "{weak}");
    }
    set_pin(&shop.owner, PIN).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guesser_waits_and_in_the_end_locks_the_pin_until_its_owner_sets_it() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let cashier = shop.hire(&app, "cashier").await;
    let owner = shop.owner.user.to_string();
    set_pin(&shop.owner, PIN).await.expect(204);
    let guess = async |pin: &str| {
        let body = asked(&owner, pin, "sales.discount.give");
        cashier.client.post("/api/v1/auth/approvals", body).await
    };
    // Guesses at once count like guesses in a row.
    let at_once = join_all((0..8).map(|_| guess("9021"))).await;
    let codes = |code: &str| at_once.iter().filter(|r| r.code() == code).count();
    assert_eq!((codes("WRONG_PIN"), codes("TOO_MANY_ATTEMPTS")), (5, 3));
    assert!(guess(PIN).await.expect(429).header("retry-after").is_some());
    // Patience does not help: what was guessed is not forgotten.
    for _ in 0..5 {
        app.clock.advance(chrono::Duration::hours(1));
        assert_eq!(guess("9021").await.expect(422).code(), "WRONG_PIN");
    }
    app.clock.advance(chrono::Duration::hours(1));
    assert_eq!(guess(PIN).await.expect(422).code(), "PIN_LOCKED");
    let audited = audited(&app, shop.owner.tenant).await;
    let locks = audited.iter().filter(|a| *a == "identity.pin.last_guess");
    assert_eq!(locks.count(), 1);
    set_pin(&shop.owner, "8150").await.expect(204);
    app.clock.advance(chrono::Duration::hours(1));
    guess("8150").await.expect(201);
    // A right one begins anew.
    guess("9021").await.expect(422);
    guess("8150").await.expect(201);
}
