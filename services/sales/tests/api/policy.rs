//! How far a cashier may go with a price: caps, approvals, cost; and what else a till asks for.

use bahi_events::{BRANCH_UPDATED, PRODUCT_UPDATED, STOCK_REVALUED};
use bahi_http::{APPROVAL, AUDIENCE_APPROVAL, Approval, Signer};
use bahi_testkit::{Client, Reply, test_env};
use bahi_types::{ProductId, TillId, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Shop;

const POS: [&str; 3] = ["sales.pos.use", "sales.invoice.read", "sales.return.write"];

impl Shop {
    /// A cashier at the till who may do this too.
    pub fn clerk(&self, more: &[&str]) -> Client {
        self.cashier(&[&POS[..], more].concat())
    }

    /// What identity gives against a manager's PIN.
    pub fn approval(&self, invoice: Uuid, permissions: &[&str]) -> Approval {
        let iat = chrono::Utc::now().timestamp();
        Approval {
            iss: "identity".into(),
            aud: AUDIENCE_APPROVAL.into(),
            sub: UserId::new(),
            name: "Meera".into(),
            tid: self.tenant(),
            act: self.owner.user,
            perms: permissions.iter().map(|p| (*p).to_owned()).collect(),
            doc: invoice,
            till: Some(self.till),
            reason: "Torn packet".into(),
            jti: Uuid::now_v7(),
            iat,
            exp: iat + 300,
        }
    }
}

pub fn signed(approval: &Approval) -> String {
    signed_by("identity", approval)
}

fn signed_by(issuer: &str, approval: &Approval) -> String {
    let file = format!("{}/private/{issuer}.pem", test_env("BAHI_TEST_KEYS"));
    let signer = Signer::from_file(file.as_ref()).unwrap();
    signer.sign(APPROVAL, approval).unwrap()
}

async fn sell(clerk: &Client, body: Value) -> Reply {
    let key = Uuid::now_v7().to_string();
    clerk.post_with_key("/api/v1/pos/invoice", body, &key).await
}

fn discounted(shop: &Shop, session: &str, service: ProductId, line: &str, bill: &str) -> Value {
    let mut body = shop.basket(session, &[(service, "1")], "118");
    body["lines"][0]["discount"] = json!({ "percent": line });
    body["bill_discount"] = json!({ "percent": bill });
    body
}

async fn issued(shop: &Shop) -> i64 {
    let admin = shop.sales.admin().await;
    let row = admin.query_one("select count(*) from invoice", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gives_discounts_up_to_its_cap_of_line_and_bill_together() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let capped = shop.clerk(&["sales.discount.up_to_10", "sales.discount.up_to_5"]);
    let give = async |clerk: &Client, line: &str, bill: &str| {
        sell(clerk, discounted(&shop, &session, service, line, bill)).await
    };
    give(&capped, "10", "0").await.expect(201);
    give(&capped, "0", "10").await.expect(201);
    give(&capped, "5", "5").await.expect(201);
    // Ten of the line and ten of the bill are nineteen in all.
    for (line, bill, percent) in [
        ("10.01", "0", "10.01"),
        ("10", "10", "19"),
        ("0", "25", "25"),
    ] {
        let refused = give(&capped, line, bill).await.expect(422);
        assert_eq!(refused.code(), "DISCOUNT_ABOVE_CAP");
        let told = (
            &refused.body["line"],
            &refused.body["field"],
            &refused.body["cap"],
        );
        assert_eq!(told, (&json!(1), &json!("discount"), &json!(10)));
        let given: f64 = refused.text_at("percent").parse().unwrap();
        assert_eq!(given, percent.parse::<f64>().unwrap());
    }
    assert_eq!(
        give(&capped, "19", "0").await.text_at("permission"),
        "sales.discount.up_to_19"
    );
    let none = give(&shop.clerk(&[]), "1", "0").await.expect(403);
    assert_eq!(none.text_at("permission"), "sales.discount.give");
    give(&shop.clerk(&["sales.discount.give"]), "90", "0")
        .await
        .expect(201);
    assert_eq!(issued(&shop).await, 4);
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_charges_less_than_listed_up_to_its_cap() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let capped = shop.clerk(&["sales.price.up_to_10"]);
    let charge = async |price: &str, inclusive: bool| {
        let mut body = shop.basket(&session, &[(service, "1")], "1000");
        body["lines"][0]["unit_price"] = json!(price);
        body["lines"][0]["price_includes_tax"] = json!(inclusive);
        body["lines"][0]["reason"] = json!("agreed");
        sell(&capped, body).await
    };
    // Listed at 100.00 and 18 % on top.
    charge("90", false).await.expect(201);
    charge("106.20", true).await.expect(201);
    charge("500", false).await.expect(201);
    let refused = charge("89.99", false).await.expect(422);
    assert_eq!(
        (refused.code(), refused.text_at("permission")),
        ("PRICE_ABOVE_CAP", "sales.price.up_to_11".into())
    );
    assert_eq!(
        charge("106.19", true).await.expect(422).code(),
        "PRICE_ABOVE_CAP"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_lends_what_the_cashier_lacks_for_this_invoice_and_is_audited() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let clerk = shop.clerk(&["sales.discount.up_to_5"]);
    let invoice = Uuid::now_v7();
    let mut body = discounted(&shop, &session, service, "20", "0");
    body["invoice_id"] = json!(invoice);
    assert_eq!(
        sell(&clerk, body.clone()).await.expect(422).code(),
        "DISCOUNT_ABOVE_CAP"
    );
    let approval = shop.approval(invoice, &["sales.discount.up_to_20"]);
    body["approval"] = json!(signed(&approval));
    let sold = sell(&clerk, body.clone()).await.expect(201);
    assert_eq!(sold.text_at("discount"), "20.00");
    // Again, with the approval, another one, a void one or without: the same sale.
    let late = Approval {
        iat: approval.iat - 900,
        exp: approval.exp - 900,
        ..approval.clone()
    };
    for again in [json!(signed(&approval)), json!(signed(&late)), Value::Null] {
        body["approval"] = again;
        let same = sell(&clerk, body.clone()).await.expect(201);
        assert_eq!(same.body, sold.body);
    }
    let audits = shop.said("audit.recorded").await.into_iter();
    let used: Vec<_> = audits
        .filter(|a| a["action"] == "sales.approval.use")
        .collect();
    assert_eq!(used.len(), 1);
    let details = &used[0]["details"];
    assert_eq!(details["approver_id"], json!(approval.sub));
    assert!(!details.to_string().contains(&approval.name), "{details}");
    assert_eq!(details["cashier_id"], json!(shop.owner.user));
    assert_eq!(
        (&used[0]["reason"], &details["discount"]),
        (&json!("Torn packet"), &json!("20.00"))
    );
    // It lends so much and no more.
    let next = Uuid::now_v7();
    let mut body = discounted(&shop, &session, service, "21", "0");
    body["invoice_id"] = json!(next);
    body["approval"] = json!(signed(&shop.approval(next, &["sales.discount.up_to_20"])));
    assert_eq!(
        sell(&clerk, body).await.expect(422).code(),
        "DISCOUNT_ABOVE_CAP"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_for_anything_else_lends_nothing() {
    let shop = Shop::without_stock().await;
    let service = shop.service().await;
    let session = shop.session().await;
    let clerk = shop.clerk(&[]);
    let invoice = Uuid::now_v7();
    let mut body = discounted(&shop, &session, service, "20", "0");
    body["invoice_id"] = json!(invoice);
    let good = shop.approval(invoice, &["sales.discount.give"]);
    let with = |f: &dyn Fn(&mut Approval)| {
        let mut approval = good.clone();
        f(&mut approval);
        signed(&approval)
    };
    let other = shop.next_tenant().await;
    let tampered = {
        let text = signed(&good);
        let mut parts: Vec<_> = text.split('.').map(str::to_owned).collect();
        parts[1] = signed(&shop.approval(invoice, &["*"]))
            .split('.')
            .nth(1)
            .unwrap()
            .to_owned();
        parts.join(".")
    };
    let wrong = [
        ("another document", with(&|a| a.doc = Uuid::now_v7())),
        ("another cashier", with(&|a| a.act = UserId::new())),
        ("another tenant", with(&|a| a.tid = other.tenant())),
        ("another till", with(&|a| a.till = Some(TillId::new()))),
        (
            "over",
            with(&|a| (a.iat, a.exp) = (a.iat - 400, a.exp - 400)),
        ),
        ("too long", with(&|a| a.exp += 3600)),
        (
            "another audience",
            with(&|a| a.aud = "bahi-internal".into()),
        ),
        ("tampered with", tampered),
        (
            "the gateway's",
            signed_by(
                "api-gateway",
                &Approval {
                    iss: "api-gateway".into(),
                    ..good.clone()
                },
            ),
        ),
        ("a token", clerk.token().to_owned()),
        ("nonsense", "nonsense".into()),
    ];
    for (what, approval) in wrong {
        body["approval"] = json!(approval);
        let refused = sell(&clerk, body.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "APPROVAL_REFUSED"),
            "{what}"
        );
    }
    assert_eq!(issued(&shop).await, 0);
    body["approval"] = json!(signed(&good));
    sell(&clerk, body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_cost_is_refused_or_warned_of_by_role_and_never_shown() {
    let shop = Shop::open().await;
    // 10.00 with 5 % inside is 9.52 before tax, at a cost of 6.
    let goods = shop.goods("20").await;
    let session = shop.session().await;
    let give = async |clerk: &Client, percent: &str, more: Value| {
        let mut body = shop.basket(&session, &[(goods, "1")], "10");
        body["lines"][0]["discount"] = json!({ "percent": percent });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        sell(clerk, body).await
    };
    let may = shop.clerk(&["sales.discount.give", "sales.price.below_cost"]);
    let may_not = shop.clerk(&["sales.discount.give"]);
    // Nothing is known of the cost yet.
    let unknown = give(&may_not, "50", json!({})).await.expect(201);
    assert_eq!(unknown.body["warnings"], Value::Null);
    shop.tell().await;
    let level = give(&may_not, "37", json!({})).await.expect(201);
    assert_eq!(
        (level.text_at("taxable"), &level.body["warnings"]),
        ("6.00".into(), &Value::Null)
    );
    let refused = give(&may_not, "38", json!({})).await.expect(422);
    assert_eq!(
        (
            refused.code(),
            &refused.body["line"],
            refused.text_at("permission")
        ),
        ("BELOW_COST", &json!(1), "sales.price.below_cost".into())
    );
    let warned = give(&may, "38", json!({})).await.expect(201);
    let warnings = json!([{ "code": "BELOW_COST", "line": 1 }]);
    assert_eq!(warned.body["warnings"], warnings);
    let path = format!("/api/v1/sales/invoices/{}", warned.text_at("invoice_id"));
    assert_eq!(shop.owner.get(&path).await.expect(200).body, warned.body);
    assert!(!refused.text.contains("6.0") && !warned.text.contains("cost\":"));
    let invoice = Uuid::now_v7();
    let approval = signed(&shop.approval(invoice, &["sales.price.below_cost"]));
    let lent = json!({ "invoice_id": invoice, "approval": approval });
    let lent = give(&may_not, "38", lent).await.expect(201);
    assert_eq!(lent.body["warnings"], warnings);
    let said = shop.said("invoice.issued").await;
    let marked = |n: usize| said[n]["lines"][0]["pricing"]["below_cost"].clone();
    assert_eq!((marked(1), marked(2)), (Value::Null, json!(true)));
    // Goods that cost another price: the newest holds, whatever comes again.
    shop.receive(goods, "5", "9.40").await;
    shop.tell().await;
    assert_eq!(
        give(&may_not, "2", json!({})).await.expect(422).code(),
        "BELOW_COST"
    );
    // A refused sale keeps no stock.
    shop.relay().await;
    let (on_hand, reserved, _) = shop.stock(goods).await;
    assert_eq!((on_hand.as_str(), reserved.as_str()), ("21", "0"));
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_is_that_of_the_place_and_moves_with_a_revaluation() {
    let shop = Shop::open().await;
    let goods = shop.goods("20").await;
    let session = shop.session().await;
    shop.tell().await;
    let clerk = shop.clerk(&[]);
    let price = async |text: &str, version: i64| {
        let mut product = crate::support::product("X", text, true, bahi_types::TaxProfileId::new());
        product.product_id = goods;
        let known = shop.sales.admin().await;
        let row = known
            .query_one(
                "select tax_profile_id from product where product_id = $1",
                &[&goods.uuid()],
            )
            .await
            .unwrap();
        product.tax_profile_id = row.get::<_, Uuid>(0).into();
        shop.hear([PRODUCT_UPDATED.of(goods.uuid(), version, &product)])
            .await;
    };
    price("6.30", 2).await;
    let body = shop.basket(&session, &[(goods, "1")], "10");
    sell(&clerk, body.clone()).await.expect(201);
    let line = json!({ "line": 1, "product_id": goods, "location_id": shop.location, "batch_id": null,
        "status": "available", "qty": "20", "value_delta": "2.00" });
    let revalued = json!({ "source": { "type": "revaluation", "id": Uuid::now_v7(), "line": null }, "reason": null,
        "posting_date": "2026-11-05", "lines": [line], "expensed": [], "costings": [] });
    let revalued: bahi_events::StockRevalued = serde_json::from_value(revalued).unwrap();
    shop.hear([STOCK_REVALUED.of(Uuid::now_v7(), 1, &revalued)])
        .await;
    assert_eq!(
        sell(&clerk, body.clone()).await.expect(422).code(),
        "BELOW_COST"
    );
    // What it costs in another place is none of this till's business.
    let admin = shop.sales.admin().await;
    let moved = "update product_cost set location_id = gen_random_uuid() where product_id = $1";
    assert_eq!(admin.execute(moved, &[&goods.uuid()]).await.unwrap(), 1);
    sell(&clerk, body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_below_cost_offline_is_told_and_not_refused() {
    let shop = Shop::open().await;
    let goods = shop.goods("20").await;
    let session = shop.session().await;
    shop.receive(goods, "1", "9.90").await;
    shop.tell().await;
    let line = crate::offline::frozen(goods, "1", "10", 5);
    let reply = shop
        .sync(&[shop.away(&session, "P1F/26-27/0001", vec![line])])
        .await
        .expect(200);
    let item = &reply.body["items"][0];
    assert_eq!(item["result"], "issued", "{item}");
    let told = &item["differences"][0];
    assert_eq!(
        (&told["what"], &told["told"], &told["known"]),
        (&json!("below_cost"), &json!("9.52"), &json!("9.90"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_shows_a_link_to_pay_by_upi() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let invoice = Uuid::now_v7();
    let clerk = shop.clerk(&[]);
    let ask = async |amount: &str| {
        let path = format!(
            "/api/v1/pos/upi-link?session_id={session}&invoice_id={invoice}&amount={amount}&note=Bill%207"
        );
        clerk.get(&path).await
    };
    let found = ask("431").await.expect(200);
    let expected = format!(
        "upi://pay?pa=company.mumbai@okbank&pn=Company&tr={}&am=431.00&cu=INR&tn=Bill%207",
        invoice.simple()
    );
    assert_eq!(found.text_at("link"), expected);
    assert!(found.text_at("qr_svg").starts_with("<svg "));
    for wrong in ["0", "-1", "1.001", "x"] {
        ask(wrong).await.expect(400);
    }
    let mut branch = shop.branch_of("Mumbai");
    branch.upi_vpa = None;
    shop.hear([BRANCH_UPDATED.of(shop.branch.uuid(), 2, &branch)])
        .await;
    assert_eq!(ask("431").await.expect(422).code(), "NO_UPI_ADDRESS");
    // The reference of the payment is kept on its tender.
    let service = shop.service().await;
    let mut body = shop.basket(&session, &[(service, "1")], "18");
    let upi = json!({ "method": "upi", "amount": "100", "reference": "430912345678" });
    body["tenders"].as_array_mut().unwrap().push(upi);
    let sold = sell(&clerk, body).await.expect(201);
    assert_eq!(sold.body["tenders"][1]["reference"], "430912345678");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_finds_a_customer_by_phone_with_no_other_permission() {
    let shop = Shop::without_stock().await;
    let customer = shop.customer(None).await;
    let clerk = shop.cashier(&["sales.pos.use"]);
    for phone in ["%2B919820098200", "919820098200", "+919820098200"] {
        let found = clerk
            .get(&format!("/api/v1/pos/customers?phone={phone}"))
            .await
            .expect(200);
        assert_eq!(
            found.body["items"][0]["customer_id"],
            json!(customer),
            "{phone}"
        );
    }
    let none = clerk
        .get("/api/v1/pos/customers?phone=919820098201")
        .await
        .expect(200);
    assert_eq!(none.body["items"], json!([]));
    clerk.get("/api/v1/pos/customers?phone=x").await.expect(400);
    let stranger = shop.next_tenant().await;
    let elsewhere = stranger
        .owner
        .get("/api/v1/pos/customers?phone=919820098200")
        .await;
    assert_eq!(elsewhere.expect(200).body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_is_counted_by_note_and_coin_where_that_is_told() {
    let shop = Shop::without_stock().await;
    let session = shop.open_till(shop.till, "2130").await;
    let close = async |denominations: Value| {
        let counted =
            json!([{ "method": "cash", "amount": "2130", "denominations": denominations }]);
        let body = json!({ "counted": counted, "retained": "2000" });
        shop.owner
            .post(&format!("/api/v1/pos/sessions/{session}:close"), body)
            .await
    };
    let note = |value: &str, pieces: u32| json!({ "value": value, "pieces": pieces });
    for wrong in [
        json!([note("500", 4), note("100", 1)]),
        json!([note("500", 4), note("500", 1), note("10", 13)]),
        json!([note("0", 4)]),
        json!([{ "value": "500", "pieces": -1 }]),
    ] {
        let refused = close(wrong).await.expect(400);
        let field = refused.body["errors"][0]["field"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(field.starts_with("counted[0].denominations"), "{field}");
    }
    let told = json!([note("500.00", 4), note("100.00", 1), note("10.00", 3)]);
    let closed = close(told.clone()).await.expect(200);
    assert_eq!(closed.body["counts"][0]["denominations"], told);
}
