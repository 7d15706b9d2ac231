//! People: invited, joined, changed, shut out.

use bahi_testkit::eventually;
use chrono::TimeDelta;
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_joins_once_with_the_token_that_was_handed_over() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let invited = shop.invite("cashier").await;
    assert_eq!(invited.header("cache-control"), Some("no-store"));
    let (id, email) = (
        invited.body["user"]["id"].as_str().unwrap(),
        invited.body["user"]["email"].as_str().unwrap(),
    );
    assert_eq!(invited.body["user"]["status"], "invited");
    log_in(&app, email, PASSWORD).await.expect(401);

    let accept = |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        let app = &app;
        async move { post(app, "/api/v1/auth/invitations:accept", body).await }
    };
    let token = invited.text_at("token");
    assert_eq!(
        accept(&token, email).await.expect(422).code(),
        "PASSWORD_IS_ADDRESS"
    );
    // A new invitation voids the old one.
    let again = shop
        .owner
        .post(&format!("/api/v1/users/{id}:invite"), json!({}))
        .await
        .expect(200);
    assert_eq!(
        accept(&token, PASSWORD).await.expect(422).code(),
        "TOKEN_INVALID"
    );
    let token = again.text_at("token");
    // It is no password reset.
    let body = json!({ "token": token, "new_password": PASSWORD });
    post(&app, "/api/v1/auth/password-resets:complete", body)
        .await
        .expect(422);

    let tokens = accept(&token, PASSWORD).await.expect(200);
    let mut perms = claims(&tokens.text_at("access_token")).perms;
    perms.retain(|p| p.starts_with("sales."));
    let cashier = [
        "sales.commission.read",
        "sales.customer.read",
        "sales.invoice.read",
        "sales.pos.*",
        "sales.receipt.read",
        "sales.receipt.write",
        "sales.return.read",
        "sales.return.write",
    ];
    assert_eq!(perms, cashier);
    accept(&token, "another password").await.expect(422);
    log_in(&app, email, PASSWORD).await.expect(200);
    let statuses: Vec<_> = said(&app, "user.updated", id)
        .await
        .into_iter()
        .map(|p| p["status"].clone())
        .collect();
    assert_eq!(statuses, [json!("active")]);

    // Tickets expire.
    let late = shop.invite("cashier").await;
    app.clock.advance(TimeDelta::days(7));
    accept(&late.text_at("token"), PASSWORD).await.expect(422);
    accept("nonsense", PASSWORD).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_under_one_key_gives_one_user_and_the_same_token() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let body = json!({ "email": "k@key.example.in", "name": "K", "role_ids": [shop.role("cashier").await] });
    let all = futures::future::join_all(
        (0..20).map(|_| shop.owner.post_with_key("/api/v1/users", body.clone(), "k")),
    )
    .await;
    assert!(
        all.iter()
            .all(|r| r.status == 201 && r.body["token"] == all[0].body["token"])
    );
    let hits = all
        .iter()
        .filter(|r| r.header("idempotency-hit").is_some())
        .count();
    assert_eq!(hits, 19);
    let stored = app
        .admin()
        .await
        .query_one("select answer::text from idempotency", &[])
        .await
        .unwrap();
    assert!(
        !stored
            .get::<_, String>(0)
            .contains(&all[0].text_at("token"))
    );
    let taken = shop.owner.post("/api/v1/users", body).await.expect(409);
    assert_eq!(taken.code(), "EMAIL_TAKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_sets_a_new_password_once_and_ends_every_session() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let handed = shop
        .owner
        .post(&format!("{}:reset-password", hired.path()), json!({}))
        .await
        .expect(200);
    log_in(&app, &hired.email, PASSWORD).await.expect(200);
    let body = json!({ "token": handed.text_at("token"), "new_password": "a brand new password" });
    let path = "/api/v1/auth/password-resets:complete";
    let both = futures::join!(
        post(&app, path, body.clone()),
        post(&app, path, body.clone())
    );
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [204, 422],
        "used once, also when used twice at once"
    );
    refresh(&app, &hired.tokens.text_at("refresh_token"))
        .await
        .expect(401);
    assert!(is_refused(&app, &hired.tokens.text_at("access_token")).await);
    log_in(&app, &hired.email, PASSWORD).await.expect(401);
    let fresh = log_in(&app, &hired.email, "a brand new password")
        .await
        .expect(200);
    assert!(!is_refused(&app, &fresh.text_at("access_token")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_is_out_at_once_and_back_when_enabled() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let disable = format!("{}:disable", hired.path());
    let disabled = shop
        .owner
        .post(&disable, json!({ "reason": "left" }))
        .await
        .expect(200);
    assert_eq!(
        (&disabled.body["status"], &disabled.body["version"]),
        (&json!("disabled"), &json!(3))
    );

    let feed = revocations(&app).await;
    assert!(
        feed["users"]
            .as_array()
            .unwrap()
            .iter()
            .any(|u| u["user_id"] == hired.id.as_str()),
        "{feed}"
    );
    assert!(
        feed["sessions"]
            .as_array()
            .unwrap()
            .contains(&hired.tokens.body["session_id"])
    );
    assert!(is_refused(&app, &hired.tokens.text_at("access_token")).await);
    refresh(&app, &hired.tokens.text_at("refresh_token"))
        .await
        .expect(401);
    let refused = log_in(&app, &hired.email, PASSWORD).await.expect(401);
    assert_eq!(refused.code(), "INVALID_CREDENTIALS", "no word about why");
    let reset = shop
        .owner
        .post(&format!("{}:reset-password", hired.path()), json!({}))
        .await
        .expect(422);
    assert_eq!(reset.code(), "USER_STATUS");
    // Disabling the disabled changes nothing.
    assert_eq!(
        shop.owner.post(&disable, json!({})).await.expect(200).body["version"],
        3
    );

    let enabled = shop
        .owner
        .post(&format!("{}:enable", hired.path()), json!({}))
        .await
        .expect(200);
    assert_eq!(enabled.body["status"], "active");
    let tokens = log_in(&app, &hired.email, PASSWORD).await.expect(200);
    assert!(!is_refused(&app, &tokens.text_at("access_token")).await);
    let statuses: Vec<_> = said(&app, "user.updated", &hired.id)
        .await
        .into_iter()
        .map(|p| p["status"].clone())
        .collect();
    assert_eq!(
        statuses,
        [json!("active"), json!("disabled"), json!("active")]
    );
    let actions = audited(&app, shop.owner.tenant).await;
    assert!(
        actions.ends_with(&[
            "identity.user.disable".into(),
            "identity.user.enable".into()
        ]),
        "{actions:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_roles_voids_old_tokens_and_shows_in_new_ones() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let both = [shop.role("cashier").await, shop.role("auditor").await];
    // The name alone voids nothing.
    let renamed = shop
        .owner
        .put(
            &hired.path(),
            json!({ "name": "Ravi K", "role_ids": [both[0]] }),
            2,
        )
        .await
        .expect(200);
    assert_eq!(renamed.header("etag"), Some("\"3\""));
    assert!(!is_refused(&app, &hired.tokens.text_at("access_token")).await);

    shop.owner
        .put(
            &hired.path(),
            json!({ "name": "Ravi K", "role_ids": both }),
            3,
        )
        .await
        .expect(200);
    assert!(is_refused(&app, &hired.tokens.text_at("access_token")).await);
    let next = refresh(&app, &hired.tokens.text_at("refresh_token"))
        .await
        .expect(200);
    let access = claims(&next.text_at("access_token"));
    assert!(
        access.perms.contains(&"identity.audit.read".into())
            && access.perms.contains(&"sales.pos.*".into())
    );
    assert_eq!(access.name.as_deref(), Some("Ravi K"));
    assert!(
        !is_refused(&app, &next.text_at("access_token")).await,
        "made in the same second, yet good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_or_acts_upon_more_than_he_holds() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let manager = shop.hire(&app, "manager").await.client;
    let cashier = shop.hire(&app, "cashier").await;
    let owner_path = format!("/api/v1/users/{}", shop.owner.user);
    let owner_role = shop.role("owner").await;
    let refused = async |reply: bahi_testkit::Reply| {
        assert_eq!(reply.expect(403).code(), "ESCALATION");
    };

    // A manager may invite a cashier, but no owner.
    let invite = |role: &str| json!({ "email": format!("{}@x.example.in", unique("m")), "name": "X", "role_ids": [role] });
    manager
        .post("/api/v1/users", invite(&shop.role("cashier").await))
        .await
        .expect(201);
    refused(manager.post("/api/v1/users", invite(&owner_role)).await).await;
    // He cannot make himself or anybody else one.
    let change = json!({ "name": "X", "role_ids": [owner_role] });
    refused(
        manager
            .put(
                &format!("/api/v1/users/{}", manager.user),
                change.clone(),
                2,
            )
            .await,
    )
    .await;
    refused(manager.put(&cashier.path(), change, 2).await).await;
    // He cannot take the owner's account over, nor shut him out, nor demote him.
    refused(
        manager
            .post(&format!("{owner_path}:reset-password"), json!({}))
            .await,
    )
    .await;
    refused(
        manager
            .post(&format!("{owner_path}:disable"), json!({}))
            .await,
    )
    .await;
    refused(
        manager
            .put(&owner_path, json!({ "name": "X", "role_ids": [] }), 1)
            .await,
    )
    .await;
    // With the right to write roles he makes none that holds more than he does.
    let roles = manager.with_permissions(&["identity.role.write", "sales.pos.*"]);
    refused(
        roles
            .post(
                "/api/v1/roles",
                json!({ "name": "god", "permissions": ["*"] }),
            )
            .await,
    )
    .await;
    refused(
        roles
            .post(
                "/api/v1/roles",
                json!({ "name": "seller", "permissions": ["sales.*"] }),
            )
            .await,
    )
    .await;
    roles
        .post(
            "/api/v1/roles",
            json!({ "name": "seller", "permissions": ["sales.pos.use"] }),
        )
        .await
        .expect(201);
    // Whom the owner has shut out he does not erase, for that one could do more.
    let partner = shop.hire(&app, "owner").await;
    shop.owner
        .post(&format!("{}:disable", partner.path()), json!({}))
        .await
        .expect(200);
    let erases = manager.with_permissions(&["identity.erasure.write"]);
    let erasure = json!({ "subject": "user", "id": partner.id, "reason": "asked" });
    refused(erases.post("/api/v1/erasures", erasure.clone()).await).await;
    shop.owner
        .post("/api/v1/erasures", erasure)
        .await
        .expect(202);
    // And he may do what lies within his own power.
    manager
        .post(&format!("{}:disable", cashier.path()), json!({}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_keeps_an_owner() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = format!("/api/v1/users/{}", shop.owner.user);
    let last = shop
        .owner
        .post(&format!("{first}:disable"), json!({}))
        .await
        .expect(422);
    assert_eq!(last.code(), "LAST_OWNER");
    let cashier = json!({ "name": "Asha", "role_ids": [shop.role("cashier").await] });
    assert_eq!(
        shop.owner
            .put(&first, cashier.clone(), 1)
            .await
            .expect(422)
            .code(),
        "LAST_OWNER"
    );
    // An invited owner is none yet.
    shop.invite("owner").await;
    shop.owner
        .post(&format!("{first}:disable"), json!({}))
        .await
        .expect(422);
    // Of two who remove each other at once, one stays. A lock on the table holds both back between their check and
    // their change, as far as they get.
    let second = shop.hire(&app, "owner").await;
    let mut operator = app.admin().await;
    let held = operator.transaction().await.unwrap();
    held.batch_execute("lock table app_user in share mode")
        .await
        .unwrap();
    let disable_second = format!("{}:disable", second.path());
    let both = async {
        futures::join!(
            shop.owner.post(&disable_second, json!({})),
            second.client.put(&first, cashier, 1)
        )
    };
    let release = async {
        let watch = app.admin().await;
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually(async || {
            (watch
                .query_one(waiting, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 2)
                .then_some(())
        })
        .await;
        held.commit().await.unwrap();
    };
    let ((a, b), ()) = futures::join!(both, release);
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422], "{} {}", a.text, b.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_users_by_status_role_and_page() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    for _ in 0..4 {
        shop.invite("cashier").await;
    }
    let invited = shop
        .owner
        .get("/api/v1/users?status=invited")
        .await
        .expect(200);
    assert_eq!(invited.body["total"], 4);
    let owners = shop
        .owner
        .get(&format!(
            "/api/v1/users?role_id={}",
            shop.role("owner").await
        ))
        .await
        .expect(200);
    assert_eq!(owners.body["items"][0]["email"], shop.email.as_str());
    let found = shop
        .owner
        .get(&format!(
            "/api/v1/users?email={}",
            shop.email.to_uppercase()
        ))
        .await
        .expect(200);
    assert_eq!(found.body["total"], 1);
    // A walk in every order meets everybody once.
    for sort in [
        "name:asc",
        "email:desc",
        "created_at:asc",
        "created_at:desc",
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = shop
                .owner
                .get(&format!("/api/v1/users?limit=2&sort={sort}{cursor}"))
                .await
                .expect(200);
            seen.extend(
                page.body["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|u| u["id"].as_str().unwrap().to_owned()),
            );
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 5, "{sort}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5, "{sort}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_people_roles_and_sessions_do_not_exist() {
    let app = start().await;
    let (ours, theirs) = (Shop::open(&app).await, Shop::open(&app).await);
    let user = format!("/api/v1/users/{}", theirs.owner.user);
    let role = format!("/api/v1/roles/{}", theirs.role("cashier").await);
    let session = theirs.tokens.text_at("session_id");
    ours.owner.get(&user).await.expect(404);
    ours.owner
        .get(&format!("{user}/sessions"))
        .await
        .expect(404);
    ours.owner
        .delete(&format!("{user}/sessions"), 1)
        .await
        .expect(404);
    ours.owner
        .put(&user, json!({ "name": "X", "role_ids": [] }), 1)
        .await
        .expect(404);
    for verb in ["disable", "enable", "invite", "reset-password"] {
        ours.owner
            .post(&format!("{user}:{verb}"), json!({}))
            .await
            .expect(404);
    }
    ours.owner.get(&role).await.expect(404);
    ours.owner
        .put(&role, json!({ "name": "x", "permissions": [] }), 1)
        .await
        .expect(404);
    ours.owner.delete(&role, 1).await.expect(404);
    ours.owner
        .delete(&format!("/api/v1/auth/sessions/{session}"), 1)
        .await
        .expect(404);
    let body = json!({ "email": "a@b.example.in", "name": "X", "role_ids": [theirs.role("cashier").await] });
    assert_eq!(
        ours.owner
            .post("/api/v1/users", body)
            .await
            .expect(422)
            .code(),
        "UNKNOWN_REFERENCE"
    );
    refresh(&app, &theirs.tokens.text_at("refresh_token"))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_minted_during_a_change_of_rights_is_made_after_it() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let mut operator = app.admin().await;
    let held = operator.transaction().await.unwrap();
    let not_before = chrono::Utc::now().timestamp() + 5;
    let id: uuid::Uuid = hired.id.parse().unwrap();
    held.execute(
        "update app_user set not_before = $1 where id = $2",
        &[&not_before, &id],
    )
    .await
    .unwrap();
    held.execute("delete from user_role where user_id = $1", &[&id])
        .await
        .unwrap();
    let change = async {
        let watch = app.admin().await;
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually(async || {
            (watch
                .query_one(waiting, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 1)
                .then_some(())
        })
        .await;
        held.commit().await.unwrap();
    };
    let token = hired.tokens.text_at("refresh_token");
    let (next, ()) = futures::join!(refresh(&app, &token), change);
    let access = claims(&next.expect(200).text_at("access_token"));
    assert_eq!((access.perms.len(), access.iat), (0, not_before));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_resets_his_own_password_and_no_key_resets_anything() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let hired = shop.hire(&app, "cashier").await;
    let own = format!("/api/v1/users/{}", shop.owner.user);
    let himself = format!("{own}:reset-password");
    let himself = shop.owner.post(&himself, json!({})).await;
    assert_eq!(himself.expect(422).code(), "OWN_PASSWORD");
    // A key that was made with his token is somebody else, and would do it for him.
    let key = nobody(&app).with_token(&token_of_key(shop.owner.tenant, &["*"]));
    for path in [&own, &hired.path()] {
        for verb in ["reset-password", "reset-mfa"] {
            let refused = key.post(&format!("{path}:{verb}"), json!({})).await;
            assert_eq!(refused.expect(403).code(), "FORBIDDEN", "{verb}");
        }
    }
    log_in(&app, &shop.email, PASSWORD).await.expect(200);
}
