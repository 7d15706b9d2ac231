//! The shop: its organisation, goods and customers, told as identity, product and CRM tell of them, and its stock.

use std::time::Duration;

use anyhow::Context;
use bahi_events::{
    BRANCH_CREATED, Branch, CUSTOMER_CREATED, Customer, CustomerAddress, Envelope,
    LOCATION_CREATED, Location, Outgoing, PRODUCT_CREATED, Product, ProductKind,
    REGISTRATION_CREATED, Registration, TAX_RATE_CHANGED, TILL_CREATED, TaxProfile, TaxRate,
    Till as TillEvent, Tracking,
};
use bahi_testkit::{Client, envelope};
use bahi_types::{
    BranchId, CustomerId, LocationId, ProductId, RegistrationId, TaxProfileId, TenantId, TillId,
    UnitId,
};
use chrono::Utc;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Addresses, TILLS};
use crate::rig::Rig;

/// What one piece costs: 100 and 18 % of it, times this.
const TIMES: [i64; 8] = [1, 1, 2, 3, 5, 1, 2, 10];
/// Pieces of each thing.
const PLENTY: i64 = 1_000_000;
/// Pieces of the thing that everybody wants.
const FEW: i64 = 300;

/// Something that is sold.
#[derive(Clone, Copy, Debug)]
pub struct Thing {
    /// The product.
    pub id: Uuid,
    /// Hundreds of rupees without tax; 118 with it.
    pub times: i64,
}

/// The shop.
pub struct Shop {
    /// Of sales.
    pub sales: Client,
    /// Of inventory.
    pub stock: Client,
    /// Where inventory answers.
    pub stock_url: String,
    /// Where the stock lies.
    pub location: Uuid,
    /// Things of which there is plenty.
    pub things: Vec<Thing>,
    /// The thing of which there are few.
    pub scarce: Thing,
    /// The thing that is counted now and then.
    pub counted: Thing,
    /// Customers with an account.
    pub customers: Vec<Uuid>,
    /// Its tills.
    pub tills: Vec<Uuid>,
}

fn product(id: Uuid, number: usize, times: i64, profile: TaxProfileId) -> Product {
    Product {
        product_id: ProductId::from_uuid(id),
        sku: format!("F{number:03}"),
        name: format!("Thing {number}"),
        variant_of: None,
        kind: ProductKind::Goods,
        category_id: None,
        brand_id: None,
        hsn: "950590".into(),
        tax_profile_id: profile,
        stock_unit_id: UnitId::new(),
        uqc: "PCS".into(),
        units: Vec::new(),
        tracking: Tracking::default(),
        barcodes: Vec::new(),
        price: (times * 118).into(),
        price_includes_tax: true,
        mrp: None,
        status: "active".into(),
        changed_fields: Vec::new(),
        template: false,
        components: Vec::new(),
    }
}

