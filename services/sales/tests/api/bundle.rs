//! What a till takes with it.

use std::{collections::BTreeSet, io::Read, time::Instant};

use bahi_events::{
    CATEGORY_CREATED, Category, ListPrice, PRICE_LIST_CREATED, PRICE_LIST_DELETED,
    PRICE_LIST_PRICES_CHANGED, PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_UPDATED, PriceList,
    PriceListPrices, ProductDeleted, ProductPrices, TAX_RATE_CHANGED,
};
use bahi_types::{
    BranchId, CategoryId, PriceEntryId, PriceListId, ProductId, TaxProfileId, TillId,
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, product, tax_profile};

/// A bundle, taken apart.
struct Bundle {
    head: Value,
    rows: Vec<(String, Vec<Value>)>,
    gone: BTreeSet<String>,
}

impl Bundle {
    fn read(text: &str) -> Self {
        let mut lines = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap());
        let head = lines.next().unwrap();
        let (mut rows, mut gone, mut section, mut end) =
            (Vec::new(), BTreeSet::new(), String::new(), None);
        for line in lines {
            if let Value::Array(row) = line {
                rows.push((section.clone(), row));
            } else if let Some(name) = line["section"].as_str() {
                section = name.to_owned();
            } else if let Some(ids) = line["gone"].as_array() {
                gone.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
            } else {
                end = line["end"].as_u64();
            }
        }
        assert_eq!(end, Some(rows.len() as u64), "the bundle is whole");
        Self { head, rows, gone }
    }

    fn of(&self, section: &str) -> Vec<&Vec<Value>> {
        self.rows
            .iter()
            .filter(|(name, _)| name == section)
            .map(|(_, row)| row)
            .collect()
    }

    fn ids(&self, section: &str) -> BTreeSet<String> {
        self.of(section)
            .iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect()
    }

    fn version(&self) -> &str {
        self.head["version"].as_str().unwrap()
    }
}

impl Shop {
    async fn bundle(&self, since: Option<&str>) -> Bundle {
        let since = since.map(|s| format!("&since={s}")).unwrap_or_default();
        let path = format!("/api/v1/pos/catalogue?till_id={}{since}", self.till);
        Bundle::read(&self.owner.get(&path).await.expect(200).text)
    }

    async fn list(&self, branch: Option<BranchId>, of: ProductId, price: &str) -> PriceListId {
        let id = PriceListId::new();
        let list = self.list_of(id, branch);
        let prices = PriceListPrices {
            price_list_id: id,
            products: vec![ProductPrices {
                product_id: of,
                prices: vec![ListPrice {
                    entry_id: PriceEntryId::new(),
                    unit_id: bahi_types::UnitId::new(),
                    min_qty: "0".parse().unwrap(),
                    price: price.parse().unwrap(),
                    valid_from: None,
                    valid_to: None,
                }],
            }],
        };
        self.hear([
            PRICE_LIST_CREATED.of(id.uuid(), 1, &list),
            PRICE_LIST_PRICES_CHANGED.of(id.uuid(), 2, &prices),
        ])
        .await;
        id
    }

