//! A shop to test in: sales, inventory, a tenant with its organisation, and the relay between their databases.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bahi_events::{
    BRANCH_CREATED, Branch, CUSTOMER_CREATED, Customer, CustomerAddress, Envelope,
    LOCATION_CREATED, Location, Outgoing, PRODUCT_CREATED, Product, ProductKind,
    REGISTRATION_CREATED, Registration, TAX_RATE_CHANGED, TILL_CREATED, TaxProfile, TaxRate, Till,
    Tracking,
};
use bahi_proto::sales::v1::{
    HoldRef, ReservationState, ReservationStatesRequest, reservations_client::ReservationsClient,
};
use bahi_service::App;
use bahi_testkit::{Client, Reply, TestApp, envelope};
use bahi_types::{
    BranchId, Clock, CustomerId, InvoiceId, LocationId, ProductId, RegistrationId, TaxProfileId,
    TenantId, TillId, UnitId,
};
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

/// The company's GSTIN in the worked scenarios.
pub const COMPANY: &str = "27AAPFU0939F1ZV";
/// The customer's.
pub const CUSTOMER: &str = "27AAJCS5738D1Z6";

/// An address where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

#[derive(Clone)]
pub struct Shop {
    pub sales: Arc<TestApp<sales::State>>,
    pub stock: Option<Arc<TestApp<inventory::State>>>,
    /// Of sales.
    pub owner: Client,
    pub registration: RegistrationId,
    pub branch: BranchId,
    pub location: LocationId,
    pub till: TillId,
    pub clock: Clock,
    pub relayed: Arc<AtomicUsize>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Lets an app hear `events`, each twice.
pub async fn feed<S: Clone + Send + Sync + 'static>(
    describe: App<S>,
    app: &TestApp<S>,
    events: &[Envelope<Value>],
) {
    for consumer in describe.hears()(&app.running.state) {
        for _ in 0..2 {
            for attempt in 0.. {
                match consumer.feed(&app.db, events).await {
                    Ok(tally) => {
                        assert_eq!(tally.rejected, 0, "an event was refused");
                        break;
                    }
                    Err(error) => assert!(attempt < 20, "{error:?}"),
                }
            }
        }
    }
}

impl Shop {
    /// Sales alone; inventory cannot be reached.
    pub async fn without_stock() -> Self {
        Self::without_stock_with(&[]).await
    }

    /// The same with more settings.
    pub async fn without_stock_with(more: &[(&str, &str)]) -> Self {
        let clock = Clock::fixed("2026-11-05T06:00:00Z".parse().unwrap());
        let mut settings = vec![("BAHI_INVENTORY_GRPC", NOWHERE)];
        settings.extend(more);
        let sales = Arc::new(TestApp::start_with(sales::app(), &settings, clock.clone()).await);
        Self::fit_out(sales, None, clock).await
    }

    /// Sales and inventory, each knowing the other's address.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// The same, sales with these settings.
    pub async fn open_with(own: &[(&str, &str)]) -> Self {
        Self::open_by(own, |stock| async move { stock }).await
    }

    /// The same with a wire between sales and inventory that can be cut.
    pub async fn wired() -> (Self, Wire) {
        let (send, receive) = tokio::sync::oneshot::channel();
        let shop = Self::open_by(&[], |stock| async move {
            let wire = Wire::lay(stock.trim_start_matches("http://").to_owned()).await;
            let url = wire.url.clone();
            send.send(wire).ok();
            url
        })
        .await;
        (shop, receive.await.unwrap())
    }

    async fn open_by<F: Future<Output = String>>(
        own: &[(&str, &str)],
        way: impl FnOnce(String) -> F,
    ) -> Self {
        let clock = Clock::fixed("2026-11-05T06:00:00Z".parse().unwrap());
        let port = free_port();
        let sales_url = format!("http://127.0.0.1:{port}");
        let stock = TestApp::start_with(
            inventory::app(),
            &[("BAHI_SALES_GRPC", &sales_url)],
            clock.clone(),
        )
        .await;
        let (stock_url, listen) = (way(stock.grpc_url()).await, format!("127.0.0.1:{port}"));
        let mut settings = vec![
            ("BAHI_INVENTORY_GRPC", stock_url.as_str()),
            ("BAHI_GRPC_LISTEN", &listen),
        ];
        settings.extend_from_slice(own);
        let sales = Arc::new(TestApp::start_with(sales::app(), &settings, clock.clone()).await);
        Self::fit_out(sales, Some(Arc::new(stock)), clock).await
    }

