//! A shop seeded straight into the copies of sales and inventory, so that a crash test needs no other service.

use std::ops::Deref;

use bahi_testkit::Client;
use bahi_types::{FiscalYear, TenantId, business_date};
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Fleet, Gate, How, Process};

/// A fleet of inventory, sales and the outbox worker with one shop in it.
pub struct Shop {
    fleet: Fleet,
    /// The tenant of the shop.
    pub tenant: TenantId,
    /// Stock location.
    pub location: Uuid,
    /// Products, each with the same stock to begin with.
    pub products: Vec<Uuid>,
    /// Its till.
    pub till: Uuid,
    /// Open POS session.
    pub session: Uuid,
}

impl Deref for Shop {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

/// On hand of each product at the beginning.
const OPENING: i64 = 100;

impl Shop {
    /// Databases with a shop in them; no process runs yet.
    pub async fn create() -> Self {
        let shop = Self {
            fleet: Fleet::of(&["inventory", "sales", "outbox-worker"]).await,
            tenant: TenantId::new(),
            location: Uuid::now_v7(),
            products: (0..3).map(|_| Uuid::now_v7()).collect(),
            till: Uuid::now_v7(),
            session: Uuid::now_v7(),
        };
        shop.seed().await;
        shop
    }

    async fn seed(&self) {
        let (tenant, location) = (self.tenant.uuid(), self.location);
        let (till, branch, registration, profile) =
            (self.till, Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let mut sales = format!(
            "insert into registration values ('{tenant}', '{registration}', '27AAPFU0939F1ZV', '27', 'Proof', true, 1, 1);
             insert into branch values ('{tenant}', '{branch}', 'B', 'Branch', '{registration}', true, 1, 1);
             insert into location values ('{tenant}', '{location}', '{branch}', 'L', 'Location', true, 1, 1);
             insert into till values ('{tenant}', '{till}', '{branch}', '{location}', 'P1', 'Till', 'P1', false, true, 1, 1);
             insert into tax_profile (tenant_id, tax_profile_id, hsn, category, epoch, version) values ('{tenant}', '{profile}', '950590', 'taxable', 1, 1);
             insert into tax_rate values ('{tenant}', '{profile}', '2017-07-01', null, 18, 0);
             insert into pos_session (tenant_id, session_id, till_id, branch_id, location_id, opened_by, opened_at, opening_float)
               values ('{tenant}', '{}', '{till}', '{branch}', '{location}', '{}', now(), 0);",
            self.session,
            Uuid::now_v7(),
        );
        let mut stock = format!(
            "insert into location values ('{tenant}', '{location}', '{branch}', 'L', 'Location', true, 1, 1);"
        );
        for product in &self.products {
            sales.push_str(&format!(
                "insert into product (tenant_id, product_id, sku, name, stocked, hsn, tax_profile_id, uqc, price, price_includes_tax, status, epoch, version)
                 values ('{tenant}', '{product}', '{product}', 'Thing', true, '950590', '{profile}', 'PCS', 118, true, 'active', 1, 1);"
            ));
            let movement = Uuid::now_v7();
            let none = Uuid::nil();
            stock.push_str(&format!(
                "insert into product values ('{tenant}', '{product}', '{product}', 'Thing', 'PCS', true, false, false, false, 1, 1);
                 insert into stock_item (tenant_id, location_id, product_id, batch_id, status, on_hand)
                   values ('{tenant}', '{location}', '{product}', '{none}', 'sellable', {OPENING});
                 insert into movement_header values ('{tenant}', 'receipt', '{movement}', 'receipt', now());
                 insert into movement (tenant_id, id, kind, source_type, source_id, source_line, purpose, allocation_no, location_id, product_id, batch_id, status, qty, value, occurred_at, recorded_at, posting_date)
                   values ('{tenant}', '{movement}', 'receipt', 'receipt', '{movement}', 1, 'receipt', 1, '{location}', '{product}', '{none}', 'sellable', {OPENING}, {OPENING} * 60, now(), now(), (now() at time zone 'Asia/Kolkata')::date);
                 insert into cost_layer (tenant_id, id, location_id, product_id, batch_id, status, qty_left, value_left, unit_cost, received_at)
                   values ('{tenant}', '{movement}', '{location}', '{product}', '{none}', 'sellable', {OPENING}, {OPENING} * 60, 60, now());"
            ));
        }
        self.database("sales")
            .admin()
            .await
            .batch_execute(&sales)
            .await
            .expect("seed sales");
        self.database("inventory")
            .admin()
            .await
            .batch_execute(&stock)
            .await
            .expect("seed inventory");
    }

    /// Starts inventory; `pause` names pause points to arm.
    pub async fn inventory(&self, pause: &str) -> Process {
        let how = How {
            pause,
            ..How::default()
        };
        self.start("inventory", how).await
    }

    /// Starts sales; `pause` names pause points to arm.
    pub async fn sales(&self, pause: &str) -> Process {
        let how = How {
            pause,
            ..How::default()
        };
        self.start("sales", how).await
    }

    /// Starts another replica of sales, whose gRPC nobody calls.
    pub async fn sales_replica(&self, pause: &str) -> Process {
        let how = How {
            pause,
            replica: true,
            ..How::default()
        };
        self.start("sales", how).await
    }

    /// Starts a service with its database behind a gate.
    pub async fn behind(&self, gate: &Gate, service: &'static str) -> Process {
        let how = How {
            database: Some(gate.url()),
            ..How::default()
        };
        self.start(service, how).await
    }

    /// Starts the outbox worker.
    pub async fn worker(&self) -> Process {
        self.start("outbox-worker", How::default()).await
    }

    /// A client of a running service.
    pub fn client(&self, process: &Process) -> Client {
        Client::of(process.url.clone(), self.tenant, &["*"])
    }

    /// A client of inventory, whichever process of it runs.
    pub fn stock(&self) -> Client {
        Client::of(self.url("inventory"), self.tenant, &["*"])
    }

    /// One of each product, paid in cash.
    pub fn basket(&self) -> Value {
        let lines: Vec<Value> = self
            .products
            .iter()
            .map(|p| json!({ "product_id": p, "qty": "2" }))
            .collect();
        json!({ "session_id": self.session, "lines": lines, "tenders": [{ "method": "cash", "amount": "708.00" }] })
    }

    /// An order of two of each product.
    pub fn order(&self) -> Value {
        let lines: Vec<Value> = self
            .products
            .iter()
            .map(|p| json!({ "product_id": p, "qty": "2" }))
            .collect();
        json!({ "location_id": self.location, "lines": lines, "round_to_rupee": false,
                "buyer": { "name": "Jain Stores", "phone": "9820098200", "state_code": "27" } })
    }

    /// Gives the till numbers of its own, for when it is away.
    pub async fn lend_series(&self, till: &Client) {
        for (purpose, prefix) in [("invoice", "AWAY"), ("credit_note", "AWAYC")] {
            let body = json!({ "till_id": self.till, "purpose": purpose, "prefix": prefix });
            till.post("/api/v1/pos/offline-series", body)
                .await
                .expect(201);
        }
    }

    /// What the till prints while it is away.
    pub fn printed(&self, prefix: &str, running: u32) -> String {
        let year = FiscalYear::of(business_date(Utc::now()));
        format!("{prefix}/{year}/{running:04}")
    }

    /// A sale of two of each product that the till made while it was away.
    pub fn away(&self, till: &Client, running: u32) -> Value {
        let line = |p: &Uuid| {
            json!({ "product_id": p, "qty": "2", "unit_price": "118", "price_includes_tax": true, "tax_category": "taxable",
                    "rate": "18", "taxable": "200.00", "cgst": "18.00", "sgst": "18.00", "total": "236.00" })
        };
        let lines: Vec<Value> = self.products.iter().map(line).collect();
        json!({ "kind": "sale", "invoice_id": Uuid::now_v7(), "number": self.printed("AWAY", running), "session_id": self.session,
                "cashier_id": till.user, "made_at": Utc::now(), "lines": lines, "total": "708.00",
                "tenders": [{ "method": "cash", "amount": "708.00" }] })
    }

    /// What the till sends when it is back.
    pub fn batch(&self, items: &[Value]) -> Value {
        json!({ "till_id": self.till, "sent_at": Utc::now(), "items": items })
    }
}
