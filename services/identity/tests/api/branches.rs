//! Roles that are good at some branches only.

use bahi_testkit::{Client, Reply};
use bahi_types::BranchId;
use serde_json::{Value, json};

use crate::{
    organisation::{Site, site, till},
    support::*,
};

async fn second(owner: &Client, first: &Site) -> String {
    let branch =
        json!({ "registration_id": first.registration, "code": "second", "name": "Second" });
    let made = owner.post("/api/v1/branches", branch).await;
    made.expect(201).text_at("id")
}

impl Shop {
    /// Somebody who has joined in a role at some branches.
    async fn hire_at(&self, app: &App, role: &str, branches: &[&str]) -> Hired {
        let hired = self.hire(app, role).await;
        let body = change(&[&self.role(role).await], json!(branches));
        self.owner.put(&hired.path(), body, 2).await.expect(200);
        let tokens = log_in(app, &hired.email, PASSWORD).await.expect(200);
        Hired {
            client: client(app, &tokens),
            tokens,
            ..hired
        }
    }
}

fn change(roles: &[&str], branches: Value) -> Value {
    json!({ "name": "Ravi", "role_ids": roles, "branch_ids": branches })
}

fn named(id: &str) -> BranchId {
    id.parse().unwrap()
}

fn elsewhere(reply: Reply) {
    assert_eq!(reply.expect(403).code(), "OTHER_BRANCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_say_where_roles_are_good_and_are_void_when_that_changes() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let other = second(&shop.owner, &first).await;
    let cashier = shop.hire(&app, "cashier").await;
    let before = cashier.tokens.text_at("access_token");
    assert!(claims(&before).branches.is_whole());
    let role = shop.role("cashier").await;
    let put = |branches: Value, version: i64| {
        let (owner, path) = (shop.owner.clone(), cashier.path());
        let body = change(&[&role], branches);
        async move { owner.put(&path, body, version).await }
    };
    let put_one = put(json!([first.branch]), 2).await.expect(200);
    assert_eq!(put_one.body["branch_ids"], json!([first.branch]));
    assert!(is_refused(&app, &before).await);
    let next = refresh(&app, &cashier.tokens.text_at("refresh_token")).await;
    let next = next.expect(200);
    let scope = claims(&next.text_at("access_token")).branches;
    assert_eq!(scope.branches(), Some(&[named(&first.branch)][..]));
    assert!(!scope.has(named(&other)));
    let me = client(&app, &next).get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.body["branch_ids"], json!([first.branch]));
    let said = said(&app, "user.updated", &cashier.id).await;
    assert_eq!(said.last().unwrap()["branch_ids"], json!([first.branch]));

    // What says nothing of branches leaves them; `null` is all of them.
    let silent = json!({ "name": "Ravi K", "role_ids": [role] });
    let kept = shop.owner.put(&cashier.path(), silent, 3).await.expect(200);
    assert_eq!(kept.body["branch_ids"], json!([first.branch]));
    let all = put(Value::Null, 4).await.expect(200);
    assert_eq!(all.body["branch_ids"], Value::Null);

    let owner = change(&[&shop.role("owner").await], json!([first.branch]));
    shop.owner.put(&cashier.path(), owner, 5).await.expect(400);
    put(json!([]), 5).await.expect(400);
    put(json!([BranchId::new()]), 5).await.expect(400);
    let foreign = site(&Shop::open(&app).await.owner).await.branch;
    put(json!([foreign]), 5).await.expect(400);
    let trail = audited(&app, shop.owner.tenant).await;
    let changes = trail.iter().filter(|a| *a == "identity.user.set_branches");
    assert_eq!(changes.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_beyond_his_branches() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let other = second(&shop.owner, &first).await;
    let manager = shop.hire_at(&app, "manager", &[&first.branch]).await;
    let colleague = shop.hire_at(&app, "cashier", &[&first.branch]).await;
    let abroad = shop.hire_at(&app, "cashier", &[&other]).await;
    let everywhere = shop.hire(&app, "cashier").await;
    let role = shop.role("cashier").await;
    let boss = &manager.client;

    let invite = |branches: Value| {
        let email = format!("{}@{}.example.in", unique("user"), shop.slug);
        let body =
            json!({ "email": email, "name": "New", "role_ids": [role], "branch_ids": branches });
        async move { boss.post("/api/v1/users", body).await }
    };
    elsewhere(invite(Value::Null).await);
    elsewhere(invite(json!([first.branch, other])).await);
    invite(json!([first.branch])).await.expect(201);

    for beyond in [&abroad, &everywhere] {
        for verb in ["disable", "reset-password"] {
            let path = format!("{}:{verb}", beyond.path());
            elsewhere(boss.post(&path, json!({})).await);
        }
        elsewhere(boss.delete(&format!("{}/sessions", beyond.path()), 0).await);
        let version = if beyond.id == abroad.id { 3 } else { 2 };
        let body = change(&[&role], json!([first.branch]));
        elsewhere(boss.put(&beyond.path(), body, version).await);
    }
    elsewhere(
        boss.put(&colleague.path(), change(&[&role], json!([other])), 3)
            .await,
    );
    elsewhere(
        boss.put(&colleague.path(), change(&[&role], Value::Null), 3)
            .await,
    );
    let path = format!("{}:disable", colleague.path());
    boss.post(&path, json!({})).await.expect(200);

    let list = |branch: &str| format!("/api/v1/users?branch_id={branch}");
    let at_other = shop.owner.get(&list(&other)).await.expect(200);
    let ids: Vec<_> = at_other.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["id"])
        .collect();
    assert!(ids.contains(&&json!(abroad.id)) && ids.contains(&&json!(everywhere.id)));
    assert!(!ids.contains(&&json!(manager.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_of_a_business_are_not_for_who_works_for_a_part_of_it() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let branch = named(&site(&shop.owner).await.branch);
    let local = shop.owner.at_branches(&["*"], &[branch]);
    elsewhere(local.post("/api/v1/tenant-exports", json!({})).await);
    let asked = shop.owner.post("/api/v1/tenant-exports", json!({})).await;
    let path = format!("/api/v1/tenant-exports/{}", asked.expect(202).text_at("id"));
    elsewhere(local.get(&path).await);
    shop.owner.get(&path).await.expect(200);
    let body = json!({ "subject": "customer", "id": BranchId::new(), "reason": "asked for" });
    elsewhere(local.post("/api/v1/erasures", body).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_no_further_than_its_maker() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let role =
        json!({ "name": "keys", "permissions": ["identity.api_key.write", "sales.invoice.read"] });
    shop.owner.post("/api/v1/roles", role).await.expect(201);
    let maker = shop.hire_at(&app, "keys", &[&first.branch]).await;
    let end = app.clock.now() + chrono::TimeDelta::days(30);
    let body =
        json!({ "name": "Web shop", "permissions": ["sales.invoice.read"], "expires_at": end });
    let key = maker
        .client
        .post("/api/v1/api-keys", body)
        .await
        .expect(201);
    let gateway = nobody(&app).with_token(&app.service_token("api-gateway", shop.owner.tenant));
    let verify = async || {
        let body = json!({ "key": key.body["key"] });
        gateway
            .post("/internal/v1/api-keys:verify", body)
            .await
            .expect(200)
            .body
    };
    assert_eq!(verify().await["branches"], json!([first.branch]));
    let role = shop.role("keys").await;
    let body = change(&[&role], Value::Null);
    shop.owner.put(&maker.path(), body, 3).await.expect(200);
    assert_eq!(verify().await["branches"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_holds_is_changed_by_who_works_everywhere() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let branch = named(&site(&shop.owner).await.branch);
    let local = shop.owner.at_branches(&["*"], &[branch]);
    let role = |name: &str, held: &str| json!({ "name": name, "permissions": [held] });
    let made = local.post("/api/v1/roles", role("Helper", "sales.pos.use"));
    let path = format!("/api/v1/roles/{}", made.await.expect(201).text_at("id"));
    // The name alone changes nobody's rights.
    let renamed = local.put(&path, role("Help", "sales.pos.use"), 1).await;
    renamed.expect(200);
    elsewhere(local.put(&path, role("Help", "sales.pos.*"), 2).await);
    elsewhere(local.delete(&path, 2).await);
    let wider = shop.owner.put(&path, role("Help", "sales.pos.*"), 2).await;
    wider.expect(200);
    shop.owner.delete(&path, 3).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_anew_and_ended_by_who_works_wherever_its_maker_does() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let other = second(&shop.owner, &first).await;
    let role =
        json!({ "name": "keys", "permissions": ["identity.api_key.write", "sales.invoice.read"] });
    shop.owner.post("/api/v1/roles", role).await.expect(201);
    let here = shop.hire_at(&app, "keys", &[&first.branch]).await;
    let both = [first.branch.as_str(), other.as_str()];
    let at_both = shop.hire_at(&app, "keys", &both).await;
    let end = app.clock.now() + chrono::TimeDelta::days(30);
    let make = async |who: &Client| {
        let body =
            json!({ "name": "Shop", "permissions": ["sales.invoice.read"], "expires_at": end });
        let made = who.post("/api/v1/api-keys", body).await.expect(201);
        format!("/api/v1/api-keys/{}", made.text_at("id"))
    };
    let (far, near) = (make(&at_both.client).await, make(&here.client).await);
    for verb in ["rotate", "revoke"] {
        let path = format!("{far}:{verb}");
        elsewhere(here.client.post(&path, json!({})).await);
        let path = format!("{near}:{verb}");
        at_both.client.post(&path, json!({})).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_its_tills_and_its_locations_are_changed_by_who_works_there() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let first = site(&shop.owner).await;
    let branch = second(&shop.owner, &first).await;
    let place =
        |branch: &str, code: &str| json!({ "branch_id": branch, "code": code, "name": "Floor" });
    let made = shop
        .owner
        .post("/api/v1/locations", place(&branch, "l2"))
        .await;
    let other = Site {
        registration: first.registration.clone(),
        branch,
        location: made.expect(201).text_at("id"),
    };
    let made = shop.owner.post("/api/v1/tills", till(&other, "t2", "P2"));
    let far = format!("/api/v1/tills/{}", made.await.expect(201).text_at("id"));
    let local = shop.owner.at_branches(&["*"], &[named(&first.branch)]);
    let set = |code: &str| json!({ "code": code, "name": "Mine", "active": true, "upi_vpa": "mine@okbank" });
    let set_place = |code: &str| json!({ "code": code, "name": "Mine", "active": true });
    let set_till = |site: &Site, code: &str| json!({ "code": code, "name": "Mine", "location_id": site.location, "round_to_rupee": true, "active": false });

    // Nobody but who works for all of them opens another one.
    let third = json!({ "registration_id": first.registration, "code": "third", "name": "Third" });
    elsewhere(local.post("/api/v1/branches", third).await);
    // The company and its registrations are everybody's.
    let company = shop.owner.get("/api/v1/company").await.expect(200).body;
    let change = json!({ "legal_name": "Mine", "currency": "INR", "require_mfa": false });
    let version = company["version"].as_i64().unwrap();
    elsewhere(local.put("/api/v1/company", change, version).await);
    let registration = json!({ "legal_name": "Mine", "state_code": "29" });
    elsewhere(local.post("/api/v1/registrations", registration).await);
    let path = |what: &str, id: &str| format!("/api/v1/{what}/{id}");
    elsewhere(
        local
            .put(&path("branches", &other.branch), set("second"), 1)
            .await,
    );
    elsewhere(
        local
            .post("/api/v1/locations", place(&other.branch, "l3"))
            .await,
    );
    elsewhere(
        local
            .put(&path("locations", &other.location), set_place("l2"), 1)
            .await,
    );
    elsewhere(local.post("/api/v1/tills", till(&other, "t3", "P3")).await);
    elsewhere(local.put(&far, set_till(&other, "t2"), 1).await);
    let update = "mutation($id: ID!, $i: BranchChange!) { updateBranch(id: $id, version: 1, input: $i) { version } }";
    let asked =
        json!({ "id": other.branch, "i": { "code": "second", "name": "Mine", "active": true } });
    let refused = local.graphql(update, asked).await.expect(200);
    let code = &refused.body["errors"][0]["extensions"]["code"];
    assert_eq!(code, "OTHER_BRANCH");
    let untouched = local
        .get(&path("branches", &other.branch))
        .await
        .expect(200);
    assert_eq!(untouched.body["version"], 1);

    local
        .put(&path("branches", &first.branch), set("main"), 1)
        .await
        .expect(200);
    local
        .post("/api/v1/locations", place(&first.branch, "l3"))
        .await
        .expect(201);
    local
        .put(&path("locations", &first.location), set_place("shop"), 1)
        .await
        .expect(200);
    let near = local
        .post("/api/v1/tills", till(&first, "t3", "P3"))
        .await
        .expect(201);
    let near = path("tills", &near.text_at("id"));
    local
        .put(&near, set_till(&first, "t3"), 1)
        .await
        .expect(200);
}