    async fn fit_out(
        sales: Arc<TestApp<sales::State>>,
        stock: Option<Arc<TestApp<inventory::State>>>,
        clock: Clock,
    ) -> Self {
        let owner = sales.tenant();
        let shop = Self {
            sales,
            stock,
            owner,
            registration: RegistrationId::new(),
            branch: BranchId::new(),
            location: LocationId::new(),
            till: TillId::new(),
            clock,
            relayed: Arc::default(),
        };
        shop.organise().await;
        shop
    }

    /// Another business in the same databases.
    pub async fn next_tenant(&self) -> Self {
        let shop = Self {
            owner: self.sales.tenant(),
            registration: RegistrationId::new(),
            branch: BranchId::new(),
            location: LocationId::new(),
            till: TillId::new(),
            ..self.clone()
        };
        shop.organise().await;
        shop
    }

    async fn organise(&self) {
        let registration = self.registration_of(COMPANY, "27");
        self.hear([
            REGISTRATION_CREATED.of(self.registration.uuid(), 1, &registration),
            BRANCH_CREATED.of(self.branch.uuid(), 1, &self.branch_of("Mumbai")),
            LOCATION_CREATED.of(self.location.uuid(), 1, &self.location_of("Shop floor")),
        ])
        .await;
        self.add_till(self.till, "P1", false).await;
    }

    pub fn registration_of(&self, gstin: &str, state: &str) -> Registration {
        Registration {
            registration_id: self.registration,
            gstin: Some(gstin.into()),
            state_code: state.into(),
            legal_name: "Company".into(),
            active: true,
        }
    }
    pub fn branch_of(&self, name: &str) -> Branch {
        Branch {
            branch_id: self.branch,
            code: "B".into(),
            name: name.into(),
            registration_id: self.registration,
            address: Some("12 MG Road\nMumbai 400001".into()),
            phone: Some("022 2345 6789".into()),
            upi_vpa: Some("company.mumbai@okbank".into()),
            active: true,
        }
    }
    pub fn location_of(&self, name: &str) -> Location {
        Location {
            location_id: self.location,
            branch_id: self.branch,
            code: "L".into(),
            name: name.into(),
            active: true,
        }
    }
    pub fn till_of(&self, till: TillId, series: &str, round: bool) -> Till {
        Till {
            till_id: till,
            branch_id: self.branch,
            location_id: self.location,
            code: "T".into(),
            name: "Till".into(),
            series: series.into(),
            round_to_rupee: round,
            active: true,
        }
    }
    pub async fn add_till(&self, till: TillId, series: &str, round: bool) {
        self.hear([TILL_CREATED.of(till.uuid(), 1, &self.till_of(till, series, round))])
            .await;
    }

    pub fn tenant(&self) -> TenantId {
        self.owner.tenant
    }
    pub fn cashier(&self, permissions: &[&str]) -> Client {
        self.owner.with_permissions(permissions)
    }

    /// An event of the shop's tenant as it would come from its topic.
    pub fn envelope(&self, event: Outgoing) -> Envelope<Value> {
        envelope(event, self.tenant(), Utc::now())
    }

    /// Lets every app of the shop hear these, each twice.
    pub async fn hear(&self, events: impl IntoIterator<Item = Outgoing>) {
        let events: Vec<_> = events
            .into_iter()
            .map(|event| self.envelope(event))
            .collect();
        self.hear_enveloped(&events).await;
    }

    pub async fn hear_enveloped(&self, events: &[Envelope<Value>]) {
        feed(sales::app(), &self.sales, events).await;
        if let Some(stock) = &self.stock {
            feed(inventory::app(), stock, events).await;
        }
    }

