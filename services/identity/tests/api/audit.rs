//! The audit trail.

use bahi_events::Envelope;
use serde_json::{Value, json};

use crate::{organisation::site, support::*};

/// Brings what the outbox holds back in, as Kafka would.
pub async fn deliver(app: &App, events: &[Envelope<Value>]) {
    for consumer in (identity::app().hears())(&app.running.state) {
        consumer.feed(&app.db, events).await.unwrap();
    }
}

/// The records of the audit trail in the outbox.
pub async fn of_audit(app: &App) -> Vec<Envelope<Value>> {
    app.events()
        .await
        .into_iter()
        .filter(|e| e.event_type == "audit.recorded")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_kept_once_and_cannot_be_changed() {
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    let hired = shop.hire(&app, "cashier").await;
    shop.owner
        .post(
            &format!("{}:disable", hired.path()),
            json!({ "reason": "left" }),
        )
        .await
        .expect(200);
    let events = of_audit(&app).await;
    deliver(&app, &events).await;
    deliver(&app, &events).await;
    // Even under a new event id the record is the same record.
    let again: Vec<_> = events
        .iter()
        .cloned()
        .map(|e| Envelope {
            event_id: uuid::Uuid::now_v7(),
            ..e
        })
        .collect();
    deliver(&app, &again).await;

    let trail = shop.owner.get("/api/v1/audit").await.expect(200);
    let actions: Vec<_> = trail.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "identity.user.disable",
            "identity.user.join",
            "identity.user.invite",
            "identity.tenant.register"
        ]
    );
    let newest = &trail.body["items"][0];
    assert_eq!(
        (&newest["reason"], &newest["actor_type"]),
        (&json!("left"), &json!("user"))
    );
    assert_eq!(
        (&newest["actor_id"], &newest["object_id"]),
        (&json!(shop.owner.user), &json!(hired.id))
    );
    assert_eq!(
        other.owner.get("/api/v1/audit").await.expect(200).body["total"],
        1,
        "each tenant has its own"
    );

    let admin = app.admin().await;
    for statement in [
        "update audit set reason = 'x'",
        "delete from audit",
        "truncate audit",
    ] {
        let refused = admin.batch_execute(statement).await.unwrap_err();
        assert!(
            refused
                .as_db_error()
                .unwrap()
                .message()
                .contains("only ever added to"),
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_searched_and_walked() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for _ in 0..4 {
        shop.invite("cashier").await;
    }
    deliver(&app, &of_audit(&app).await).await;
    let total = async |query: &str| {
        shop.owner
            .get(&format!("/api/v1/audit?{query}"))
            .await
            .expect(200)
            .body["total"]
            .clone()
    };
    assert_eq!(total("").await, 5);
    assert_eq!(total("action=identity.user.invite").await, 4);
    assert_eq!(total("object_type=tenant").await, 1);
    assert_eq!(total(&format!("object_id={}", shop.owner.tenant)).await, 1);
    assert_eq!(total(&format!("actor={}", shop.owner.user)).await, 5);
    assert_eq!(total("actor=nobody").await, 0);
    assert_eq!(total("to=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(total("from=2020-01-01T00:00:00Z").await, 5);
    shop.owner
        .get("/api/v1/audit?from=yesterday")
        .await
        .expect(400);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .owner
            .get(&format!("/api/v1/audit?limit=2{cursor}"))
            .await
            .expect(200);
        seen.extend(
            page.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| a["at"].as_str().unwrap().to_owned()),
        );
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a >= b), "the newest first");
    let clerk = shop.owner.with_permissions(&["identity.user.read"]);
    clerk.get("/api/v1/audit").await.expect(403);
}

