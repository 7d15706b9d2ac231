//! Registration, sign-in, staying in, signing out.

use bahi_testkit::eventually;
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    emails::{confirm, mails},
    support::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_business_registers_and_its_owner_is_signed_in() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let access = claims(&shop.tokens.text_at("access_token"));
    assert_eq!(
        (access.iss.as_str(), access.perms.as_slice()),
        ("identity", ["*".to_owned()].as_slice())
    );
    assert_eq!(
        (access.exp - access.iat, access.name.as_deref()),
        (900, Some("Asha Sharma"))
    );
    assert_eq!(shop.tokens.header("cache-control"), Some("no-store"));

    let me = shop.owner.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.body["tenant_slug"], shop.slug.as_str());
    assert_eq!(
        (&me.body["email"], &me.body["status"]),
        (&json!(shop.email), &json!("active"))
    );
    assert_eq!(me.body["permissions"], json!(["*"]));
    assert_eq!(me.body["session_id"], shop.tokens.body["session_id"]);

    let roles = shop.owner.get("/api/v1/roles").await.expect(200);
    let names: Vec<_> = roles.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["accountant", "auditor", "cashier", "manager", "owner"]
    );
    let company = shop.owner.get("/api/v1/company").await.expect(200);
    assert_eq!(
        (&company.body["legal_name"], &company.body["currency"]),
        (&json!("Sharma & Sons"), &json!("INR"))
    );

    let events = app.events().await;
    let said: Vec<_> = events
        .iter()
        .map(|e| (e.event_type.as_str(), e.aggregate_version))
        .collect();
    let mut expected = vec![("tenant.created", 1), ("company.updated", 1)];
    expected.extend([("role.created", 1); 5]);
    let mail = "user.email_verification_requested";
    expected.extend([("user.created", 1), (mail, 1), ("audit.recorded", 1)]);
    assert_eq!(said, expected);
    let others: Vec<_> = events.iter().filter(|e| e.event_type != mail).collect();
    let text = serde_json::to_string(&others).unwrap();
    assert!(
        !text.contains(&shop.email) && !text.contains("argon2"),
        "events carry neither address nor hash"
    );
    assert!(events.iter().all(|e| e.tenant_id == shop.owner.tenant));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_name_is_taken_once_and_made_up_when_absent() {
    let app = start().await;
    let body = |slug: Value| json!({ "tenant_name": "Gupta Stores", "slug": slug, "name": "G", "email": "g@gupta.in", "password": PASSWORD });
    post(&app, "/api/v1/auth/register", body(json!("gupta")))
        .await
        .expect(201);
    let taken = post(&app, "/api/v1/auth/register", body(json!("gupta")))
        .await
        .expect(409);
    assert_eq!(taken.code(), "SLUG_TAKEN");
    for expected in ["gupta-stores", "gupta-stores-"] {
        let tokens = post(&app, "/api/v1/auth/register", body(Value::Null))
            .await
            .expect(201);
        let me = client(&app, &tokens).get("/api/v1/auth/me").await;
        assert!(
            me.text_at("tenant_slug").starts_with(expected),
            "{}",
            me.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_under_one_key_happens_once() {
    let app = start().await;
    let body =
        json!({ "tenant_name": "Once", "name": "O", "email": "o@once.in", "password": PASSWORD });
    let path = "/api/v1/auth/register";
    let replies = join_all((0..5).map(|_| {
        let (client, body) = (nobody(&app), body.clone());
        async move { client.post_with_key(path, body, "k1").await.expect(201) }
    }));
    let replies = replies.await;
    let hits = replies
        .iter()
        .filter(|r| r.header("idempotency-hit") == Some("true"))
        .count();
    assert_eq!(hits, 4);
    for reply in &replies {
        assert_eq!(
            reply.text_at("refresh_token"),
            replies[0].text_at("refresh_token")
        );
        assert_eq!(
            reply.text_at("access_token"),
            replies[0].text_at("access_token")
        );
    }
    let mut other = body.clone();
    other["password"] = json!("another password");
    let reused = nobody(&app)
        .post_with_key(path, other, "k1")
        .await
        .expect(422);
    assert_eq!(reused.code(), "IDEMPOTENCY_KEY_REUSED");
    // Another person with the same key is another matter.
    let mut stranger = body;
    stranger["email"] = json!("p@once.in");
    nobody(&app)
        .post_with_key(path, stranger, "k1")
        .await
        .expect(201);
    let rows = app
        .admin()
        .await
        .query("select count(*) from tenant", &[])
        .await
        .unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), 2);
    // Nothing readable is kept of password and tokens.
    let stored = app
        .admin()
        .await
        .query(
            "select answer::text || encode(request_hash, 'hex') from idempotency",
            &[],
        )
        .await;
    for row in stored.unwrap() {
        let text: String = row.get(0);
        assert!(
            !text.contains(&replies[0].text_at("refresh_token")) && !text.contains("eyJ"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_in_refreshes_and_signs_out() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let tokens = log_in(&app, &shop.email.to_uppercase(), PASSWORD)
        .await
        .expect(200);
    assert_ne!(tokens.body["session_id"], shop.tokens.body["session_id"]);
    let first = tokens.text_at("refresh_token");

    let next = refresh(&app, &first).await.expect(200);
    assert_eq!(next.body["session_id"], tokens.body["session_id"]);
    assert_eq!(
        next.body["session_expires_at"], tokens.body["session_expires_at"],
        "using a session does not prolong it"
    );
    let second = next.text_at("refresh_token");
    assert_ne!(first, second);
    let third = refresh(&app, &second)
        .await
        .expect(200)
        .text_at("refresh_token");

    post(
        &app,
        "/api/v1/auth/logout",
        json!({ "refresh_token": third }),
    )
    .await
    .expect(204);
    let ended = refresh(&app, &third).await.expect(401);
    assert_eq!(ended.code(), "SESSION_ENDED");
    assert!(is_refused(&app, &next.text_at("access_token")).await);
    assert!(!is_refused(&app, &shop.tokens.text_at("access_token")).await);
    // Signing out again, or with nonsense, is no error.
    post(
        &app,
        "/api/v1/auth/logout",
        json!({ "refresh_token": third }),
    )
    .await
    .expect(204);
    post(
        &app,
        "/api/v1/auth/logout",
        json!({ "refresh_token": "nonsense" }),
    )
    .await
    .expect(204);
    refresh(&app, "nonsense").await.expect(401);
    // Neither does the database hold a token, nor the outbox.
    let admin = app.admin().await;
    let rows = admin
        .query(
            "select encode(hash, 'base64') || encode(hash, 'hex') from refresh_token",
            &[],
        )
        .await
        .unwrap();
    assert!(
        rows.len() >= 4
            && rows
                .iter()
                .all(|row| !row.get::<_, String>(0).contains(&third[30..]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_refreshes_of_one_token_give_one_successor() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let token = shop.tokens.text_at("refresh_token");
    let replies = join_all((0..50).map(|_| refresh(&app, &token))).await;
    let successors: std::collections::BTreeSet<_> = replies
        .into_iter()
        .map(|reply| reply.expect(200).text_at("refresh_token"))
        .collect();
    assert_eq!(successors.len(), 1);
    let rows = app
        .admin()
        .await
        .query("select count(*) from refresh_token", &[])
        .await
        .unwrap();
    assert_eq!(
        rows[0].get::<_, i64>(0),
        2,
        "one token and its one successor"
    );
    refresh(&app, successors.first().unwrap()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_before_he_locks_makes_several_successors() {
    // The mutant of the test above: it looks whether the token was replaced without a lock, and makes up a successor. So
    // what that test counts does tell.
    const AT_ONCE: usize = 8;
    let app = start().await;
    let shop = Shop::open(&app).await;
    let session: uuid::Uuid = shop.tokens.text_at("session_id").parse().unwrap();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(AT_ONCE));
    let clients = join_all((0..AT_ONCE).map(|_| app.admin())).await;
    let refreshes = clients.into_iter().enumerate().map(|(n, client)| {
        let barrier = barrier.clone();
        async move {
            let current = "select hash from refresh_token where session_id = $1 and rotated_at is null";
            let row = client.query_one(current, &[&session]).await.unwrap();
            let (hash, mut next): (Vec<u8>, _) = (row.get(0), vec![0_u8; 32]);
            next[0] = u8::try_from(n).unwrap();
            barrier.wait().await;
            let replace = "update refresh_token set rotated_at = now() where hash = $1";
            client.execute(replace, &[&hash]).await.unwrap();
            let add = "insert into refresh_token select tenant_id, $2, session_id, now(), null from refresh_token where hash = $1";
            client.execute(add, &[&hash, &next]).await.unwrap();
        }
    });
    join_all(refreshes).await;
    let count = "select count(*) from refresh_token";
    let rows = app.admin().await.query_one(count, &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 1 + 8, "a chain for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_refresh_token_kills_the_family() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let stolen = shop.tokens.text_at("refresh_token");
    let next = refresh(&app, &stolen).await.expect(200);
    // A lost answer or a second tab: the same successor.
    app.clock.advance(TimeDelta::seconds(20));
    assert_eq!(
        refresh(&app, &stolen)
            .await
            .expect(200)
            .text_at("refresh_token"),
        next.text_at("refresh_token")
    );
    // Later it is a theft, and nobody knows who the thief is.
    app.clock.advance(TimeDelta::seconds(1));
    refresh(&app, &stolen).await.expect(401);
    refresh(&app, &next.text_at("refresh_token"))
        .await
        .expect(401);
    assert!(is_refused(&app, &next.text_at("access_token")).await);
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.session.copied"
    );
    // Once dead it is just dead: no second alarm.
    let alarms = audited(&app, shop.owner.tenant).await.len();
    refresh(&app, &stolen).await.expect(401);
    assert_eq!(audited(&app, shop.owner.tenant).await.len(), alarms);
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_seven_days_whatever_its_use() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let mut token = shop.tokens.text_at("refresh_token");
    for _ in 0..6 {
        app.clock.advance(TimeDelta::days(1));
        token = refresh(&app, &token)
            .await
            .expect(200)
            .text_at("refresh_token");
    }
    app.clock.advance(TimeDelta::days(1));
    refresh(&app, &token).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_in_two_businesses_is_told_apart_by_password_or_choice() {
    let app = start().await;
    let email = "asha@both.example.in";
    let one = Shop::open_as(&app, "both-one", email, "the first password").await;
    let two = Shop::open_as(&app, "both-two", email, "the second password").await;
    // Each password leads to its own.
    assert_eq!(
        log_in(&app, email, "the second password")
            .await
            .expect(200)
            .body["tenant_id"],
        json!(two.owner.tenant)
    );
    assert_eq!(
        log_in(&app, email, "the first password")
            .await
            .expect(200)
            .body["tenant_id"],
        json!(one.owner.tenant)
    );
    // A wrong one learns nothing, not even that there are two.
    let wrong = log_in(&app, email, "another password").await.expect(401);
    assert_eq!(wrong.code(), "INVALID_CREDENTIALS");
    assert!(wrong.body.get("tenants").is_none());
    // The same password in both: the choice, after it was right.
    let three = Shop::open_as(&app, "both-three", email, "the first password").await;
    let choice = log_in(&app, email, "the first password").await.expect(409);
    assert_eq!(
        (choice.code(), &choice.body["tenants"]),
        ("CHOOSE_TENANT", &json!(["both-one", "both-three"]))
    );
    let body = json!({ "email": email, "password": "the first password", "tenant": "both-three" });
    assert_eq!(
        post(&app, "/api/v1/auth/login", body)
            .await
            .expect(200)
            .body["tenant_id"],
        json!(three.owner.tenant)
    );
    let body = json!({ "email": email, "password": "the first password", "tenant": "both-two" });
    post(&app, "/api/v1/auth/login", body).await.expect(401);
}

/// The owner takes the token of the mail that he was sent.
async fn show_address(app: &App, shop: &Shop) {
    let mail = mails(app, &shop.owner.user.to_string()).await.pop();
    confirm(app, &mail.unwrap()).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_gets_slower_and_never_locks_out() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    show_address(&app, &shop).await;
    for known in [shop.email.as_str(), "unknown@nowhere.example.in"] {
        let mut refusals = Vec::new();
        for _ in 0..5 {
            refusals.push(log_in(&app, known, "a wrong password").await.expect(401));
        }
        assert!(
            refusals.iter().all(|r| r.code() == "INVALID_CREDENTIALS"
                && r.body["detail"] == refusals[0].body["detail"])
        );
        for wait in [1, 2, 4] {
            let early = log_in(&app, known, "a wrong password").await.expect(429);
            assert_eq!(
                (early.code(), early.header("retry-after")),
                ("TOO_MANY_ATTEMPTS", Some(wait.to_string().as_str()))
            );
            app.clock.advance(TimeDelta::seconds(wait));
            log_in(&app, known, "a wrong password").await.expect(401);
        }
    }
    // The right password must wait like any other, and then it is let in and all is forgotten: the address is its owner's.
    log_in(&app, &shop.email, PASSWORD).await.expect(429);
    app.clock.advance(TimeDelta::seconds(8));
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
    log_in(&app, &shop.email, "a wrong password")
        .await
        .expect(401);
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
    // The business hears of it, once: the second alarm would have come before the audit of what follows.
    let guessed = async || {
        audited(&app, shop.owner.tenant)
            .await
            .iter()
            .filter(|a| *a == "identity.session.guessed")
            .count()
    };
    eventually(async || (guessed().await == 1).then_some(())).await;
    shop.invite("cashier").await;
    assert_eq!(guessed().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_password_elsewhere_forgives_no_guesses() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let twin = Shop::open_as(&app, "twin", &shop.email, "the twin's password").await;
    let guess = async || log_in(&app, &shop.email, "a wrong password").await;
    let too_early = async |wait: &str| {
        let early = guess().await.expect(429);
        assert_eq!(early.header("retry-after"), Some(wait));
    };
    for _ in 0..4 {
        guess().await.expect(401);
    }
    // Whoever has the same address in a business of his own comes in there, and may guess no more often for it.
    let own = log_in(&app, &shop.email, "the twin's password").await;
    assert_eq!(own.expect(200).body["tenant_id"], json!(twin.owner.tenant));
    guess().await.expect(401);
    too_early("1").await;
    app.clock.advance(TimeDelta::seconds(1));
    let body = json!({ "password": "the twin's password" });
    let begun = twin.owner.post("/api/v1/auth/mfa:begin", body).await;
    begun.expect(200);
    guess().await.expect(401);
    too_early("2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_right_password_forgives_does_not_tell_who_else_has_the_address() {
    let app = start_fixed().await;
    for shared in [false, true] {
        let shop = Shop::open(&app).await;
        if shared {
            Shop::open_as(&app, &unique("twin"), &shop.email, "the twin's password").await;
        }
        let guess = async |times: u32| {
            for _ in 0..times {
                log_in(&app, &shop.email, "a wrong password")
                    .await
                    .expect(401);
            }
        };
        let too_early = async || {
            let early = log_in(&app, &shop.email, "a wrong password").await;
            assert_eq!(early.expect(429).header("retry-after"), Some("1"));
        };
        // Who has not shown that the address is his is not forgiven what may have been guessed at somebody else.
        guess(4).await;
        log_in(&app, &shop.email, PASSWORD).await.expect(200);
        guess(1).await;
        too_early().await;
        // With time it is forgotten.
        app.clock.advance(TimeDelta::minutes(31));
        guess(4).await;
        // Who has shown it begins anew, whoever else has it.
        show_address(&app, &shop).await;
        log_in(&app, &shop.email, PASSWORD).await.expect(200);
        guess(4).await;
        let body = json!({ "password": PASSWORD });
        let begun = shop.owner.post("/api/v1/auth/mfa:begin", body).await;
        begun.expect(200);
        guess(5).await;
        too_early().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_password_helps_nobody_who_was_shut_out_or_given_another_address_meanwhile() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let shut_out = shop.hire(&app, "cashier").await;
    let body = json!({ "old_password": PASSWORD, "new_password": "a better password" });
    let change = "update app_user set status = 'disabled' where id = $1";
    let asked = shut_out.client.post("/api/v1/auth/password", body);
    let reply = meanwhile(&app, (change, &shut_out.id), asked, async {}).await;
    reply.expect(404);

    // The counter is that of the address which he gave, and he who has it may be somebody else by now.
    let moved = shop.hire(&app, "cashier").await;
    let change =
        "update app_user set email = 'moved@x.example.in', email_verified_at = now() where id = $1";
    let asked = log_in(&app, &moved.email, PASSWORD);
    let reply = meanwhile(&app, (change, &moved.id), asked, async {}).await;
    assert_eq!(reply.expect(401).code(), "INVALID_CREDENTIALS");
    log_in(&app, "moved@x.example.in", PASSWORD)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_count_like_serial_ones() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    // Each from a network of its own, as those of one wait for each other anyway.
    let replies = join_all((0..20).map(|n| {
        let body = json!({ "email": shop.email, "password": "a wrong password" });
        let app = &app;
        async move { post_from(app, &format!("10.{n}.0.1"), "/api/v1/auth/login", body).await }
    }))
    .await;
    let looked_at = replies.iter().filter(|reply| reply.status == 401).count();
    assert_eq!(
        looked_at,
        5,
        "{:?}",
        replies.iter().map(|r| r.status).collect::<Vec<_>>()
    );
    assert!(
        replies
            .iter()
            .all(|reply| [401, 429].contains(&reply.status))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_address_cannot_try_many_accounts() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let attempt = |email: String, address: &'static str, password: &'static str| {
        let app = &app;
        async move {
            post_from(
                app,
                address,
                "/api/v1/auth/login",
                json!({ "email": email, "password": password }),
            )
            .await
        }
    };
    for n in 0..20 {
        attempt(
            format!("user{n}@x.example.in"),
            "203.0.113.7",
            "a wrong password",
        )
        .await
        .expect(401);
    }
    attempt(
        "user20@x.example.in".into(),
        "203.0.113.7",
        "a wrong password",
    )
    .await
    .expect(429);
    // What a client puts before the gateway's entry does not help it.
    attempt(
        "user20@x.example.in".into(),
        "198.51.100.1, 203.0.113.7",
        "a wrong password",
    )
    .await
    .expect(429);
    // Its neighbours are not affected, but all of them together are counted as well.
    for n in 0..79 {
        attempt(
            format!("user{n}@y.example.in"),
            ["203.0.113.8", "203.0.113.9", "203.0.113.10", "203.0.113.11"][n % 4],
            "a wrong password",
        )
        .await
        .expect(401);
    }
    attempt(
        "user1@z.example.in".into(),
        "203.0.113.99",
        "a wrong password",
    )
    .await
    .expect(401);
    attempt(shop.email.clone(), "203.0.113.99", PASSWORD)
        .await
        .expect(429);
    // Others are not affected; signing in well is no failure, however often.
    for _ in 0..25 {
        attempt(shop.email.clone(), "198.51.100.1", PASSWORD)
            .await
            .expect(200);
    }
    app.clock.advance(TimeDelta::seconds(1));
    attempt(shop.email.clone(), "203.0.113.7", PASSWORD)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_the_password_ends_the_other_sessions_and_keeps_this_one() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let other = log_in(&app, &shop.email, PASSWORD).await.expect(200);
    let path = "/api/v1/auth/password";
    let body = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
    assert_eq!(
        shop.owner
            .post(path, body("not the password", "a better password"))
            .await
            .expect(422)
            .code(),
        "WRONG_PASSWORD"
    );
    assert_eq!(
        shop.owner
            .post(path, body(PASSWORD, &shop.email))
            .await
            .expect(422)
            .code(),
        "PASSWORD_IS_ADDRESS"
    );
    shop.owner
        .post(path, body(PASSWORD, "short"))
        .await
        .expect(400);

    let changed = shop
        .owner
        .post(path, body(PASSWORD, "a better password"))
        .await
        .expect(200);
    assert_eq!(changed.body["session_id"], shop.tokens.body["session_id"]);
    assert!(changed.body.get("refresh_token").is_none());
    assert!(
        is_refused(&app, &shop.tokens.text_at("access_token")).await,
        "the old access token is void"
    );
    assert!(is_refused(&app, &other.text_at("access_token")).await);
    assert!(
        !is_refused(&app, &changed.text_at("access_token")).await,
        "the new one is not"
    );
    refresh(&app, &other.text_at("refresh_token"))
        .await
        .expect(401);
    let next = refresh(&app, &shop.tokens.text_at("refresh_token"))
        .await
        .expect(200);
    assert!(!is_refused(&app, &next.text_at("access_token")).await);
    log_in(&app, &shop.email, PASSWORD).await.expect(401);
    log_in(&app, &shop.email, "a better password")
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_and_ends_ones_own_sessions_only() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let second = log_in(&app, &hired.email, PASSWORD).await.expect(200);

    let sessions = hired.client.get("/api/v1/auth/sessions").await.expect(200);
    let current: Vec<_> = sessions.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["current"].as_bool().unwrap())
        .collect();
    assert_eq!(current, [false, true], "the newest first");

    let path = |reply: &bahi_testkit::Reply| {
        format!("/api/v1/auth/sessions/{}", reply.text_at("session_id"))
    };
    hired
        .client
        .delete(&path(&shop.tokens), 1)
        .await
        .expect(404);
    hired.client.delete(&path(&second), 1).await.expect(204);
    refresh(&app, &second.text_at("refresh_token"))
        .await
        .expect(401);
    assert!(is_refused(&app, &second.text_at("access_token")).await);
    assert!(!is_refused(&app, &hired.tokens.text_at("access_token")).await);

    // An administrator sees and ends them all.
    let all = format!("{}/sessions", hired.path());
    assert_eq!(
        shop.owner.get(&all).await.expect(200).body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    hired.client.get(&all).await.expect(403);
    shop.owner.delete(&all, 1).await.expect(204);
    refresh(&app, &hired.tokens.text_at("refresh_token"))
        .await
        .expect(401);
    let revoked = audited(&app, shop.owner.tenant).await;
    let revoked = revoked.iter().filter(|a| *a == "identity.session.revoke");
    assert_eq!(revoked.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_name_and_tells_when_and_from_where_it_was_used() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let body =
        |name: Value| json!({ "email": shop.email, "password": PASSWORD, "device_name": name });
    let login = "/api/v1/auth/login";
    let named = post_from(&app, "203.0.113.7", login, body(json!("Counter two")))
        .await
        .expect(200);
    let nobody = nobody(&app);
    let browser = nobody
        .request(reqwest::Method::POST, login)
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .json(&body(Value::Null));
    nobody.send(browser).await.expect(200);
    for wrong in [json!(""), json!("x".repeat(61)), json!("a\nb")] {
        let refused = post(&app, login, body(wrong)).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], "device_name");
    }
    app.clock.advance(TimeDelta::minutes(10));
    refresh(&app, &named.text_at("refresh_token"))
        .await
        .expect(200);
    let sessions = shop.owner.get("/api/v1/auth/sessions").await.expect(200);
    let one = |name: &str| {
        let items = sessions.body["items"].as_array().unwrap();
        items
            .iter()
            .find(|s| s["device_name"] == name)
            .cloned()
            .expect(name)
    };
    let (counter, linux) = (one("Counter two"), one("Firefox on Linux"));
    assert_eq!(
        (&counter["ip"], &counter["amr"]),
        (&json!("203.0.113.7"), &json!(["pwd"]))
    );
    assert_eq!(counter["last_used_at"], json!(app.clock.now()));
    assert_eq!(linux["last_used_at"], linux["created_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ends_all_of_ones_sessions_but_this_one() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let cashier = shop.hire(&app, "cashier").await;
    let others = [
        log_in(&app, &shop.email, PASSWORD).await.expect(200),
        log_in(&app, &shop.email, PASSWORD).await.expect(200),
    ];
    shop.owner
        .delete("/api/v1/auth/sessions", 1)
        .await
        .expect(204);
    for other in &others {
        refresh(&app, &other.text_at("refresh_token"))
            .await
            .expect(401);
        assert!(is_refused(&app, &other.text_at("access_token")).await);
    }
    for kept in [&shop.tokens, &cashier.tokens] {
        assert!(!is_refused(&app, &kept.text_at("access_token")).await);
        refresh(&app, &kept.text_at("refresh_token"))
            .await
            .expect(200);
    }
    // A second time there is nothing to end, and nothing to tell.
    shop.owner
        .delete("/api/v1/auth/sessions", 1)
        .await
        .expect(204);
    let revoked = audited(&app, shop.owner.tenant).await;
    let revoked = revoked.iter().filter(|a| *a == "identity.session.revoke");
    assert_eq!(revoked.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_sessions_of_those_who_hold_no_more_than_he() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let (manager, cashier) = (
        shop.hire(&app, "manager").await,
        shop.hire(&app, "cashier").await,
    );
    let second = log_in(&app, &cashier.email, PASSWORD).await.expect(200);
    let one = |user: &str, session: String| format!("/api/v1/users/{user}/sessions/{session}");
    let owner = shop.owner.user.to_string();
    let mightier = [
        format!("/api/v1/users/{owner}/sessions"),
        one(&owner, shop.tokens.text_at("session_id")),
    ];
    for path in mightier {
        let refused = manager.client.delete(&path, 1).await.expect(403);
        assert_eq!(refused.code(), "ESCALATION");
    }
    let path = one(&cashier.id, second.text_at("session_id"));
    cashier.client.delete(&path, 1).await.expect(403);
    Shop::open(&app)
        .await
        .owner
        .delete(&path, 1)
        .await
        .expect(404);
    // A session is found under its user only.
    let elsewhere = one(&manager.id, second.text_at("session_id"));
    shop.owner.delete(&elsewhere, 1).await.expect(404);
    manager.client.delete(&path, 1).await.expect(204);
    assert!(is_refused(&app, &second.text_at("access_token")).await);
    assert!(!is_refused(&app, &cashier.tokens.text_at("access_token")).await);
    assert_eq!(
        audited(&app, shop.owner.tenant).await.last().unwrap(),
        "identity.session.revoke"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_for_the_gateway_alone_and_forgets_after_sixteen_minutes() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    post(
        &app,
        "/api/v1/auth/logout",
        json!({ "refresh_token": shop.tokens.text_at("refresh_token") }),
    )
    .await
    .expect(204);
    let feed = revocations(&app).await;
    assert_eq!(
        feed,
        json!({ "sessions": [shop.tokens.body["session_id"]], "users": [], "tenants": [] })
    );

    let path = "/internal/v1/revocations";
    shop.owner.get(path).await.expect(403);
    let sales = nobody(&app).with_token(&app.service_token("sales", shop.owner.tenant));
    sales.get(path).await.expect(403);
    nobody(&app).get(path).await.expect(401);

    app.clock.advance(TimeDelta::minutes(16));
    assert_eq!(
        revocations(&app).await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(
        revocations(&app).await["sessions"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_forgets_what_no_longer_matters() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    log_in(&app, "nobody@nowhere.example.in", PASSWORD)
        .await
        .expect(401);
    shop.invite("cashier").await;
    post(
        &app,
        "/api/v1/auth/logout",
        json!({ "refresh_token": shop.tokens.text_at("refresh_token") }),
    )
    .await
    .expect(204);
    let counts = async || {
        let row = app.admin().await.query_one(
            "select (select count(*) from revocation), (select count(*) from attempt), (select count(*) from ticket),
                    (select count(*) from session), (select count(*) from refresh_token)", &[]).await.unwrap();
        (0..5).map(|n| row.get::<_, i64>(n)).collect::<Vec<_>>()
    };
    let job = identity::jobs(&app.running.state)
        .into_iter()
        .find(|job| job.name() == "purge_sign_in")
        .unwrap();
    job.once().await.unwrap();
    assert_eq!(counts().await, [1, 3, 2, 1, 1], "nothing is old yet");
    app.clock.advance(TimeDelta::days(38));
    job.once().await.unwrap();
    assert_eq!(counts().await, [0, 0, 0, 0, 0]);
}

/// Opens as many more sessions of somebody as if he had signed in on other days.
async fn open_more(app: &App, user: &str, many: i32) {
    let user: uuid::Uuid = user.parse().unwrap();
    let more = "insert into session (tenant_id, id, user_id, created_at, last_used_at, expires_at)
        select tenant_id, gen_random_uuid(), user_id, created_at - interval '1 day', last_used_at, expires_at
          from session, generate_series(1, $2) where user_id = $1";
    let added = app.admin().await.execute(more, &[&user, &many]).await;
    assert_eq!(added.unwrap(), u64::try_from(many).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_many_sessions_is_shut_out_of_all_of_them() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    // A statement has places for 65,535 values, and each session would need four.
    open_more(&app, &hired.id, 17_000).await;
    let disable = format!("{}:disable", hired.path());
    shop.owner.post(&disable, json!({})).await.expect(200);
    let feed = revocations(&app).await;
    assert_eq!(feed["sessions"].as_array().unwrap().len(), 17_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_once_more_ends_the_oldest_of_a_hundred_sessions() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    open_more(&app, &hired.id, 98).await;
    let ended = async || {
        revocations(&app).await["sessions"]
            .as_array()
            .unwrap()
            .len()
    };
    log_in(&app, &hired.email, PASSWORD).await.expect(200);
    assert_eq!(ended().await, 0, "the hundredth");
    let last = log_in(&app, &hired.email, PASSWORD).await.expect(200);
    assert_eq!(ended().await, 1);
    for kept in [&hired.tokens, &last] {
        refresh(&app, &kept.text_at("refresh_token"))
            .await
            .expect(200);
    }
    let path = "/api/v1/auth/sessions";
    let open = hired.client.get(path).await.expect(200);
    assert_eq!(open.body["items"].as_array().unwrap().len(), 100);
    // Of so many the trail says how many they were.
    hired.client.delete(path, 1).await.expect(204);
    let mut told = app.events().await.into_iter();
    let told = told.rfind(|e| e.payload["action"] == "identity.session.revoke");
    let told = told.unwrap().payload["details"].clone();
    assert_eq!(told, json!({ "sessions_ended": 99 }));
}