    /// A product with a tax of its own.
    pub async fn product(
        &self,
        sku: &str,
        price: &str,
        inclusive: bool,
        category: &str,
        rate: &str,
    ) -> ProductId {
        let profile = TaxProfileId::new();
        let product = product(sku, price, inclusive, profile);
        self.hear([
            TAX_RATE_CHANGED.of(
                profile.uuid(),
                1,
                &tax_profile(profile, category, &[("2017-07-01", None, rate)]),
            ),
            PRODUCT_CREATED.of(product.product_id.uuid(), 1, &product),
        ])
        .await;
        product.product_id
    }

    /// A customer with a credit limit and 30 days.
    pub async fn customer(&self, credit_limit: Option<&str>) -> CustomerId {
        let customer = customer(credit_limit);
        let id = customer.customer_id;
        self.hear([CUSTOMER_CREATED.of(id.uuid(), 1, &customer)])
            .await;
        id
    }

    /// A sale from the office, on credit where no tenders are named.
    pub async fn sell_from_office(&self, more: Value) -> Reply {
        let mut body = json!({ "location_id": self.location });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let key = Uuid::now_v7().to_string();
        self.owner
            .post_with_key("/api/v1/sales/invoices", body, &key)
            .await
    }

    /// What a customer owes: dues, orders, advances.
    pub async fn account(&self, customer: CustomerId) -> (String, String, String) {
        let path = format!("/api/v1/sales/customers/{customer}/account");
        let account = self.owner.get(&path).await.expect(200);
        (
            account.text_at("dues"),
            account.text_at("orders"),
            account.text_at("advances"),
        )
    }

    /// Goods at a price of 10.00 with 5 % inside, of which there are `on_hand`.
    pub async fn goods(&self, on_hand: &str) -> ProductId {
        let id = self
            .product(&Uuid::now_v7().to_string(), "10", true, "taxable", "5")
            .await;
        self.receive(id, on_hand, "6").await;
        id
    }

    /// A service at 100.00 with 18 % on top.
    pub async fn service(&self) -> ProductId {
        self.product_of_kind(
            &Uuid::now_v7().to_string(),
            "100",
            false,
            ProductKind::Service,
        )
        .await
    }

    /// A product at 18 %.
    pub async fn product_of_kind(
        &self,
        sku: &str,
        price: &str,
        inclusive: bool,
        kind: ProductKind,
    ) -> ProductId {
        let profile = TaxProfileId::new();
        let mut product = product(sku, price, inclusive, profile);
        product.kind = kind;
        self.hear([
            TAX_RATE_CHANGED.of(
                profile.uuid(),
                1,
                &tax_profile(profile, "taxable", &[("2017-07-01", None, "18")]),
            ),
            PRODUCT_CREATED.of(product.product_id.uuid(), 1, &product),
        ])
        .await;
        product.product_id
    }

    /// Of inventory.
    pub fn keeper(&self) -> Client {
        self.stock.as_ref().unwrap().client(self.tenant(), &["*"])
    }

    pub async fn receive(&self, product: ProductId, qty: &str, cost: &str) {
        if qty == "0" {
            return;
        }
        let lines = json!([{ "product_id": product, "qty": qty, "unit_cost": cost }]);
        let body = json!({ "location_id": self.location, "lines": lines });
        self.keeper()
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(201);
    }

    /// On hand, reserved, available.
    pub async fn stock(&self, product: ProductId) -> (String, String, String) {
        let path = format!(
            "/api/v1/inventory/availability?items={product}&location={}",
            self.location
        );
        let reply = self.keeper().get(&path).await.expect(200);
        let of = |name: &str| reply.body["items"][0][name].as_str().unwrap().to_owned();
        (of("on_hand"), of("reserved"), of("available"))
    }

