//! A shop with a unit and a tax profile, and short ways to say things.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bahi_events::Envelope;
use bahi_proto::inventory::v1::{
    AvailabilityRequest, AvailabilityResponse, DeliverRequest, DeliverResponse,
    HoldForOrderRequest, HoldForOrderResponse, ReleaseOrderRequest, ReleaseRequest,
    ReleaseResponse, ReserveRequest, ReserveResponse, Summary, SummaryRequest, SummaryResponse,
    stock_server::{Stock, StockServer},
};
use bahi_testkit::{Client, Reply, TestApp, TestStore, eventually};
use bahi_types::Clock;
use product::State;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

pub type App = TestApp<State>;

/// The type of a workbook.
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// A valid EAN-13.
pub const EAN: &str = "4006381333931";

/// The service beside an inventory that has nothing.
pub async fn start() -> App {
    let (_, url) = Inventory::serve();
    let settings = [("BAHI_INVENTORY_GRPC", url.as_str())];
    TestApp::start_with(product::app(), &settings, Clock::System).await
}

/// The service with the store of the tests, reached at `endpoint` where that is another.
pub async fn start_with_store(endpoint: Option<&str>) -> App {
    let store = TestStore::of_env();
    let mut settings = store.settings().to_vec();
    let (_, inventory) = Inventory::serve();
    settings.push(("BAHI_INVENTORY_GRPC", &inventory));
    settings.extend(endpoint.map(|at| ("BAHI_S3_ENDPOINT", at)));
    TestApp::start_with(product::app(), &settings, bahi_types::Clock::System).await
}

