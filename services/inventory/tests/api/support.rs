//! A shop to test in: the service, a tenant, a location, and a sales service that says what it is told to.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bahi_db::{Batch, Ctx, Tx};
use bahi_events::{
    Branch, Envelope, EventType, InvoiceIssued, InvoiceLine, Location, Product, ProductKind,
    Registration, ReturnLine, ReturnProcessed, Tax, Topic, Tracking,
};
use bahi_http::Keys;
use bahi_kafka::Failed;
use bahi_proto::{
    auth::Guard,
    demand_hash,
    inventory::v1::{
        Allocation, DemandLine, ReleaseRequest, ReserveRequest, Shortage,
        reserve_response::Outcome, stock_client::StockClient,
    },
    reservation_id,
    sales::v1::{
        Decision, Fence, IssuedLine, IssuedSale, LookRequest, LookResponse, PassedRequest,
        PassedResponse, ReservationState, ReservationStatesRequest, ReservationStatesResponse,
        TopicEnd,
        fences_server::{Fences, FencesServer},
        reservations_server::{Reservations, ReservationsServer},
    },
};
use bahi_register::Register;
use bahi_testkit::{Client, Reply, TestApp, envelope, test_env};
use bahi_types::{
    BatchId, BranchId, Clock, InvoiceId, LocationId, Money, Price, ProductId, Quantity, Rate,
    RegistrationId, ReservationId, TaxProfileId, TenantId, UnitId,
};
use chrono::{DateTime, Utc};
use inventory::{State, consumers};
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status, transport::Channel};
use uuid::Uuid;

pub fn q(text: &str) -> Quantity {
    text.parse().unwrap()
}

/// What the made-up sales service knows, and was asked.
#[derive(Default)]
pub struct Ledger {
    pub issued: HashMap<String, IssuedSale>,
    pub closed: Vec<String>,
    pub asked: Vec<String>,
    pub down: bool,
    /// Transactions below this one are visible to whoever looks.
    pub next_txid: i64,
    pub epoch: i64,
    /// Something is not in the topics yet.
    pub unpublished: bool,
    pub ends: Vec<TopicEnd>,
}

#[derive(Clone)]
pub struct FakeSales {
    pub ledger: Arc<Mutex<Ledger>>,
    guard: Guard,
}

#[tonic::async_trait]
impl Reservations for FakeSales {
    async fn reservation_states(
        &self,
        request: Request<ReservationStatesRequest>,
    ) -> Result<Response<ReservationStatesResponse>, Status> {
        self.guard.admit(&request, "ReservationStates")?;
        let mut ledger = self.ledger.lock().unwrap();
        if ledger.down {
            return Err(Status::unavailable("restoring"));
        }
        let mut states = Vec::new();
        for hold in request.into_inner().holds {
            let derived =
                reservation_id(hold.invoice_id.parse().unwrap(), hold.attempt).to_string();
            assert_eq!(
                derived, hold.reservation_id,
                "the hold is named by its invoice and attempt"
            );
            ledger.asked.push(hold.reservation_id.clone());
            let issued = ledger.issued.get(&hold.reservation_id).cloned();
            let decision = if issued.is_some() {
                Decision::Issued
            } else if ledger.closed.contains(&hold.reservation_id) {
                Decision::Closed
            } else {
                Decision::Void
            };
            states.push(ReservationState {
                reservation_id: hold.reservation_id,
                decision: decision.into(),
                issued,
            });
        }
        Ok(Response::new(ReservationStatesResponse { states }))
    }
}

#[tonic::async_trait]
impl Fences for FakeSales {
    async fn look(&self, request: Request<LookRequest>) -> Result<Response<LookResponse>, Status> {
        self.guard.admit(&request, "Look")?;
        let ledger = self.ledger.lock().unwrap();
        if ledger.down {
            return Err(Status::unavailable("restoring"));
        }
        let next = ledger.next_txid.max(3);
        Ok(Response::new(LookResponse {
            snapshot: format!("{next}:{next}:"),
            epoch: ledger.epoch,
        }))
    }

