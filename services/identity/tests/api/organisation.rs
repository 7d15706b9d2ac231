//! Company, registrations, branches, locations, tills.

use bahi_testkit::{Client, Reply};
use serde_json::{Value, json};

use crate::support::*;

const GSTIN: &str = "27AAPFU0939F1ZV";

pub struct Site {
    pub registration: String,
    pub branch: String,
    pub location: String,
}

pub async fn site(owner: &Client) -> Site {
    let made = |reply: Reply| reply.expect(201).text_at("id");
    let registration = made(
        owner
            .post(
                "/api/v1/registrations",
                json!({ "gstin": GSTIN, "legal_name": "U Foods" }),
            )
            .await,
    );
    let branch = json!({ "registration_id": registration, "code": "main", "name": "Main" });
    let branch = made(owner.post("/api/v1/branches", branch).await);
    let location = made(
        owner
            .post(
                "/api/v1/locations",
                json!({ "branch_id": branch, "code": "shop", "name": "Shop floor" }),
            )
            .await,
    );
    Site {
        registration,
        branch,
        location,
    }
}

pub fn till(site: &Site, code: &str, series: &str) -> Value {
    json!({ "branch_id": site.branch, "location_id": site.location, "code": code, "name": "Till", "series": series, "round_to_rupee": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_has_an_address_that_stays_until_another_is_given() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let path = format!("/api/v1/branches/{}", site.branch);
    let change = json!({ "code": "main", "name": "Main", "active": true,
        "address": "12 MG Road\nMumbai 400001", "phone": "022 2345 6789" });
    shop.owner.put(&path, change, 1).await.expect(200);
    let renamed = json!({ "code": "main", "name": "First", "active": true });
    let branch = shop.owner.put(&path, renamed, 2).await.expect(200).body;
    assert_eq!(
        (&branch["name"], &branch["address"], &branch["phone"]),
        (
            &json!("First"),
            &json!("12 MG Road\nMumbai 400001"),
            &json!("022 2345 6789")
        )
    );
    let said = app.events().await;
    let said = said.iter().rfind(|e| e.event_type == "branch.updated");
    assert_eq!(
        said.unwrap().payload["address"],
        "12 MG Road\nMumbai 400001"
    );
    for (field, value) in [("phone", json!("call me")), ("address", json!(""))] {
        let mut change = json!({ "code": "main", "name": "Main", "active": true });
        change[field] = value;
        let refused = shop.owner.put(&path, change, 3).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_sets_itself_up_and_tells_everybody() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let made = shop
        .owner
        .post("/api/v1/tills", till(&site, "t1", "p1"))
        .await
        .expect(201);
    assert_eq!(
        (&made.body["series"], &made.body["code"]),
        (&json!("P1"), &json!("T1"))
    );
    assert_eq!(made.body["registration_id"], site.registration.as_str());
    let told = said(&app, "till.created", &made.text_at("id")).await;
    assert_eq!(
        told[0],
        json!({ "till_id": made.text_at("id"), "branch_id": site.branch, "location_id": site.location, "code": "T1",
                "name": "Till", "series": "P1", "round_to_rupee": true, "active": true })
    );
    assert_eq!(
        said(&app, "registration.created", &site.registration).await[0]["state_code"],
        "27"
    );
    assert_eq!(
        said(&app, "branch.created", &site.branch).await[0]["registration_id"],
        site.registration.as_str()
    );
    assert_eq!(
        said(&app, "location.created", &site.location).await[0]["code"],
        "SHOP"
    );

    let path = format!("/api/v1/tills/{}", made.text_at("id"));
    let change = json!({ "code": "t1", "name": "Front till", "location_id": site.location, "round_to_rupee": false, "active": true });
    let changed = shop.owner.put(&path, change.clone(), 1).await.expect(200);
    assert_eq!(
        (&changed.body["name"], &changed.body["version"]),
        (&json!("Front till"), &json!(2))
    );
    shop.owner.put(&path, change, 1).await.expect(412);
    assert_eq!(
        said(&app, "till.updated", &made.text_at("id")).await.len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_company_and_its_registrations_have_one_pan() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let company = |pan: Value| json!({ "legal_name": "U Foods LLP", "trade_name": "U", "pan": pan, "currency": "INR" });
    let changed = shop
        .owner
        .put("/api/v1/company", company(json!("aapfu0939f")), 1)
        .await
        .expect(200);
    assert_eq!(changed.body["pan"], "AAPFU0939F");
    shop.owner
        .put("/api/v1/company", company(Value::Null), 1)
        .await
        .expect(412);
    assert_eq!(
        said(&app, "company.updated", &shop.owner.tenant.to_string())
            .await
            .len(),
        2
    );

    let path = "/api/v1/registrations";
    shop.owner
        .post(path, json!({ "gstin": GSTIN, "legal_name": "U" }))
        .await
        .expect(201);
    let foreign = shop
        .owner
        .post(
            path,
            json!({ "gstin": "29AAACR5055K1Z7", "legal_name": "U" }),
        )
        .await;
    // Whether or not its check digit is right, it is not ours.
    assert!([400, 422].contains(&foreign.status), "{}", foreign.text);
    let refused = shop
        .owner
        .put("/api/v1/company", company(json!("AAACR5055K")), 2)
        .await
        .expect(422);
    assert_eq!(refused.code(), "PAN_MISMATCH");
    shop.owner
        .put("/api/v1/company", company(Value::Null), 2)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstin_is_unique_comes_once_and_stays() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let path = "/api/v1/registrations";
    let unregistered = shop
        .owner
        .post(path, json!({ "state_code": "27", "legal_name": "U" }))
        .await
        .expect(201);
    let one = format!("{path}/{}", unregistered.text_at("id"));
    let with = |gstin: Value| json!({ "gstin": gstin, "legal_name": "U", "active": true });
    assert_eq!(
        shop.owner
            .put(&one, with(json!(GSTIN)), 1)
            .await
            .expect(200)
            .body["gstin"],
        GSTIN
    );
    assert_eq!(
        shop.owner
            .put(&one, with(Value::Null), 2)
            .await
            .expect(422)
            .code(),
        "GSTIN_FIXED"
    );
    let taken = shop
        .owner
        .post(path, json!({ "gstin": GSTIN, "legal_name": "U" }))
        .await
        .expect(409);
    assert_eq!(taken.code(), "GSTIN_TAKEN");
    // In another tenant it is free: who is the impostor is not ours to say.
    Shop::open(&app)
        .await
        .owner
        .post(path, json!({ "gstin": GSTIN, "legal_name": "U" }))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_series_are_taken_once_a_series_for_ever() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let first = shop
        .owner
        .post("/api/v1/tills", till(&site, "t1", "P1"))
        .await
        .expect(201);
    let post = |body: Value| shop.owner.post("/api/v1/tills", body);
    assert_eq!(
        post(till(&site, "T1", "P2")).await.expect(409).code(),
        "CODE_TAKEN"
    );
    assert_eq!(
        post(till(&site, "t2", "p1")).await.expect(409).code(),
        "SERIES_TAKEN"
    );
    // A retired till keeps its series.
    let retire = json!({ "code": "t1", "name": "Till", "location_id": site.location, "round_to_rupee": true, "active": false });
    shop.owner
        .put(&format!("/api/v1/tills/{}", first.text_at("id")), retire, 1)
        .await
        .expect(200);
    assert_eq!(
        post(till(&site, "t2", "P1")).await.expect(409).code(),
        "SERIES_TAKEN"
    );
    // Under another registration the same series is another one.
    let other = shop
        .owner
        .post(
            "/api/v1/registrations",
            json!({ "state_code": "29", "legal_name": "U" }),
        )
        .await
        .expect(201);
    let branch =
        json!({ "registration_id": other.text_at("id"), "code": "blr", "name": "Bengaluru" });
    let branch = shop
        .owner
        .post("/api/v1/branches", branch)
        .await
        .expect(201)
        .text_at("id");
    let location = json!({ "branch_id": branch, "code": "blr", "name": "Floor" });
    let location = shop
        .owner
        .post("/api/v1/locations", location)
        .await
        .expect(201)
        .text_at("id");
    let elsewhere = Site {
        registration: other.text_at("id"),
        branch,
        location,
    };
    post(till(&elsewhere, "b1", "P1")).await.expect(201);
    // A till sells from its own branch.
    let mixed = Site {
        location: site.location.clone(),
        ..elsewhere
    };
    let refused = post(till(&mixed, "b2", "P2")).await.expect(422);
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("UNKNOWN_REFERENCE", &json!("location_id"))
    );
    assert_eq!(mixed.registration, other.text_at("id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_closes_over_what_is_open_nor_opens_under_what_is_closed() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let till_id = shop
        .owner
        .post("/api/v1/tills", till(&site, "t1", "P1"))
        .await
        .expect(201)
        .text_at("id");
    let registration = format!("/api/v1/registrations/{}", site.registration);
    let branch = format!("/api/v1/branches/{}", site.branch);
    let location = format!("/api/v1/locations/{}", site.location);
    let till_path = format!("/api/v1/tills/{till_id}");
    let close_registration = json!({ "gstin": GSTIN, "legal_name": "U", "active": false });
    let set = |active: bool| json!({ "code": "main", "name": "Main", "active": active });
    let set_till = |active: bool| json!({ "code": "t1", "name": "T", "location_id": site.location, "round_to_rupee": true, "active": active });

    for (path, body) in [
        (&registration, close_registration.clone()),
        (&branch, set(false)),
        (&location, set(false)),
    ] {
        assert_eq!(
            shop.owner.put(path, body, 1).await.expect(422).code(),
            "STILL_IN_USE",
            "{path}"
        );
    }
    shop.owner
        .put(&till_path, set_till(false), 1)
        .await
        .expect(200);
    assert_eq!(
        shop.owner
            .put(&branch, set(false), 1)
            .await
            .expect(422)
            .code(),
        "STILL_IN_USE"
    );
    shop.owner.put(&location, set(false), 1).await.expect(200);
    shop.owner.put(&branch, set(false), 1).await.expect(200);
    shop.owner
        .put(&registration, close_registration, 1)
        .await
        .expect(200);

    let closed = |reply: Reply| assert_eq!(reply.expect(422).code(), "CLOSED_REFERENCE");
    let new_branch = json!({ "registration_id": site.registration, "code": "b2", "name": "B" });
    closed(shop.owner.post("/api/v1/branches", new_branch).await);
    closed(shop.owner.put(&branch, set(true), 2).await);
    closed(
        shop.owner
            .post(
                "/api/v1/locations",
                json!({ "branch_id": site.branch, "code": "l2", "name": "L" }),
            )
            .await,
    );
    closed(shop.owner.put(&location, set(true), 2).await);
    closed(
        shop.owner
            .post("/api/v1/tills", till(&site, "t2", "P2"))
            .await,
    );
    closed(shop.owner.put(&till_path, set_till(true), 2).await);
    let active = shop
        .owner
        .get("/api/v1/tills?active=true")
        .await
        .expect(200);
    assert_eq!(active.body["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_organisation_does_not_exist() {
    let app = start().await;
    let (ours, theirs) = (Shop::open(&app).await, Shop::open(&app).await);
    let site = site(&theirs.owner).await;
    let till_id = theirs
        .owner
        .post("/api/v1/tills", till(&site, "t1", "P1"))
        .await
        .expect(201)
        .text_at("id");
    let change = json!({ "code": "x", "name": "X", "active": true });
    let mut of_till = change.clone();
    of_till["location_id"] = json!(site.location);
    of_till["round_to_rupee"] = json!(true);
    for (path, body) in [
        (
            format!("/api/v1/registrations/{}", site.registration),
            json!({ "gstin": GSTIN, "legal_name": "U", "active": true }),
        ),
        (format!("/api/v1/branches/{}", site.branch), change.clone()),
        (format!("/api/v1/locations/{}", site.location), change),
        (format!("/api/v1/tills/{till_id}"), of_till),
    ] {
        ours.owner.get(&path).await.expect(404);
        ours.owner.put(&path, body, 1).await.expect(404);
    }
    let foreign = |reply: Reply| assert_eq!(reply.expect(422).code(), "UNKNOWN_REFERENCE");
    foreign(
        ours.owner
            .post(
                "/api/v1/branches",
                json!({ "registration_id": site.registration, "code": "b", "name": "B" }),
            )
            .await,
    );
    foreign(
        ours.owner
            .post(
                "/api/v1/locations",
                json!({ "branch_id": site.branch, "code": "l", "name": "L" }),
            )
            .await,
    );
    foreign(
        ours.owner
            .post("/api/v1/tills", till(&site, "t2", "P2"))
            .await,
    );
    for list in ["registrations", "branches", "locations", "tills"] {
        assert_eq!(
            ours.owner
                .get(&format!("/api/v1/{list}"))
                .await
                .expect(200)
                .body["total"],
            0,
            "{list}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_sorted_and_paged() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    for n in 1..=5 {
        shop.owner
            .post(
                "/api/v1/tills",
                till(&site, &format!("t{n}"), &format!("P{n}")),
            )
            .await
            .expect(201);
    }
    let codes = |reply: &Reply| -> Vec<String> {
        reply.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["code"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = shop
        .owner
        .get(&format!("/api/v1/tills?limit=2&branch_id={}", site.branch))
        .await
        .expect(200);
    assert_eq!(
        (codes(&first), &first.body["total"]),
        (vec!["T1".into(), "T2".into()], &json!(5))
    );
    let second = shop
        .owner
        .get("/api/v1/tills?limit=2&page=2")
        .await
        .expect(200);
    let after = shop
        .owner
        .get(&format!(
            "/api/v1/tills?limit=2&cursor={}",
            first.text_at("next_cursor")
        ))
        .await
        .expect(200);
    assert_eq!(codes(&second), ["T3", "T4"]);
    assert_eq!(codes(&after), codes(&second));
    let backwards = shop
        .owner
        .get("/api/v1/tills?limit=3&sort=code:desc")
        .await
        .expect(200);
    assert_eq!(codes(&backwards), ["T5", "T4", "T3"]);
    for wrong in [
        "sort=series",
        "sort=code:up",
        "cursor=xyz",
        "branch_id=1",
        "active=perhaps",
    ] {
        shop.owner
            .get(&format!("/api/v1/tills?{wrong}"))
            .await
            .expect(400);
    }
    let by_time = shop
        .owner
        .get("/api/v1/tills?limit=2&sort=created_at:desc")
        .await
        .expect(200);
    let next = by_time.text_at("next_cursor");
    let rest = shop
        .owner
        .get(&format!(
            "/api/v1/tills?limit=2&sort=created_at:desc&cursor={next}"
        ))
        .await
        .expect(200);
    assert_eq!(codes(&rest), ["T3", "T2"]);
    shop.owner
        .get(&format!(
            "/api/v1/tills?sort=created_at&cursor={}",
            first.text_at("next_cursor")
        ))
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_place_is_in_the_trail_with_what_was_there_before() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let site = site(&shop.owner).await;
    let made = shop.owner.post("/api/v1/tills", till(&site, "t1", "P1"));
    let till_id = made.await.expect(201).text_at("id");
    let path = format!("/api/v1/branches/{}", site.branch);
    // Somebody has the customers of a day pay to another address, and puts it back.
    for (version, vpa) in [(1, "shop@okbank"), (2, "thief@okbank"), (3, "shop@okbank")] {
        let set = json!({ "code": "main", "name": "Main", "active": true, "upi_vpa": vpa });
        shop.owner.put(&path, set, version).await.expect(200);
    }
    let path = format!("/api/v1/tills/{till_id}");
    let retire = json!({ "code": "t1", "name": "Till", "location_id": site.location, "round_to_rupee": true, "active": false });
    shop.owner.put(&path, retire, 1).await.expect(200);
    let path = format!("/api/v1/locations/{}", site.location);
    let close = json!({ "code": "shop", "name": "Old shop", "active": false });
    shop.owner.put(&path, close, 1).await.expect(200);

    let tenant = shop.owner.tenant;
    assert_eq!(
        audited(&app, tenant).await,
        [
            "identity.tenant.register",
            "identity.registration.create",
            "identity.branch.create",
            "identity.location.create",
            "identity.till.create",
            "identity.branch.update",
            "identity.branch.update",
            "identity.branch.update",
            "identity.till.update",
            "identity.location.update",
        ]
    );
    let told = async |action: &'static str| details_of(&app, tenant, action).await;
    let of_branch = |vpa: Value| {
        json!({ "registration_id": site.registration, "code": "MAIN", "name": "Main", "address": null, "phone": null,
            "upi_vpa": vpa, "active": true })
    };
    assert_eq!(
        told("identity.branch.create").await,
        [of_branch(Value::Null)]
    );
    let (shops, thiefs) = (json!("shop@okbank"), json!("thief@okbank"));
    let step = |from: &Value, to: &Value| json!({ "before": of_branch(from.clone()), "after": of_branch(to.clone()) });
    assert_eq!(
        told("identity.branch.update").await,
        [
            step(&Value::Null, &shops),
            step(&shops, &thiefs),
            step(&thiefs, &shops)
        ]
    );
    let of_till = |active: bool| {
        json!({ "branch_id": site.branch, "location_id": site.location, "code": "T1", "name": "Till", "series": "P1",
            "round_to_rupee": true, "active": active })
    };
    assert_eq!(told("identity.till.create").await, [of_till(true)]);
    let retired = json!({ "before": of_till(true), "after": of_till(false) });
    assert_eq!(told("identity.till.update").await, [retired]);
    let of_location = |name: &str, active: bool| json!({ "branch_id": site.branch, "code": "SHOP", "name": name, "active": active });
    assert_eq!(
        told("identity.location.create").await,
        [of_location("Shop floor", true)]
    );
    let closed = json!({ "before": of_location("Shop floor", true), "after": of_location("Old shop", false) });
    assert_eq!(told("identity.location.update").await, [closed]);
}
