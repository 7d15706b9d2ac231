//! Which passwords are taken.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bahi_types::Clock;
use serde_json::json;

use crate::support::*;

fn sha1(text: &str) -> String {
    hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_a_password_that_is_known_or_that_his_neighbours_would_try() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let register = async |password: &str| {
        let body = json!({ "tenant_name": "Gupta General Stores", "name": "Meera Gupta-Rao", "email": "meera.gupta@x.example.in", "password": password });
        post(&app, "/api/v1/auth/register", body).await
    };
    let invited = shop.invite("cashier").await;
    let accept = async |password: &str| {
        let body = json!({ "token": invited.text_at("token"), "password": password });
        post(&app, "/api/v1/auth/invitations:accept", body).await
    };
    let hired = shop.hire(&app, "cashier").await;
    let reset = shop
        .owner
        .post(&format!("{}:reset-password", hired.path()), json!({}))
        .await
        .expect(200);
    let complete = async |password: &str| {
        let body = json!({ "token": reset.text_at("token"), "new_password": password });
        post(&app, "/api/v1/auth/password-resets:complete", body).await
    };
    let change = async |password: &str| {
        let body = json!({ "old_password": PASSWORD, "new_password": password });
        shop.owner.post("/api/v1/auth/password", body).await
    };
    let breached = "Q1w2e3r4t5y6";
    for refused in [
        register(breached).await,
        accept(breached).await,
        complete(breached).await,
        change(breached).await,
    ] {
        assert_eq!((refused.status, refused.code()), (422, "PASSWORD_BREACHED"));
        assert!(!refused.text.contains(breached));
    }
    for (password, code) in [
        ("gupta general stores", "PASSWORD_IS_NAME"),
        ("MeeraGuptaRao", "PASSWORD_IS_NAME"),
        ("Meera Gupta", "PASSWORD_IS_ADDRESS"),
    ] {
        assert_eq!(
            register(password).await.expect(422).code(),
            code,
            "{password}"
        );
    }
    for refused in [
        accept("sharma & sons").await,
        complete("sharma & sons").await,
        change("sharma & sons").await,
    ] {
        assert_eq!((refused.status, refused.code()), (422, "PASSWORD_IS_NAME"));
    }
    // Neither signs nor capitals nor digits are asked for, and what was refused has used nothing up.
    for taken in [
        accept("only small letters").await.expect(200),
        complete("लंबा सा पासवर्ड").await.expect(204),
        change(&"x y ".repeat(32)).await.expect(200),
    ] {
        assert_eq!(taken.code(), "");
    }
    log_in(&app, &shop.email, &"x y ".repeat(32))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_of_breached_passwords_is_asked_where_there_is_one() {
    let mut lines: Vec<_> = (0..1000)
        .map(|n| format!("{}:{n}\r\n", sha1(&format!("known for long {n}"))))
        .collect();
    lines.sort();
    let file = std::env::temp_dir().join(unique(&format!("bahi-pwned-{}", std::process::id())));
    std::fs::write(&file, lines.concat()).unwrap();
    let settings = [("BAHI_BREACHED_PASSWORDS", file.to_str().unwrap())];
    let app = App::start_with(identity::app(), &settings, Clock::System).await;
    std::fs::remove_file(&file).unwrap();
    let shop = Shop::open(&app).await;
    let change = async |password: &str| {
        let body = json!({ "old_password": PASSWORD, "new_password": password });
        shop.owner.post("/api/v1/auth/password", body).await
    };
    for n in [0, 77, 999] {
        let refused = change(&format!("known for long {n}")).await.expect(422);
        assert_eq!(refused.code(), "PASSWORD_BREACHED");
    }
    change("1234567890").await.expect(422);
    change("known for long 1000").await.expect(200);
}