    #[track_caller]
    pub fn assert_stock(
        &self,
        product: ProductId,
        expected: (&str, &str, &str),
    ) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let (on_hand, reserved, available) = self.stock(product).await;
            assert_eq!(
                (on_hand.as_str(), reserved.as_str(), available.as_str()),
                expected,
                "on hand, reserved, available at {at}"
            );
        }
    }

    /// Brings what sales has said since to inventory, each event twice.
    pub async fn relay(&self) {
        let events = self.sales.events().await;
        let from = self.relayed.swap(events.len(), Ordering::SeqCst);
        let billing = ["invoice.issued", "return.processed", "invoice.cancelled"];
        let fresh: Vec<_> = events[from..]
            .iter()
            .filter(|e| billing.contains(&e.event_type.as_str()))
            .cloned()
            .collect();
        for slice in fresh.chunks(50) {
            feed(inventory::app(), self.stock.as_ref().unwrap(), slice).await;
        }
    }

    /// Inventory asks sales about the holds past their deadline.
    pub async fn ask_sales(&self) {
        let stock = self.stock.as_ref().unwrap();
        let jobs = inventory::jobs::table(&stock.running.state);
        jobs.iter()
            .find(|j| j.name() == "ask_sales")
            .unwrap()
            .once()
            .await
            .unwrap();
    }

    /// Runs sales' own sweep of held bills.
    pub async fn expire_held_bills(&self) {
        for job in sales::jobs::table(&self.sales.running.state) {
            job.once().await.unwrap();
        }
    }

    pub fn later(&self, seconds: i64) {
        self.clock.advance(chrono::Duration::seconds(seconds));
    }

    pub async fn open_till(&self, till: TillId, float: &str) -> String {
        let body = json!({ "till_id": till, "opening_float": float });
        self.owner
            .post("/api/v1/pos/sessions:open", body)
            .await
            .expect(201)
            .text_at("session_id")
    }

    pub async fn session(&self) -> String {
        self.open_till(self.till, "1000").await
    }

    /// A sale at a till, paid in cash exactly or more.
    pub fn basket(&self, session: &str, lines: &[(ProductId, &str)], cash: &str) -> Value {
        let lines: Vec<_> = lines
            .iter()
            .map(|(p, q)| json!({ "product_id": p, "qty": q }))
            .collect();
        json!({ "session_id": session, "lines": lines, "tenders": [{ "method": "cash", "amount": cash }] })
    }

    pub async fn sell(&self, body: Value) -> Reply {
        self.owner
            .post_with_key("/api/v1/pos/invoice", body, &Uuid::now_v7().to_string())
            .await
    }

    pub async fn abandon(&self, invoice: InvoiceId) -> Reply {
        self.owner
            .post(
                &format!("/api/v1/pos/invoices/{invoice}:abandon"),
                json!({}),
            )
            .await
    }

    /// Asks sales what became of attempts, as inventory would.
    pub async fn states(
        &self,
        holds: &[(InvoiceId, u32)],
    ) -> Result<Vec<ReservationState>, tonic::Status> {
        self.states_as("inventory", holds).await
    }

    pub async fn states_as(
        &self,
        service: &str,
        holds: &[(InvoiceId, u32)],
    ) -> Result<Vec<ReservationState>, tonic::Status> {
        let holds = holds.iter().map(|(invoice, attempt)| HoldRef {
            reservation_id: bahi_proto::reservation_id(*invoice, *attempt).to_string(),
            invoice_id: invoice.to_string(),
            attempt: *attempt,
        });
        let mut request = tonic::Request::new(ReservationStatesRequest {
            holds: holds.collect(),
        });
        let token = self.sales.service_token(service, self.tenant());
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = ReservationsClient::connect(self.sales.grpc_url())
            .await
            .unwrap();
        Ok(client
            .reservation_states(request)
            .await?
            .into_inner()
            .states)
    }

    /// Decisions on an invoice as (attempt, decision), in order.
    pub async fn decisions(&self, invoice: InvoiceId) -> Vec<(i32, String)> {
        let rows = self
            .sales
            .admin()
            .await
            .query(
                "select attempt, decision from reservation_decision where invoice_id = $1 order by attempt",
                &[&invoice.uuid()],
            )
            .await
            .unwrap();
        rows.into_iter().map(|r| (r.get(0), r.get(1))).collect()
    }

    /// Payloads of one event type of this tenant, in order.
    pub async fn said(&self, event_type: &str) -> Vec<Value> {
        let tenant = self.tenant();
        let events = self.sales.events().await.into_iter();
        events
            .filter(|e| e.event_type == event_type && e.tenant_id == tenant)
            .map(|e| e.payload)
            .collect()
    }

    /// The books of both databases agree: numbers without gap, one invoice for each `issued`, S1 to S3 by sums, and
    /// nothing that inventory finds wrong with its own.
    pub async fn assert_sound(&self) {
        let wrong = bahi_testkit::wrong_in_sales(&self.sales.admin().await).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        if self.stock.is_some() {
            self.keeper().assert_books_agree().await;
        }
    }
}