impl Shop {
    /// Makes it, and waits until sales and inventory know of it.
    pub async fn open(rig: &Rig, at: &Addresses) -> anyhow::Result<Self> {
        let tenant = TenantId::new();
        let mut goods: Vec<Thing> = TIMES
            .into_iter()
            .chain([1, 1])
            .map(|times| Thing {
                id: Uuid::now_v7(),
                times,
            })
            .collect();
        let scarce = goods.pop().context("goods")?;
        let counted = goods.pop().context("goods")?;
        let shop = Self {
            sales: Client::of(at.sales.clone(), tenant, &["*"]),
            stock: Client::of(at.stock.clone(), tenant, &["*"]),
            stock_url: at.stock.clone(),
            location: Uuid::now_v7(),
            things: goods,
            scarce,
            counted,
            customers: (0..5).map(|_| Uuid::now_v7()).collect(),
            tills: (0..TILLS).map(|_| Uuid::now_v7()).collect(),
        };
        shop.tell(&rig.stage.kafka, tenant).await?;
        let all = shop.things.iter().chain([&shop.counted, &shop.scarce]);
        let lines: Vec<Value> = all
            .map(|thing| {
                let qty = if thing.id == scarce.id { FEW } else { PLENTY };
                json!({ "product_id": thing.id, "qty": qty.to_string(), "unit_cost": "60" })
            })
            .collect();
        let body = json!({ "location_id": shop.location, "lines": lines });
        let began = Instant::now();
        let key = Uuid::now_v7().to_string();
        loop {
            let sent = shop.stock.with_permissions(&["*"]);
            let reply = sent
                .try_post_with_key("/api/v1/inventory/receipts", body.clone(), &key)
                .await;
            match reply {
                Some(reply) if reply.status == 201 => break,
                reply if began.elapsed() > Duration::from_secs(60) => {
                    anyhow::bail!("no stock: {:?}", reply.map(|r| r.text))
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        Ok(shop)
    }

    async fn tell(&self, kafka: &str, tenant: TenantId) -> anyhow::Result<()> {
        let (registration, branch) = (RegistrationId::new(), BranchId::new());
        let location = LocationId::from_uuid(self.location);
        let profile = TaxProfileId::new();
        let mut events = vec![
            REGISTRATION_CREATED.of(
                registration.uuid(),
                1,
                &Registration {
                    registration_id: registration,
                    gstin: Some("27AAPFU0939F1ZV".into()),
                    state_code: "27".into(),
                    legal_name: "Company".into(),
                    active: true,
                },
            ),
            BRANCH_CREATED.of(
                branch.uuid(),
                1,
                &Branch {
                    branch_id: branch,
                    code: "B".into(),
                    name: "Mumbai".into(),
                    registration_id: registration,
                    address: None,
                    upi_vpa: None,
                    phone: None,
                    active: true,
                },
            ),
            LOCATION_CREATED.of(
                self.location,
                1,
                &Location {
                    location_id: location,
                    branch_id: branch,
                    code: "L".into(),
                    name: "Shop floor".into(),
                    active: true,
                },
            ),
            TAX_RATE_CHANGED.of(
                profile.uuid(),
                1,
                &TaxProfile {
                    tax_profile_id: profile,
                    name: "GST 18".into(),
                    hsn: "950590".into(),
                    category: "taxable".into(),
                    rates: vec![TaxRate {
                        valid_from: "2017-07-01".parse()?,
                        valid_to: None,
                        rate: 18.into(),
                        cess: 0.into(),
                        above: None,
                    }],
                },
            ),
        ];
        let all = self.things.iter().chain([&self.counted, &self.scarce]);
        for (number, thing) in all.enumerate() {
            let product = product(thing.id, number, thing.times, profile);
            events.push(PRODUCT_CREATED.of(thing.id, 1, &product));
        }
        for (number, till) in self.tills.iter().enumerate() {
            let told = TillEvent {
                till_id: TillId::from_uuid(*till),
                branch_id: branch,
                location_id: location,
                code: format!("T{number:02}"),
                name: format!("Till {number}"),
                series: format!("T{number:02}"),
                round_to_rupee: false,
                active: true,
            };
            events.push(TILL_CREATED.of(*till, 1, &told));
        }
        for (number, customer) in self.customers.iter().enumerate() {
            let told = Customer {
                customer_id: CustomerId::from_uuid(*customer),
                name: format!("Customer {number}"),
                phone: Some("+919820098200".into()),
                email: None,
                gstin: None,
                addresses: vec![CustomerAddress {
                    kind: "billing".into(),
                    text: "Pune".into(),
                    state_code: "27".into(),
                }],
                customer_group_id: None,
                // One of them reaches its limit all the time.
                credit_limit: Some(if number == 0 { 2_000 } else { 100_000_000 }.into()),
                credit_days: 30,
                status: "active".into(),
            };
            events.push(CUSTOMER_CREATED.of(*customer, 1, &told));
        }
        publish(kafka, tenant, events).await
    }

    /// What inventory's own proof of its books finds.
    pub async fn books_agree(&self) -> Vec<String> {
        let (mut cursor, mut wrong) = (String::new(), Vec::new());
        loop {
            let path = format!("/api/v1/inventory/integrity?{cursor}");
            let reply = self.stock.with_permissions(&["*"]).get(&path).await;
            if reply.status != 200 {
                wrong.push(format!("INTEGRITY: {} {}", reply.status, reply.text));
                return wrong;
            }
            let differences = reply.body["differences"].as_array();
            wrong.extend(
                differences
                    .into_iter()
                    .flatten()
                    .map(|d| format!("INTEGRITY: {d}")),
            );
            match reply.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("cursor={next}"),
                None => return wrong,
            }
        }
    }
}

/// Says these things in their topics, as the services that own them would.
async fn publish(kafka: &str, tenant: TenantId, events: Vec<Outgoing>) -> anyhow::Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.metrics.push", "false")
        .create()?;
    for event in events {
        let (topic, key, name) = (event.topic, event.key.clone(), event.event_type);
        let said: Envelope<Value> = envelope(event, tenant, Utc::now());
        let value = serde_json::to_vec(&said)?;
        let headers = OwnedHeaders::new().insert(Header {
            key: "ce_type",
            value: Some(name),
        });
        let record = FutureRecord::to(topic)
            .key(&key)
            .headers(headers)
            .payload(&value);
        let sent = producer.send(record, Duration::from_secs(20)).await;
        sent.map_err(|(error, _)| error)?;
    }
    Ok(())
}