/// A jsonb as PostgreSQL writes it: the shorter key first.
fn written(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(key, value)| format!("{}: {}", json!(key), written(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// The trail of a tenant, the oldest first.
async fn trail(shop: &Shop) -> Vec<Value> {
    let page = shop.owner.get("/api/v1/audit?limit=100").await.expect(200);
    let mut records = page.body["items"].as_array().unwrap().clone();
    records.sort_by_key(|r| r["number"].as_i64());
    records
}

async fn verdict(shop: &Shop, query: &str) -> Value {
    let path = format!("/api/v1/audit:verify{query}");
    shop.owner.get(&path).await.expect(200).body
}

async fn a_trail_of(app: &App, shop: &Shop, invited: usize) {
    for _ in 0..invited {
        shop.invite("cashier").await;
    }
    deliver(app, &of_audit(app).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_chained_to_the_one_before_it_by_a_hash_that_anyone_can_make() {
    use sha2::{Digest, Sha256};
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    assert_eq!(
        verdict(&shop, "").await,
        json!({ "intact": true, "broken_at": null, "number": 0, "hash": "0".repeat(64) })
    );
    a_trail_of(&app, &shop, 3).await;
    // Heard again, nothing is added.
    deliver(&app, &of_audit(&app).await).await;
    let records = trail(&shop).await;
    assert_eq!(records.len(), 4);
    let mut hash = vec![0; 32];
    for (at, r) in records.iter().enumerate() {
        let moment: chrono::DateTime<chrono::Utc> = r["at"].as_str().unwrap().parse().unwrap();
        let told = json!([
            shop.owner.tenant,
            at + 1,
            r["id"],
            moment.timestamp_micros(),
            r["service"],
            r["actor_type"],
            r["actor_id"],
            r["action"],
            r["object_type"],
            r["object_id"],
            r["reason"],
            r["details"],
            r["correlation_id"]
        ]);
        hash.extend(written(&told).as_bytes());
        hash = Sha256::digest(&hash).to_vec();
        assert_eq!(r["number"], at + 1);
        assert_eq!(r["hash"], hex::encode(&hash), "{}", written(&told));
    }
    assert_eq!(
        verdict(&shop, "").await,
        json!({ "intact": true, "broken_at": null, "number": 4, "hash": hex::encode(&hash) })
    );
    assert_eq!(
        trail(&other).await[0]["number"],
        1,
        "each tenant has its own"
    );
    let clerk = shop.owner.with_permissions(&["identity.user.read"]);
    clerk.get("/api/v1/audit:verify").await.expect(403);
    for (query, field) in [
        ("?number=1", "hash"),
        (&*format!("?hash={}", "0".repeat(64)), "number"),
        ("?number=1&hash=00", "hash"),
        (&*format!("?number=0&hash={}", "0".repeat(64)), "number"),
    ] {
        let refused = shop
            .owner
            .get(&format!("/api/v1/audit:verify{query}"))
            .await;
        assert_eq!(
            refused.expect(400).body["errors"][0]["field"],
            field,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_the_trail_past_its_triggers_is_found() {
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    a_trail_of(&app, &shop, 5).await;
    let tenant = shop.owner.tenant;
    let records = trail(&shop).await;
    let noted = |at: usize| {
        format!(
            "?number={at}&hash={}",
            records[at - 1]["hash"].as_str().unwrap()
        )
    };
    let admin = app.admin().await;
    let past = async |what: &str| {
        let what = what.replace("$t", &format!("tenant_id = '{tenant}'"));
        let all = format!(
            "alter table audit disable trigger user; {what}; alter table audit enable trigger user"
        );
        admin.batch_execute(&all).await.unwrap();
    };
    past("create table kept as select * from audit where $t; create table end_kept as select * from audit_end where $t").await;
    let put_back = "delete from audit where $t; insert into audit select * from kept; \
                    delete from audit_end where $t; insert into audit_end select * from end_kept";
    let renumbered = "delete from audit where number = 3 and $t; update audit set number = number - 1 where number > 3 and $t";
    // As somebody would who knows how it is done, from the second record on.
    let anew = "update audit set reason = 'nothing' where number = 2 and $t;
        do $$ declare r audit; last bytea; begin
          for r in select * from audit where $t order by number loop
            last := audit_hash(coalesce(last, decode(repeat('00', 32), 'hex')), r);
            update audit set hash = last where id = r.id and $t;
          end loop;
          update audit_end set hash = last where $t;
        end $$";
    for (what, query, broken_at) in [
        ("select 1", noted(4), None),
        (
            "update audit set reason = 'nothing' where number = 3 and $t",
            String::new(),
            Some(3),
        ),
        (
            "update audit set at = at + interval '1 microsecond' where number = 1 and $t",
            String::new(),
            Some(1),
        ),
        (
            "delete from audit where number = 3 and $t",
            String::new(),
            Some(3),
        ),
        (
            "delete from audit where number < 3 and $t",
            String::new(),
            Some(1),
        ),
        (
            "delete from audit where number = 6 and $t",
            String::new(),
            Some(6),
        ),
        ("delete from audit where $t", String::new(), Some(1)),
        (
            "delete from audit where $t; delete from audit_end where $t",
            noted(6),
            Some(1),
        ),
        (renumbered, String::new(), Some(3)),
        (
            "update audit set hash = sha256(hash) where number = 6 and $t",
            String::new(),
            Some(6),
        ),
        (
            "update audit_end set hash = sha256(hash) where $t",
            String::new(),
            Some(7),
        ),
        (anew, String::new(), None),
        (anew, noted(4), Some(4)),
        (anew, noted(1), None),
    ] {
        past(what).await;
        let found = verdict(&shop, &query).await;
        assert_eq!(found["broken_at"], json!(broken_at), "{what} {query}");
        assert_eq!(found["intact"], broken_at.is_none());
        past(put_back).await;
    }
    assert_eq!(verdict(&shop, &noted(6)).await["intact"], true);
    assert_eq!(verdict(&other, "").await["number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_longer_than_a_step_is_broken_wherever_it_is_broken() {
    const LAST: i64 = 5;
    let app = start().await;
    let (shop, other) = (Shop::open(&app).await, Shop::open(&app).await);
    a_trail_of(&app, &shop, 4).await;
    let tenant = shop.owner.tenant;
    let hash = hex::decode(trail(&shop).await[4]["hash"].as_str().unwrap()).unwrap();
    let admin = app.admin().await;
    let past = async |what: String| {
        let what = what.replace("$t", &format!("tenant_id = '{tenant}'"));
        let all = format!(
            "alter table audit disable trigger user; {what}; alter table audit enable trigger user"
        );
        admin.batch_execute(&all).await.unwrap();
    };
    let ctx = bahi_db::Ctx::service("identity", tenant);
    // From one record at a time, where each is beside a seam, to all of them in one step with room to spare.
    let broken_at = async |noted: Option<(i64, Vec<u8>)>| {
        let mut found = Vec::new();
        for step in 1..=LAST + 1 {
            let state = &app.running.state;
            let verdict = identity::verify_trail(state, &ctx, noted.clone(), step).await;
            let verdict = verdict.unwrap();
            assert_eq!((verdict.number, &verdict.hash), (LAST, &hash));
            found.push(verdict.broken_at);
        }
        assert!(found.iter().all(|at| *at == found[0]), "{found:?}");
        found[0]
    };
    assert_eq!(broken_at(None).await, None);
    assert_eq!(broken_at(Some((LAST, hash.clone()))).await, None);
    assert_eq!(
        broken_at(Some((LAST + 4, hash.clone()))).await,
        Some(LAST + 1)
    );
    past("create table kept as select * from audit where $t".into()).await;
    for n in 1..=LAST {
        if n < LAST {
            assert_eq!(broken_at(Some((n, hash.clone()))).await, Some(n));
        }
        for what in [
            format!("update audit set reason = 'nothing' where number = {n} and $t"),
            format!("update audit set number = number + 100 where number >= {n} and $t"),
            format!("delete from audit where number = {n} and $t"),
            format!("delete from audit where number >= {n} and $t"),
        ] {
            past(what.clone()).await;
            assert_eq!(broken_at(None).await, Some(n), "{what}");
            past("delete from audit where $t; insert into audit select * from kept".into()).await;
        }
    }
    assert_eq!(broken_at(None).await, None);
    assert_eq!(verdict(&other, "").await["number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_append_at_once_do_so_one_after_the_other() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let append = || {
        format!(
            "insert into audit (tenant_id, id, at, service, actor_type, actor_id, action, object_type, object_id, details)
             values ('{}', '{}', now(), 'sales', 'user', 'x', 'sales.price.override', 'invoice', 'y', '{{}}')",
            shop.owner.tenant,
            uuid::Uuid::now_v7()
        )
    };
    let (first, second) = (app.admin().await, app.admin().await);
    first
        .batch_execute(&format!("begin; {}", append()))
        .await
        .unwrap();
    let late = append();
    let waiting = second.batch_execute(&late);
    let (committed, appended) = futures::join!(first.batch_execute("commit"), waiting);
    committed.and(appended).unwrap();
    assert_eq!(verdict(&shop, "").await["intact"], true);
    assert_eq!(trail(&shop).await[1]["number"], 2);

    // Wrong: the end is read without a lock, so the second does not wait for the first and follows the same record.
    first
        .batch_execute(
            "create or replace function append_audit() returns trigger language plpgsql as $$
             declare last audit_end; begin
               select * into last from audit_end where tenant_id = new.tenant_id;
               new.number := last.number + 1;
               new.hash := audit_hash(last.hash, new);
               return new;
             end $$; drop index audit_number",
        )
        .await
        .unwrap();
    first
        .batch_execute(&format!("begin; {}", append()))
        .await
        .unwrap();
    second.batch_execute(&append()).await.unwrap();
    first.batch_execute("commit").await.unwrap();
    assert_eq!(verdict(&shop, "").await["broken_at"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_not_for_who_works_for_a_part_of_the_business() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let branch = site(&shop.owner).await.branch.parse().unwrap();
    a_trail_of(&app, &shop, 1).await;
    for permissions in [&["*"][..], &["identity.audit.read"]] {
        let local = shop.owner.at_branches(permissions, &[branch]);
        let noted = format!("/api/v1/audit:verify?number=1&hash={}", "0".repeat(64));
        for path in [
            "/api/v1/audit",
            "/api/v1/audit?action=identity.branch.create",
            "/api/v1/audit:verify",
            &noted,
        ] {
            let refused = local.get(path).await.expect(403);
            assert_eq!(refused.code(), "OTHER_BRANCH", "{path}");
            assert!(!refused.text.contains("total"), "{path}");
        }
    }
    let everywhere = shop.owner.with_permissions(&["identity.audit.read"]);
    everywhere.get("/api/v1/audit").await.expect(200);
    everywhere.get("/api/v1/audit:verify").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_holds_no_network_address() {
    const HOME: &str = "203.0.113.7";
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let body = |password: &str| json!({ "email": shop.email, "password": password });
    let login = "/api/v1/auth/login";
    let signed = post_from(&app, HOME, login, body(PASSWORD))
        .await
        .expect(200);
    let token = signed.text_at("refresh_token");
    refresh(&app, &token).await.expect(200);
    app.clock.advance(chrono::TimeDelta::seconds(21));
    refresh(&app, &token).await.expect(401);
    let tenant = shop.owner.tenant;
    // The session says from where, as long as it is kept.
    assert_eq!(
        details_of(&app, tenant, "identity.session.copied").await,
        [json!({ "session_id": signed.text_at("session_id") })]
    );
    for _ in 0..5 {
        let guess = post_from(&app, HOME, login, body("a wrong password"));
        guess.await.expect(401);
    }
    let guessed = bahi_testkit::eventually(async || {
        let told = details_of(&app, tenant, "identity.session.guessed").await;
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(guessed.await, [json!({ "failures": 5 })]);
    let told = serde_json::to_string(&of_audit(&app).await).unwrap();
    assert!(!told.contains(HOME), "{told}");
}