pub fn customer(credit_limit: Option<&str>) -> Customer {
    Customer {
        customer_id: CustomerId::new(),
        name: "Jain Stores".into(),
        phone: Some("+919820098200".into()),
        email: None,
        gstin: None,
        addresses: vec![CustomerAddress {
            kind: "billing".into(),
            text: "Pune".into(),
            state_code: "27".into(),
        }],
        customer_group_id: None,
        credit_limit: credit_limit.map(|limit| limit.parse().unwrap()),
        credit_days: 30,
        status: "active".into(),
    }
}

/// A wire to a server, which may lose what is said.
pub struct Wire {
    url: String,
    set: tokio::sync::watch::Sender<Line>,
}

/// What a wire carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Open,
    /// Nothing.
    Cut,
    /// Questions, and no answers.
    Deaf,
}

impl Wire {
    async fn lay(to: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (set, line) = tokio::sync::watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (to, mut line) = (to.clone(), line.clone());
                tokio::spawn(async move {
                    let now = *line.borrow_and_update();
                    if now == Line::Cut {
                        return;
                    }
                    let server = tokio::net::TcpStream::connect(&to).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    // The handshake passes; what is deaf has it behind it.
                    let up = tokio::io::copy(&mut from_client, &mut to_server);
                    let down = tokio::io::copy(&mut from_server, &mut to_client);
                    let mut swallowed = tokio::io::sink();
                    tokio::pin!(up);
                    {
                        tokio::pin!(down);
                        tokio::select! {
                            _ = &mut up => return,
                            _ = &mut down => return,
                            changed = line.changed() => {
                                if changed.is_err() || *line.borrow_and_update() != Line::Deaf {
                                    return;
                                }
                            }
                        }
                    }
                    let nothing = tokio::io::copy(&mut from_server, &mut swallowed);
                    tokio::select! {
                        _ = up => {}
                        _ = nothing => {}
                        _ = line.changed() => {}
                    }
                });
            }
        });
        Self { url, set }
    }

    /// What it carries from now on.
    pub fn set(&self, line: Line) {
        self.set.send_replace(line);
    }
}

pub fn product(sku: &str, price: &str, inclusive: bool, profile: TaxProfileId) -> Product {
    Product {
        product_id: ProductId::new(),
        sku: sku.into(),
        name: format!("Thing {sku}"),
        variant_of: None,
        kind: ProductKind::Goods,
        category_id: None,
        brand_id: None,
        hsn: "330510".into(),
        tax_profile_id: profile,
        stock_unit_id: UnitId::new(),
        uqc: "PCS".into(),
        units: Vec::new(),
        tracking: Tracking::default(),
        barcodes: Vec::new(),
        price: price.parse().unwrap(),
        price_includes_tax: inclusive,
        mrp: None,
        status: "active".into(),
        changed_fields: Vec::new(),
        template: false,
        components: Vec::new(),
    }
}

pub fn tax_profile(
    id: TaxProfileId,
    category: &str,
    rates: &[(&str, Option<&str>, &str)],
) -> TaxProfile {
    let rate = |(from, to, rate): &(&str, Option<&str>, &str)| TaxRate {
        valid_from: from.parse().unwrap(),
        valid_to: to.map(|t| t.parse().unwrap()),
        rate: rate.parse().unwrap(),
        cess: "0".parse().unwrap(),
        above: None,
    };
    TaxProfile {
        tax_profile_id: id,
        name: "Profile".into(),
        hsn: "330510".into(),
        category: category.into(),
        rates: if category == "taxable" {
            rates.iter().map(rate).collect()
        } else {
            Vec::new()
        },
    }
}
