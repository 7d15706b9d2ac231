//! Erasing people: who may ask, what is gone, what stays, and that the audit trail still holds together.

use bahi_events::{PERSON_ERASED, PersonErased, SubjectKind};
use bahi_testkit::{Reply, erase, mentions};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{deliver, of_audit},
    support::*,
};

const PATH: &str = "/api/v1/erasures";

fn of(subject: &str, id: &str) -> serde_json::Value {
    json!({ "subject": subject, "id": id, "reason": "asked in writing" })
}

fn answer(id: &str, service: &str) -> bahi_events::Outgoing {
    let erasure_id: Uuid = id.parse().unwrap();
    let said = PersonErased {
        erasure_id,
        service: service.into(),
        erased: Vec::new(),
        kept: Vec::new(),
    };
    PERSON_ERASED.of(erasure_id, 1, &said)
}

async fn set_aside(shop: &Shop, hired: &Hired) {
    shop.owner
        .post(&format!("{}:disable", hired.path()), json!({}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_asked_once_and_an_erasure_is_done_when_all_have_answered() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let customer = Uuid::now_v7().to_string();
    let begun = shop
        .owner
        .post(PATH, of("customer", &customer))
        .await
        .expect(202);
    let id = begun.text_at("id");
    assert_eq!(
        shop.owner
            .post(PATH, of("customer", &customer))
            .await
            .expect(200)
            .text_at("id"),
        id
    );
    let asked = said(&app, "person.erasure_requested", &id).await;
    assert_eq!(
        asked,
        [json!({ "erasure_id": id, "subject": "customer", "subject_id": customer })]
    );
    let path = format!("{PATH}/{id}");
    app.feed(
        ["identity", "inventory", "product"]
            .map(|s| answer(&id, s))
            .into(),
        shop.owner.tenant,
    )
    .await;
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "running"
    );
    app.clock.advance(chrono::TimeDelta::hours(24));
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "overdue"
    );
    app.feed(vec![answer(&id, "sales")], shop.owner.tenant)
        .await;
    assert_eq!(
        shop.owner.get(&path).await.expect(200).body["status"],
        "done"
    );
    assert_eq!(shop.owner.get(PATH).await.expect(200).body["total"], 1);
    let manager = shop.hire(&app, "manager").await.client;
    assert_eq!(
        manager.post(PATH, of("customer", &customer)).await.status,
        403
    );
    let other = Shop::open(&app).await;
    other.owner.get(&path).await.expect(404);
    let refused = shop.owner.post(PATH, of("person", &customer)).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_gone_from_every_table_and_the_trail_still_verifies() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (gone, stays) = (
        shop.hire(&app, "cashier").await,
        shop.hire(&app, "cashier").await,
    );
    let admin = app.admin().await;
    let name =
        |id: &str, name: &str| format!("update app_user set name = '{name}' where id = '{id}'");
    admin
        .batch_execute(&name(&gone.id, "Gauri Ghosh"))
        .await
        .unwrap();
    admin
        .batch_execute(&name(&stays.id, "Sunil Stays"))
        .await
        .unwrap();
    admin
        .batch_execute("update session set device = 'Gauri Ghosh''s phone'")
        .await
        .unwrap();
    // What the trail has heard, it keeps.
    deliver(&app, &of_audit(&app).await).await;
    let early = shop.owner.post(PATH, of("user", &gone.id)).await;
    assert_eq!((early.status, early.code()), (422, "USER_STATUS"));
    shop.owner
        .post(PATH, of("user", &Uuid::now_v7().to_string()))
        .await
        .expect(404);
    set_aside(&shop, &gone).await;
    shop.owner
        .post(PATH, of("user", &gone.id))
        .await
        .expect(202);
    let privacy = &app.running.state.privacy;
    let other = Shop::open(&app).await;
    // The mutant: the same person asked for by another tenant takes nothing away.
    let subject = gone.id.parse().unwrap();
    let foreign = erase(
        &app,
        privacy,
        other.owner.tenant,
        SubjectKind::User,
        subject,
    )
    .await;
    assert_eq!(foreign.erased, []);
    let words = ["Gauri Ghosh", gone.email.as_str()];
    assert!(
        mentions(&app, &words)
            .await
            .contains(&"public.app_user.name".to_owned())
    );
    let said = erase(&app, privacy, shop.owner.tenant, SubjectKind::User, subject).await;
    let tables: Vec<&str> = said.erased.iter().map(|e| e.table.as_str()).collect();
    for table in ["app_user", "refresh_token", "session", "user_role"] {
        assert!(tables.contains(&table), "{tables:?}");
    }
    let left: Vec<String> = mentions(&app, &[gone.email.as_str()]).await;
    assert_eq!(left, Vec::<String>::new());
    let devices = admin
        .query(
            "select device from session where user_id = $1 and device is not null",
            &[&subject],
        )
        .await
        .unwrap();
    assert!(devices.is_empty());
    // The neighbour is as he was, and what is kept is named.
    assert_eq!(
        mentions(&app, &[stays.email.as_str()]).await,
        ["public.app_user.email"]
    );
    let kept = said.kept.iter().find(|kept| kept.table == "audit").unwrap();
    assert!(kept.rows.unwrap() > 0 && !kept.why.is_empty());
    let verdict = shop
        .owner
        .get("/api/v1/audit:verify")
        .await
        .expect(200)
        .body;
    assert_eq!(verdict["intact"], true);
    assert!(verdict["number"].as_i64().unwrap() > 0);
    assert_eq!(log_in(&app, &gone.email, PASSWORD).await.status, 401);
    assert_eq!(log_in(&app, &stays.email, PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_erasure_was_asked_for_does_not_come_back() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let refused = |reply: Reply| assert_eq!((reply.status, reply.code()), (422, "ERASED"));
    let gone = shop.hire(&app, "cashier").await;
    set_aside(&shop, &gone).await;
    let asked = shop.owner.post(PATH, of("user", &gone.id)).await;
    asked.expect(202);
    for verb in ["enable", "invite", "reset-password"] {
        let path = format!("{}:{verb}", gone.path());
        refused(shop.owner.post(&path, json!({})).await);
    }
    let change = json!({ "name": "Ravi", "role_ids": [shop.role("cashier").await] });
    refused(shop.owner.put(&gone.path(), change, 3).await);
    // What was handed out before is void.
    let invited = shop.invite("cashier").await;
    let id = invited.body["user"]["id"].as_str().unwrap();
    let asked = shop.owner.post(PATH, of("user", id)).await;
    asked.expect(202);
    let body = json!({ "token": invited.text_at("token"), "password": PASSWORD });
    let joined = post(&app, "/api/v1/auth/invitations:accept", body).await;
    assert_eq!(joined.expect(422).code(), "TOKEN_INVALID");
    let again = format!("/api/v1/users/{id}:invite");
    refused(shop.owner.post(&again, json!({})).await);
}