    fn list_of(&self, id: PriceListId, branch: Option<BranchId>) -> PriceList {
        let body = json!({ "price_list_id": id, "name": "L", "priority": 1, "price_includes_tax": true,
                           "branch_id": branch, "customer_group_id": null, "valid_from": null, "valid_to": null });
        serde_json::from_value(body).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_tells_what_a_till_needs_and_then_only_what_changed() {
    let shop = Shop::without_stock().await;
    let session = shop.session().await;
    let profile = TaxProfileId::new();
    let mut milk = product("MILK", "30", true, profile);
    milk.barcodes = vec!["8901".into(), "8902".into()];
    let bread = product("BREAD", "40", true, profile);
    let mut draft = product("DRAFT", "1", true, profile);
    draft.status = "draft".into();
    let category = Category {
        category_id: CategoryId::new(),
        parent_id: None,
        name: "Dairy".into(),
    };
    shop.hear([
        TAX_RATE_CHANGED.of(
            profile.uuid(),
            1,
            &tax_profile(profile, "taxable", &[("2017-07-01", None, "5")]),
        ),
        PRODUCT_CREATED.of(milk.product_id.uuid(), 1, &milk),
        PRODUCT_CREATED.of(bread.product_id.uuid(), 1, &bread),
        PRODUCT_CREATED.of(draft.product_id.uuid(), 1, &draft),
        CATEGORY_CREATED.of(category.category_id.uuid(), 1, &category),
    ])
    .await;
    let here = shop.list(Some(shop.branch), milk.product_id, "28").await;
    let elsewhere = shop
        .list(Some(BranchId::new()), milk.product_id, "27")
        .await;
    let whole = shop.bundle(None).await;
    assert_eq!(whole.head["whole"], true);
    assert_eq!(whole.head["session"]["session_id"], json!(session));
    assert_eq!(
        whole.head["registration"]["gstin"],
        json!(crate::support::COMPANY)
    );
    assert_eq!(whole.head["till"]["series"], "P1");
    assert_eq!(
        whole.head["offline_series"][0],
        json!({ "purpose": "invoice", "prefix": "P1F", "years": [] })
    );
    let both: BTreeSet<String> = [&milk, &bread].map(|p| p.product_id.to_string()).into();
    assert_eq!(whole.ids("products"), both);
    let row = whole
        .of("products")
        .into_iter()
        .find(|r| r[1] == "MILK")
        .unwrap();
    assert_eq!(
        (&row[3], &row[4], &row[14]["batch"]),
        (&json!(["8901", "8902"]), &json!("30.0000"), &json!(false))
    );
    assert_eq!(whole.ids("price_lists"), [here.to_string()].into());
    assert_eq!(whole.of("prices")[0][2][0][3], "28.0000");
    assert_eq!(whole.of("tax_profiles")[0][3][0][2], "5.000");
    assert_eq!(whole.ids("categories").len(), 1);
    assert!(whole.gone.is_empty());
    // Nothing has changed.
    let none = shop.bundle(Some(whole.version())).await;
    assert_eq!(
        (none.rows.len(), none.gone.len(), &none.head["whole"]),
        (0, 0, &json!(false))
    );
    // One price changes, one product is deleted, one list, and one draft is for sale now.
    milk.price = "32".parse().unwrap();
    draft.status = "active".into();
    let deleted = ProductDeleted {
        product_id: bread.product_id,
        sku: "BREAD".into(),
    };
    shop.hear([
        PRODUCT_UPDATED.of(milk.product_id.uuid(), 2, &milk),
        PRODUCT_UPDATED.of(draft.product_id.uuid(), 2, &draft),
        PRODUCT_DELETED.of(bread.product_id.uuid(), 2, &deleted),
        PRICE_LIST_DELETED.of(here.uuid(), 3, &shop.list_of(here, Some(shop.branch))),
    ])
    .await;
    let delta = shop.bundle(Some(whole.version())).await;
    let changed: BTreeSet<String> = [&milk, &draft].map(|p| p.product_id.to_string()).into();
    assert_eq!(delta.ids("products"), changed);
    assert_eq!(
        delta.gone,
        [bread.product_id.to_string(), here.to_string()].into()
    );
    assert!(delta.ids("tax_profiles").is_empty() && !delta.gone.contains(&elsewhere.to_string()));
    // The same event again is no change; what is not of this history gets the whole.
    shop.hear([PRODUCT_UPDATED.of(milk.product_id.uuid(), 2, &milk)])
        .await;
    assert_eq!(shop.bundle(Some(delta.version())).await.rows.len(), 0);
    for strange in ["9-1", "1-99999", "x"] {
        let again = shop.bundle(Some(strange)).await;
        assert_eq!(
            (&again.head["whole"], again.ids("products")),
            (&json!(true), changed.clone()),
            "{strange}"
        );
    }
    let path = format!("/api/v1/pos/catalogue?till_id={}", TillId::new());
    assert_eq!(shop.owner.get(&path).await.expect(404).code(), "NOT_FOUND");
    let other = shop.next_tenant().await;
    assert!(other.bundle(None).await.rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_packed_as_asked_and_not_sent_twice() {
    let shop = Shop::without_stock().await;
    shop.product("A", "10", true, "taxable", "5").await;
    let path = format!("/api/v1/pos/catalogue?till_id={}", shop.till);
    let get = async |coding: &str, tag: Option<&str>| {
        let mut request = shop
            .owner
            .request("GET".parse().unwrap(), &path)
            .header("accept-encoding", coding);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        request.send().await.unwrap()
    };
    let mut texts = Vec::new();
    let mut tag = String::new();
    for coding in ["zstd", "gzip", "identity"] {
        let reply = get(coding, None).await;
        let told = reply
            .headers()
            .get("content-encoding")
            .map(|c| c.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), (coding != "identity").then_some(coding));
        tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        let bytes = reply.bytes().await.unwrap();
        let mut text = String::new();
        match coding {
            "zstd" => zstd::stream::read::Decoder::new(&bytes[..])
                .unwrap()
                .read_to_string(&mut text)
                .unwrap(),
            "gzip" => flate2::read::GzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .unwrap(),
            _ => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        texts.push(text);
    }
    assert!(texts[0] == texts[1] && texts[1] == texts[2]);
    let unchanged = get("zstd", Some(&tag)).await;
    assert_eq!(
        (
            unchanged.status().as_u16(),
            unchanged.headers()["etag"].to_str().unwrap()
        ),
        (304, tag.as_str())
    );
    // A session that opens is news.
    shop.session().await;
    assert_eq!(get("zstd", Some(&tag)).await.status().as_u16(), 200);
}

/// A till that reads on from version to version ends with what a till has that reads the whole, whoever writes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn from_version_to_version_nothing_is_missed_while_changes_come() {
    let shop = Shop::without_stock().await;
    let profile = TaxProfileId::new();
    shop.hear([TAX_RATE_CHANGED.of(
        profile.uuid(),
        1,
        &tax_profile(profile, "taxable", &[("2017-07-01", None, "5")]),
    )])
    .await;
    let done = std::cell::Cell::new(false);
    let write = async |writer: u32| {
        for n in 0..20 {
            let item = product(&format!("W{writer}-{n}"), "10", true, profile);
            let mut events = vec![PRODUCT_CREATED.of(item.product_id.uuid(), 1, &item)];
            if n % 3 == 0 {
                let deleted = ProductDeleted {
                    product_id: item.product_id,
                    sku: item.sku.clone(),
                };
                events.push(PRODUCT_DELETED.of(item.product_id.uuid(), 2, &deleted));
            }
            shop.hear(events).await;
        }
    };
    let writers = async {
        join_all((0..3).map(write)).await;
        done.set(true);
    };
    let reader = async {
        let mut had: BTreeSet<String> = BTreeSet::new();
        let mut version: Option<String> = None;
        loop {
            let over = done.get();
            let bundle = shop.bundle(version.as_deref()).await;
            if bundle.head["whole"] == true {
                had.clear();
            }
            had.extend(bundle.ids("products"));
            had.retain(|id| !bundle.gone.contains(id));
            version = Some(bundle.version().to_owned());
            if over {
                return had;
            }
        }
    };
    let (_, had) = futures::join!(writers, reader);
    let whole = shop.bundle(None).await;
    assert_eq!(had, whole.ids("products"));
    assert_eq!(had.len(), 3 * (20 - 7));
}

/// 20,000 items within 200 ms and 1 MB, of a build with optimisation.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_bundle_of_twenty_thousand_items() {
    let shop = Shop::without_stock().await;
    let profile = TaxProfileId::new();
    shop.hear([TAX_RATE_CHANGED.of(
        profile.uuid(),
        1,
        &tax_profile(profile, "taxable", &[("2017-07-01", None, "5")]),
    )])
    .await;
    let items: Vec<_> = (0..20_000)
        .map(|n| {
            let mut item = product(
                &format!("SKU{n:05}"),
                &format!("{}.50", 10 + n % 500),
                true,
                profile,
            );
            item.name = format!("Article {n} of shelf {}", n % 97);
            item.barcodes = vec![format!("890{:010}", n * 7919 % 9_999_999_967_u64)];
            item.stock_unit_id = bahi_types::UnitId::from_uuid(profile.uuid());
            shop.envelope(PRODUCT_CREATED.of(item.product_id.uuid(), 1, &item))
        })
        .collect();
    for slice in items.chunks(500) {
        shop.hear_enveloped(slice).await;
    }
    shop.sales
        .admin()
        .await
        .batch_execute("analyze")
        .await
        .unwrap();
    let path = format!("/api/v1/pos/catalogue?till_id={}", shop.till);
    for coding in ["zstd", "gzip", "zstd", "gzip", "identity"] {
        let began = Instant::now();
        let request = shop
            .owner
            .request("GET".parse().unwrap(), &path)
            .header("accept-encoding", coding);
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        println!("{coding}: {} bytes in {:?}", bytes.len(), began.elapsed());
    }
}