/// An inventory that says what it is told to.
#[derive(Clone)]
pub struct Inventory {
    /// On hand, reserved, owed by product; nothing of what is not here.
    pub there: Arc<Mutex<HashMap<String, [&'static str; 3]>>>,
    /// What history or an open document refers to: moved, open documents.
    pub known: Arc<Mutex<HashMap<String, (bool, bool)>>>,
    /// Questions so far.
    pub asked: Arc<Mutex<usize>>,
    /// A question is answered when there is a permit.
    pub answers: Arc<Semaphore>,
    /// It answers nothing.
    pub down: Arc<Mutex<bool>>,
}

#[tonic::async_trait]
impl Stock for Inventory {
    async fn summary(
        &self,
        request: Request<SummaryRequest>,
    ) -> Result<Response<SummaryResponse>, Status> {
        let ids = request.into_inner().product_ids;
        // As of now, whatever comes while the answer is on its way.
        let there = self.there.lock().unwrap().clone();
        let known = self.known.lock().unwrap().clone();
        *self.asked.lock().unwrap() += 1;
        self.answers.acquire().await.unwrap().forget();
        if *self.down.lock().unwrap() {
            return Err(Status::unavailable("down"));
        }
        let item = |id: String| {
            let [on_hand, reserved, owed] = there
                .get(&id)
                .copied()
                .unwrap_or(["0"; 3])
                .map(str::to_owned);
            let (moved, open_documents) = known.get(&id).copied().unwrap_or_default();
            Summary {
                product_id: id,
                on_hand,
                reserved,
                owed,
                moved,
                open_documents,
                ..Summary::default()
            }
        };
        Ok(Response::new(SummaryResponse {
            items: ids.into_iter().map(item).collect(),
        }))
    }
    async fn reserve(
        &self,
        _: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
    async fn release(
        &self,
        _: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
    async fn availability(
        &self,
        _: Request<AvailabilityRequest>,
    ) -> Result<Response<AvailabilityResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
    async fn hold_for_order(
        &self,
        _: Request<HoldForOrderRequest>,
    ) -> Result<Response<HoldForOrderResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
    async fn deliver(
        &self,
        _: Request<DeliverRequest>,
    ) -> Result<Response<DeliverResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
    async fn release_order(
        &self,
        _: Request<ReleaseOrderRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        Err(Status::unimplemented("sales asks that"))
    }
}

impl Inventory {
    /// One that has nothing, and its URL.
    fn serve() -> (Self, String) {
        let inventory = Self {
            there: Arc::default(),
            known: Arc::default(),
            asked: Arc::default(),
            answers: Arc::new(Semaphore::new(1000)),
            down: Arc::default(),
        };
        let listen =
            tonic::transport::server::TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let url = format!("http://{}", listen.local_addr().unwrap());
        let server =
            tonic::transport::Server::builder().add_service(StockServer::new(inventory.clone()));
        tokio::spawn(server.serve_with_incoming(listen));
        (inventory, url)
    }
}

/// The service and the inventory beside it.
pub async fn start_with_inventory() -> (App, Inventory) {
    let (inventory, url) = Inventory::serve();
    let clock = Clock::fixed(chrono::Utc::now());
    let app = TestApp::start_with(product::app(), &[("BAHI_INVENTORY_GRPC", &url)], clock).await;
    (app, inventory)
}

/// A tenant that can make products.
pub struct Shop {
    pub owner: Client,
    /// Unit `PCS`.
    pub unit: String,
    /// Tax profile `GST 18`, HSN 854442, 18 %.
    pub tax: String,
}

impl Shop {
    pub async fn open(app: &App) -> Self {
        let owner = app.tenant();
        let unit = json!({ "code": "PCS", "name": "Piece", "uqc": "PCS" });
        let unit = owner
            .post("/api/v1/units", unit)
            .await
            .expect(201)
            .text_at("id");
        let tax = profile("GST 18", "854442", "18");
        let tax = owner
            .post("/api/v1/tax-profiles", tax)
            .await
            .expect(201)
            .text_at("id");
        Self { owner, unit, tax }
    }

    /// A product as a client says it, with some fields said otherwise.
    pub fn product(&self, sku: &str, other: Value) -> Value {
        let mut body = json!({
            "sku": sku, "name": format!("Product {sku}"), "unit_id": self.unit, "tax_profile_id": self.tax,
            "price": "100",
        });
        merge(&mut body, other);
        body
    }

    pub async fn add(&self, sku: &str, other: Value) -> Reply {
        self.owner
            .post("/api/v1/products", self.product(sku, other))
            .await
    }

    pub async fn step(&self, id: &str, verb: &str) -> Reply {
        self.owner
            .post(&format!("/api/v1/products/{id}:{verb}"), json!({}))
            .await
    }

    /// An attribute with these values: its id, and theirs.
    pub async fn attribute(&self, name: &str, values: &[&str]) -> (String, Vec<String>) {
        let values: Vec<Value> = values.iter().map(|name| json!({ "name": name })).collect();
        let made = self
            .owner
            .post(
                "/api/v1/attributes",
                json!({ "name": name, "values": values }),
            )
            .await
            .expect(201);
        let ids = made.body["values"].as_array().unwrap().iter();
        let ids = ids
            .map(|value| value["id"].as_str().unwrap().to_owned())
            .collect();
        (made.text_at("id"), ids)
    }

    /// Makes the variants of a product.
    pub async fn generate(&self, template: &str, body: Value, dry_run: bool) -> Reply {
        let path = format!("/api/v1/products/{template}/variants:generate?dry_run={dry_run}");
        self.owner.post(&path, body).await
    }

    pub async fn get(&self, id: &str) -> Value {
        self.owner
            .get(&format!("/api/v1/products/{id}"))
            .await
            .expect(200)
            .body
    }

    pub async fn upload(&self, query: &str, file: impl Into<reqwest::Body>) -> Reply {
        self.upload_as("text/csv; charset=utf-8", query, file).await
    }

    pub async fn upload_as(
        &self,
        content_type: &str,
        query: &str,
        file: impl Into<reqwest::Body>,
    ) -> Reply {
        let request = self.owner.request(
            Method::POST,
            &format!("/api/v1/products/bulk-import{query}"),
        );
        self.owner
            .send(request.header("content-type", content_type).body(file))
            .await
    }

    /// Uploads a file and waits until its job rests.
    pub async fn import(&self, query: &str, file: impl Into<reqwest::Body>) -> Value {
        let id = self.upload(query, file).await.expect(202).text_at("id");
        self.rests(&id).await
    }

    /// Waits until a job rests.
    pub async fn rests(&self, id: &str) -> Value {
        let path = format!("/api/v1/import-jobs/{id}");
        eventually(async || {
            let job = self.owner.get(&path).await.expect(200).body;
            let moving = matches!(
                job["status"].as_str(),
                Some("uploaded" | "validating" | "applying")
            ) || job["status"] == "ready" && job["dry_run"] == false;
            (!moving).then_some(job)
        })
        .await
    }

    /// The errors of a job, without their header.
    pub async fn errors(&self, job: &Value) -> Vec<String> {
        let id = job["id"].as_str().unwrap();
        let answer = self
            .owner
            .get(&format!("/api/v1/import-jobs/{id}/errors.csv"))
            .await
            .expect(200);
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("text/csv")
        );
        let mut lines = answer.text.lines().map(str::to_owned);
        assert_eq!(lines.next().as_deref(), Some("line,column,value,reason"));
        lines.collect()
    }

    /// The product with this SKU.
    pub async fn by_sku(&self, sku: &str) -> Value {
        let list = self
            .owner
            .get(&format!("/api/v1/products?sku={sku}"))
            .await
            .expect(200)
            .body;
        list["items"][0].clone()
    }
}

/// A tax profile with one rate since the beginning of GST.
pub fn profile(name: &str, hsn: &str, rate: &str) -> Value {
    json!({ "name": name, "hsn": hsn, "rates": [{ "valid_from": "2017-07-01", "rate": rate }] })
}

pub fn merge(body: &mut Value, other: Value) {
    for (field, value) in other.as_object().unwrap() {
        body[field] = value.clone();
    }
}

/// Events of one type, in order.
pub async fn events(app: &App, event_type: &str) -> Vec<Envelope<Value>> {
    app.events()
        .await
        .into_iter()
        .filter(|event| event.event_type == event_type)
        .collect()
}

/// The names in a list.
pub fn column(list: &Reply, field: &str) -> Vec<String> {
    let items = list.body["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", list.text));
    items
        .iter()
        .map(|item| item[field].as_str().unwrap().to_owned())
        .collect()
}

/// Runs one of the service's jobs once.
pub async fn run_job(state: &State, name: &str) {
    let jobs = product::jobs::table(state);
    jobs.iter()
        .find(|job| job.name() == name)
        .unwrap()
        .once()
        .await
        .unwrap();
}
