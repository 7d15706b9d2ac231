//! Roles.

use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_made_changed_and_deleted() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let permissions = json!(["sales.pos.use", "product.product.read", "sales.pos.use"]);
    let made = shop
        .owner
        .post(
            "/api/v1/roles",
            json!({ "name": "Helper", "permissions": permissions }),
        )
        .await
        .expect(201);
    let id = made.text_at("id");
    let path = format!("/api/v1/roles/{id}");
    assert_eq!(
        made.body["permissions"],
        json!(["product.product.read", "sales.pos.use"])
    );
    assert_eq!(made.header("etag"), Some("\"1\""));
    let taken = shop
        .owner
        .post(
            "/api/v1/roles",
            json!({ "name": "helper", "permissions": [] }),
        )
        .await
        .expect(409);
    assert_eq!(taken.code(), "ROLE_NAME_TAKEN");

    shop.owner
        .put(
            &path,
            json!({ "name": "Help", "permissions": ["sales.pos.*"] }),
            1,
        )
        .await
        .expect(200);
    assert_eq!(
        shop.owner
            .put(&path, json!({ "name": "Help", "permissions": [] }), 1)
            .await
            .expect(412)
            .code(),
        "STALE_VERSION"
    );
    shop.owner.delete(&path, 1).await.expect(412);
    shop.owner.delete(&path, 2).await.expect(204);
    shop.owner.get(&path).await.expect(404);
    let events = app.events().await;
    let said: Vec<_> = events
        .iter()
        .filter(|e| e.aggregate_id == id)
        .map(|e| (e.event_type.as_str(), e.aggregate_version))
        .collect();
    assert_eq!(
        said,
        [
            ("role.created", 1),
            ("role.updated", 2),
            ("role.deleted", 3)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_permissions_reaches_everybody_who_has_the_role() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let cashiers = [
        shop.hire(&app, "cashier").await,
        shop.hire(&app, "cashier").await,
    ];
    let auditor = shop.hire(&app, "auditor").await;
    let path = format!("/api/v1/roles/{}", shop.role("cashier").await);
    let before = shop.owner.get(&path).await.expect(200).body["permissions"].clone();
    // A new name changes nobody's rights.
    shop.owner
        .put(&path, json!({ "name": "till", "permissions": before }), 1)
        .await
        .expect(200);
    assert!(!is_refused(&app, &cashiers[0].tokens.text_at("access_token")).await);
    shop.owner
        .put(
            &path,
            json!({ "name": "till", "permissions": ["sales.pos.read"] }),
            2,
        )
        .await
        .expect(200);
    for cashier in &cashiers {
        assert!(is_refused(&app, &cashier.tokens.text_at("access_token")).await);
        let next = refresh(&app, &cashier.tokens.text_at("refresh_token"))
            .await
            .expect(200);
        assert_eq!(
            claims(&next.text_at("access_token")).perms,
            ["sales.pos.read"]
        );
        assert!(!is_refused(&app, &next.text_at("access_token")).await);
    }
    assert!(!is_refused(&app, &auditor.tokens.text_at("access_token")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_role_and_roles_in_use_stay() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let owner = format!("/api/v1/roles/{}", shop.role("owner").await);
    let change = json!({ "name": "boss", "permissions": ["sales.*"] });
    assert_eq!(
        shop.owner.put(&owner, change, 1).await.expect(422).code(),
        "OWNER_ROLE_FIXED"
    );
    assert_eq!(
        shop.owner.delete(&owner, 1).await.expect(422).code(),
        "OWNER_ROLE_FIXED"
    );
    shop.invite("cashier").await;
    let cashier = format!("/api/v1/roles/{}", shop.role("cashier").await);
    assert_eq!(
        shop.owner.delete(&cashier, 1).await.expect(409).code(),
        "ROLE_IN_USE"
    );
    // Who holds less than the role does may not touch it.
    let limited = shop
        .owner
        .with_permissions(&["identity.role.*", "sales.pos.use"]);
    let narrowed = json!({ "name": "cashier", "permissions": ["sales.pos.use"] });
    assert_eq!(
        limited.put(&cashier, narrowed, 1).await.expect(403).code(),
        "ESCALATION"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_role_waits_for_its_change() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let manager = shop.hire(&app, "manager").await;
    let cashier = shop.hire(&app, "cashier").await;
    let role = async |name: &str| {
        let body = json!({ "name": name, "permissions": ["sales.pos.use"] });
        let made = shop.owner.post("/api/v1/roles", body).await;
        made.expect(201).text_at("id")
    };
    let (one, two) = (role("one").await, role("two").await);
    // What it held a moment ago he could give.
    let widen = "update role set permissions = '{*}' where id = $1";
    let body = json!({ "email": "new@x.example.in", "name": "New", "role_ids": [one] });
    let asked = manager.client.post("/api/v1/users", body);
    let reply = meanwhile(&app, (widen, &one), asked, async {}).await;
    assert_eq!(reply.expect(403).code(), "ESCALATION");

    let body = json!({ "name": "Ravi", "role_ids": [two] });
    let path = cashier.path();
    let asked = manager.client.put(&path, body, 2);
    // He has not locked the user yet: who changes a role locks it first, and then those who have it.
    let free = async {
        let id: uuid::Uuid = cashier.id.parse().unwrap();
        let lock = "select id from app_user where id = $1 for update nowait";
        app.admin().await.query_one(lock, &[&id]).await.unwrap();
    };
    let reply = meanwhile(&app, (widen, &two), asked, free).await;
    assert_eq!(reply.expect(403).code(), "ESCALATION");
    let kept = shop.owner.get(&path).await.expect(200);
    assert_eq!(kept.body["role_ids"], json!([shop.role("cashier").await]));
}