    async fn passed(
        &self,
        request: Request<PassedRequest>,
    ) -> Result<Response<PassedResponse>, Status> {
        self.guard.admit(&request, "Passed")?;
        let ledger = self.ledger.lock().unwrap();
        if ledger.down {
            return Err(Status::unavailable("restoring"));
        }
        let fence = if request.into_inner().epoch != ledger.epoch {
            Fence::Lost
        } else if ledger.unpublished {
            Fence::Closed
        } else {
            Fence::Open
        };
        Ok(Response::new(PassedResponse {
            fence: fence.into(),
            ends: ledger.ends.clone(),
        }))
    }
}

fn register() -> Register {
    let root: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "..",
        "deploy",
        "services.toml",
    ]
    .iter()
    .collect();
    Register::load(root).unwrap()
}

async fn fake_sales() -> (FakeSales, String) {
    let keys =
        Keys::from_folder(format!("{}/public", test_env("BAHI_TEST_KEYS")).as_ref()).unwrap();
    let fake = FakeSales {
        ledger: Arc::new(Mutex::new(Ledger {
            epoch: 1,
            ..Ledger::default()
        })),
        guard: Guard::new(Arc::new(keys), Arc::new(register()), "sales"),
    };
    let listen = tonic::transport::server::TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", listen.local_addr().unwrap());
    let service = ReservationsServer::new(fake.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .add_service(FencesServer::new(fake.clone()))
            .serve_with_incoming(listen),
    );
    (fake, url)
}

#[derive(Clone)]
pub struct Shop {
    pub app: Arc<TestApp<State>>,
    pub owner: Client,
    pub location: LocationId,
    pub sales: FakeSales,
    grpc: StockClient<Channel>,
    books: Arc<Books>,
}

/// The books of every tenant of a test. When its last shop goes they must agree, whatever the test was about.
struct Books {
    /// Serves as long as they are read.
    _app: Arc<TestApp<State>>,
    owners: Mutex<Vec<Client>>,
    /// The test breaks them, or the service.
    broken: AtomicBool,
}

impl Drop for Books {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Relaxed) || std::thread::panicking() {
            return;
        }
        let owners = std::mem::take(self.owners.get_mut().unwrap());
        let prove = async {
            for owner in owners {
                owner.with_permissions(&["*"]).assert_books_agree().await;
            }
        };
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(prove));
    }
}

pub type Line<'a> = (ProductId, &'a str);

/// An answer of `Reserve` that is easy to compare.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Granted(Vec<Allocation>),
    Refused(Vec<Shortage>),
    Terminal(i32),
    Error(Code, String),
}

impl Got {
    #[track_caller]
    pub fn granted(self) -> Vec<Allocation> {
        match self {
            Self::Granted(allocations) => allocations,
            other => panic!("not granted: {other:?}"),
        }
    }
    pub fn is_granted(&self) -> bool {
        matches!(self, Self::Granted(_))
    }
}

impl Shop {
    pub async fn open() -> Self {
        Self::at("2026-11-21T06:00:00Z").await
    }

    /// A shop whose clock stands still.
    pub async fn at(now: &str) -> Self {
        Self::at_with(now, &[]).await
    }

    /// The same with more settings.
    pub async fn at_with(now: &str, more: &[(&str, &str)]) -> Self {
        let (sales, url) = fake_sales().await;
        let clock = Clock::fixed(now.parse().unwrap());
        let mut settings = vec![("BAHI_SALES_GRPC", url.as_str())];
        settings.extend(more);
        let app = TestApp::start_with(inventory::app(), &settings, clock).await;
        let app = Arc::new(app);
        let owner = app.tenant();
        let grpc = StockClient::connect(app.grpc_url()).await.unwrap();
        let books = Books {
            _app: app.clone(),
            owners: Mutex::new(vec![owner.clone()]),
            broken: AtomicBool::new(false),
        };
        let mut shop = Self {
            app,
            owner,
            location: LocationId::new(),
            sales,
            grpc,
            books: Arc::new(books),
        };
        shop.location = shop.new_location().await;
        shop
    }

    /// Another business in the same database.
    pub async fn next_tenant(&self) -> Self {
        let mut shop = Self {
            owner: self.app.tenant(),
            ..self.clone()
        };
        self.books.owners.lock().unwrap().push(shop.owner.clone());
        shop.location = shop.new_location().await;
        shop
    }

    pub fn state(&self) -> &State {
        &self.app.running.state
    }
    pub fn tenant(&self) -> TenantId {
        self.owner.tenant
    }
    pub fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }
    pub fn later(&self, seconds: i64) {
        self.app.clock.advance(chrono::Duration::seconds(seconds));
    }

    pub fn envelope<P>(&self, id: Uuid, version: i64, payload: P) -> Envelope<P> {
        let event = EventType::new("test", Topic::Products, "test").of(id, version, &());
        envelope::<()>(event, self.tenant(), self.now()).with_payload(payload)
    }

    /// Runs a handler on a slice as the consumer would, in one transaction.
    pub async fn hear_once<P>(
        &self,
        handler: impl AsyncFn(&mut Tx, &[Envelope<P>]) -> Result<(), Failed>,
        events: &[Envelope<P>],
    ) -> Result<(), Failed> {
        for attempt in 0.. {
            let mut batch = Batch::begin(&self.app.db, None).await.unwrap();
            let tx = batch
                .enter(Ctx::service("inventory", self.tenant()))
                .await
                .unwrap();
            match handler(tx, events).await {
                Ok(()) => {
                    batch.commit().await.unwrap();
                    return Ok(());
                }
                // As the loop does: the same events again.
                Err(Failed::Retry(_)) if attempt < 20 => batch.rollback().await.unwrap(),
                Err(failed) => {
                    batch.rollback().await.unwrap();
                    return Err(failed);
                }
            }
        }
        unreachable!()
    }

    /// Every event is heard twice, the second time as if the inbox had never seen it.
    pub async fn hear<P>(
        &self,
        handler: impl AsyncFn(&mut Tx, &[Envelope<P>]) -> Result<(), Failed>,
        events: &[Envelope<P>],
    ) {
        for _ in 0..2 {
            self.hear_once(&handler, events).await.unwrap();
        }
    }

    pub async fn new_location(&self) -> LocationId {
        self.location_under(RegistrationId::new(), "27AAPFU0939F1ZV")
            .await
    }

    /// A location of a branch of its own, under a registration.
    pub async fn location_under(&self, registration_id: RegistrationId, gstin: &str) -> LocationId {
        let location_id = LocationId::new();
        let branch_id = BranchId::new();
        let registration = Registration {
            registration_id,
            gstin: Some(gstin.into()),
            state_code: gstin[..2].into(),
            legal_name: "Shop".into(),
            active: true,
        };
        let heard = self.envelope(registration_id.uuid(), 1, registration);
        self.hear(consumers::registration, &[heard]).await;
        let branch = Branch {
            branch_id,
            code: "S".into(),
            name: "Shop".into(),
            registration_id,
            address: None,
            phone: None,
            upi_vpa: None,
            active: true,
        };
        self.hear(
            consumers::branch,
            &[self.envelope(branch_id.uuid(), 1, branch)],
        )
        .await;
        let place = Location {
            location_id,
            branch_id,
            code: "S".into(),
            name: "Shop".into(),
            active: true,
        };
        self.hear(
            consumers::location,
            &[self.envelope(location_id.uuid(), 1, place)],
        )
        .await;
        location_id
    }

    /// A colleague of the owner, who may do anything too.
    pub fn colleague(&self) -> Client {
        self.app.client(self.tenant(), &["*"])
    }

    /// The same business at another location.
    pub async fn branch(&self) -> Self {
        self.at_location(self.new_location().await)
    }

    /// A location that was opened and closed.
    pub async fn close_location(&self) -> LocationId {
        let location_id = self.new_location().await;
        let place = Location {
            location_id,
            branch_id: BranchId::new(),
            code: "S".into(),
            name: "Shop".into(),
            active: false,
        };
        let heard = self.envelope(location_id.uuid(), 2, place);
        self.hear(consumers::location, &[heard]).await;
        location_id
    }

    pub fn at_location(&self, location: LocationId) -> Self {
        Self {
            location,
            ..self.clone()
        }
    }

    pub async fn product(&self) -> ProductId {
        self.tracked(Tracking::default()).await
    }
    pub async fn batched(&self) -> ProductId {
        self.tracked(Tracking {
            batch: true,
            serial: false,
            expiry: false,
        })
        .await
    }
    pub async fn tracked(&self, tracking: Tracking) -> ProductId {
        let id = ProductId::new();
        self.hear(
            consumers::product,
            &[self.envelope(id.uuid(), 1, product(id, tracking))],
        )
        .await;
        id
    }

    pub async fn receive(&self, product: ProductId, qty: &str, cost: &str) -> Reply {
        let body = json!({ "location_id": self.location,
            "lines": [{ "product_id": product, "qty": qty, "unit_cost": cost }] });
        self.owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(201)
    }

    pub async fn receive_batch(
        &self,
        product: ProductId,
        no: &str,
        expiry: Option<&str>,
        qty: &str,
        cost: &str,
    ) -> BatchId {
        let body = json!({ "location_id": self.location, "lines": [
            { "product_id": product, "qty": qty, "unit_cost": cost, "batch_no": no, "expiry": expiry }] });
        let reply = self
            .owner
            .post("/api/v1/inventory/receipts", body)
            .await
            .expect(201);
        reply.body["lines"][0]["batch_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub async fn stock(&self, product: ProductId) -> (Quantity, Quantity, Quantity) {
        let path = format!(
            "/api/v1/inventory/availability?items={product}&location={}",
            self.location
        );
        let reply = self.owner.get(&path).await.expect(200);
        let of = |name: &str| q(reply.body["items"][0][name].as_str().unwrap());
        (of("on_hand"), of("reserved"), of("available"))
    }

    /// On hand, reserved, available.
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
                (on_hand, reserved, available),
                (q(expected.0), q(expected.1), q(expected.2)),
                "on hand, reserved, available at {at}"
            );
        }
    }

    /// What every test ends with, in the middle of one.
    pub async fn assert_sound(&self) {
        self.owner.assert_books_agree().await;
    }

    /// This test breaks the books on purpose, or takes the service away: nothing is proved when it ends.
    pub fn breaks_the_books(&self) {
        self.books.broken.store(true, Ordering::Relaxed);
    }

    pub fn hash(&self, lines: &[Line<'_>]) -> String {
        demand_hash(self.location, lines.iter().map(|(p, n)| (*p, q(n))))
    }

    pub fn demand(&self, invoice: InvoiceId, attempt: u32, lines: &[Line<'_>]) -> ReserveRequest {
        ReserveRequest {
            invoice_id: invoice.to_string(),
            attempt,
            location_id: self.location.to_string(),
            lines: (1..)
                .zip(lines)
                .map(|(line, (product, qty))| DemandLine {
                    line,
                    product_id: product.to_string(),
                    qty: (*qty).to_owned(),
                    batch_id: None,
                    serials: Vec::new(),
                })
                .collect(),
            demand_hash: self.hash(lines),
            deadline_seconds: 30,
            ..ReserveRequest::default()
        }
    }

    pub fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.app.service_token("sales", self.tenant());
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    pub async fn send(&self, request: ReserveRequest) -> Got {
        match self.grpc.clone().reserve(self.signed(request)).await {
            Ok(answer) => match answer.into_inner().outcome.unwrap() {
                Outcome::Granted(granted) => Got::Granted(granted.allocations),
                Outcome::Refused(refused) => Got::Refused(refused.lines),
                Outcome::Terminal(terminal) => Got::Terminal(terminal.state),
            },
            Err(status) => {
                let code = bahi_proto::auth::code_of(&status)
                    .unwrap_or_default()
                    .to_owned();
                Got::Error(status.code(), code)
            }
        }
    }

    pub async fn reserve(&self, invoice: InvoiceId, attempt: u32, lines: &[Line<'_>]) -> Got {
        self.send(self.demand(invoice, attempt, lines)).await
    }

    pub async fn release(&self, invoice: InvoiceId, attempt: u32) -> i32 {
        let request = ReleaseRequest {
            invoice_id: invoice.to_string(),
            attempt,
        };
        self.grpc
            .clone()
            .release(self.signed(request))
            .await
            .unwrap()
            .into_inner()
            .state
    }

    pub fn grpc(&self) -> StockClient<Channel> {
        self.grpc.clone()
    }

    /// The event of an invoice that was promised its stock by `attempt`.
    pub fn invoice(
        &self,
        invoice: InvoiceId,
        attempt: u32,
        lines: &[Line<'_>],
    ) -> Envelope<InvoiceIssued> {
        let payload = invoice_of(self, invoice, Some(reservation_id(invoice, attempt)), lines);
        self.envelope(invoice.uuid(), 1, payload)
    }

    pub async fn issue(&self, invoice: InvoiceId, attempt: u32, lines: &[Line<'_>]) {
        self.hear(consumers::issued, &[self.invoice(invoice, attempt, lines)])
            .await;
    }

    /// A whole sale: hold and event.
    pub async fn sell(&self, lines: &[Line<'_>]) -> InvoiceId {
        let invoice = InvoiceId::new();
        self.reserve(invoice, 1, lines).await.granted();
        self.issue(invoice, 1, lines).await;
        invoice
    }

    pub fn credit_note(
        &self,
        invoice: Option<InvoiceId>,
        lines: &[(i32, ProductId, &str, &str)],
    ) -> Envelope<ReturnProcessed> {
        let credit_note_id = InvoiceId::new();
        let lines = (1..)
            .zip(lines)
            .map(|(line, (original, product, qty, disposition))| ReturnLine {
                line,
                original_line: invoice.map(|_| *original),
                product_id: *product,
                stocked: true,
                qty: q(qty),
                taxable: Money::ZERO,
                rate: Rate::ZERO,
                tax: Tax::default(),
                total: Money::ZERO,
                disposition: (*disposition).to_owned(),
                serials: Vec::new(),
            });
        let payload = ReturnProcessed {
            credit_note_id,
            number: "CN/1".into(),
            date: self.now().date_naive(),
            original_invoice_id: invoice,
            branch_id: BranchId::new(),
            location_id: self.location,
            till_id: None,
            session_id: None,
            lines: lines.collect(),
            taxable: Money::ZERO,
            tax: Tax::default(),
            round_off: Money::ZERO,
            total: Money::ZERO,
            refund_tenders: Vec::new(),
            reason: None,
            external_reference: None,
            offline: None,
        };
        self.envelope(credit_note_id.uuid(), 1, payload)
    }

    pub async fn give_back(
        &self,
        invoice: Option<InvoiceId>,
        lines: &[(i32, ProductId, &str, &str)],
    ) {
        self.hear(consumers::returned, &[self.credit_note(invoice, lines)])
            .await;
    }

    /// What sales answers about an attempt from now on.
    pub fn sales_issued(&self, invoice: InvoiceId, attempt: u32, lines: &[Line<'_>]) {
        let lines = (1..).zip(lines).map(|(line, (product, qty))| IssuedLine {
            line,
            product_id: product.to_string(),
            qty: (*qty).to_owned(),
            serials: Vec::new(),
        });
        let sale = IssuedSale {
            invoice_id: invoice.to_string(),
            location_id: self.location.to_string(),
            demand_hash: String::new(),
            lines: lines.collect(),
            occurred_at: self.now().to_rfc3339(),
            number: "T1/26-27/0001".into(),
        };
        let id = reservation_id(invoice, attempt).to_string();
        self.sales.ledger.lock().unwrap().issued.insert(id, sale);
    }

    pub fn sales_issued_as(&self, invoice: InvoiceId, attempt: u32, lines: &[Line<'_>]) {
        self.sales_issued(invoice, attempt, lines);
        let hash = self.hash(lines);
        let id = reservation_id(invoice, attempt).to_string();
        self.sales
            .ledger
            .lock()
            .unwrap()
            .issued
            .get_mut(&id)
            .unwrap()
            .demand_hash = hash;
    }

    pub async fn hold_state(&self, id: ReservationId) -> String {
        let reply = self
            .owner
            .get(&format!("/api/v1/inventory/reservations/{id}"))
            .await
            .expect(200);
        reply.text_at("state")
    }

    pub async fn adjust(&self, product: ProductId, delta: &str) -> Reply {
        let body = json!({ "location_id": self.location, "reason": "count",
            "lines": [{ "product_id": product, "qty_delta": delta }] });
        self.owner.post("/api/v1/inventory/adjust", body).await
    }

    pub async fn hold(&self, lines: &[Line<'_>], ttl: u32) -> Reply {
        let lines: Vec<_> = lines
            .iter()
            .map(|(p, n)| json!({ "product_id": p, "qty": n }))
            .collect();
        let body = json!({ "location_id": self.location, "ttl_seconds": ttl, "lines": lines });
        self.owner
            .post("/api/v1/inventory/reservations", body)
            .await
    }

    pub async fn shortages(&self) -> Vec<Value> {
        let reply = self
            .owner
            .get("/api/v1/inventory/shortages")
            .await
            .expect(200);
        reply.body["items"].as_array().unwrap().clone()
    }

    /// Payloads of one event type, in order.
    pub async fn said(&self, event_type: &str) -> Vec<Value> {
        let tenant = self.tenant();
        let events = self.app.events().await.into_iter();
        events
            .filter(|e| e.event_type == event_type && e.tenant_id == tenant)
            .map(|e| e.payload)
            .collect()
    }

    pub async fn value(&self) -> String {
        self.owner
            .get("/api/v1/inventory/valuation")
            .await
            .expect(200)
            .text_at("total_value")
    }
}

pub fn product(product_id: ProductId, tracking: Tracking) -> Product {
    Product {
        product_id,
        sku: product_id.to_string(),
        name: "Thing".into(),
        variant_of: None,
        kind: ProductKind::Goods,
        category_id: None,
        brand_id: None,
        hsn: "330510".into(),
        tax_profile_id: TaxProfileId::new(),
        stock_unit_id: UnitId::new(),
        uqc: "NOS".into(),
        units: Vec::new(),
        tracking,
        barcodes: Vec::new(),
        price: Price::from(10),
        price_includes_tax: true,
        mrp: None,
        status: "active".into(),
        changed_fields: Vec::new(),
        template: false,
        components: Vec::new(),
    }
}

pub fn invoice_of(
    shop: &Shop,
    invoice: InvoiceId,
    hold: Option<ReservationId>,
    lines: &[Line<'_>],
) -> InvoiceIssued {
    let line = |(line, (product, qty)): (i32, &Line<'_>)| InvoiceLine {
        line,
        product_id: *product,
        stocked: true,
        description: "Thing".into(),
        hsn: "330510".into(),
        uqc: "NOS".into(),
        qty: q(qty),
        unit_price: Price::from(10),
        price_includes_tax: true,
        discount: Money::ZERO,
        taxable: Money::ZERO,
        rate: Rate::ZERO,
        cess_rate: Rate::ZERO,
        tax_category: "taxable".into(),
        tax: Tax::default(),
        total: Money::ZERO,
        batch_allocations: Vec::new(),
        fulfilment_id: None,
        order_id: None,
        order_line: None,
        pricing: None,
        serials: Vec::new(),
    };
    InvoiceIssued {
        invoice_id: invoice,
        number: "T1/26-27/0001".into(),
        date: shop.now().date_naive(),
        kind: "B2C".into(),
        registration_id: RegistrationId::new(),
        gstin_supplier: None,
        gstin_buyer: None,
        pos: "27".into(),
        reverse_charge: false,
        branch_id: BranchId::new(),
        location_id: shop.location,
        till_id: None,
        session_id: None,
        customer_id: None,
        salesperson_id: None,
        reservation_id: hold,
        demand_hash: shop.hash(lines),
        lines: (1..).zip(lines).map(line).collect(),
        taxable: Money::ZERO,
        tax: Tax::default(),
        round_off: Money::ZERO,
        total: Money::ZERO,
        currency: "INR".into(),
        tenders: Vec::new(),
        change: Money::ZERO,
        external_reference: None,
        external_date: None,
        pricing: None,
        offline: None,
    }
}
