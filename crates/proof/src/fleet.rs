//! Processes, databases, and a shop seeded straight into the services' copies.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bahi_testkit::{Client, TestDb, eventually, test_env};
use bahi_types::TenantId;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// A shipped binary beside the running test: built by `scripts/test` before the tests run.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("own path");
    let folder = test.ancestors().find(|a| a.join(name).is_file());
    folder
        .unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace --bins"))
        .join(name)
}

/// A running process; killed when it goes out of scope.
pub struct Process {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub url: String,
}

impl Process {
    /// SIGKILL, from outside, and wait until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
        .port()
}

/// The databases and addresses of a fleet; processes come and go.
pub struct Fleet {
    /// Inventory's database.
    pub inventory_db: TestDb,
    /// Sales' database.
    pub sales_db: TestDb,
    /// The tenant of the shop.
    pub tenant: TenantId,
    /// Stock location.
    pub location: Uuid,
    /// Products, each with the same stock to begin with.
    pub products: Vec<Uuid>,
    /// Open POS session.
    pub session: Uuid,
    folder: TempDir,
    inventory_grpc: u16,
    sales_grpc: u16,
    prefix: String,
}

/// On hand of each product at the beginning.
pub const OPENING: i64 = 100;

impl Fleet {
    /// Databases with a shop in them; no process runs yet.
    pub async fn create() -> Self {
        let inventory_db =
            TestDb::create("inventory", inventory::app().embedded_migrations()).await;
        let sales_db = TestDb::create("sales", sales::app().embedded_migrations()).await;
        let fleet = Self {
            inventory_db,
            sales_db,
            tenant: TenantId::new(),
            location: Uuid::now_v7(),
            products: (0..3).map(|_| Uuid::now_v7()).collect(),
            session: Uuid::now_v7(),
            folder: TempDir::new().expect("a folder"),
            inventory_grpc: free_port(),
            sales_grpc: free_port(),
            prefix: format!("proof-{}.", Uuid::now_v7().simple()),
        };
        fleet.seed().await;
        let topics = ["billing", "inventory", "products", "identity", "audit"]
            .map(|d| format!("{}{d}.events.v1", fleet.prefix));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        bahi_kafka::create_topics(&test_env("BAHI_TEST_KAFKA"), &topics, 2)
            .await
            .expect("topics");
        fleet
    }

    async fn seed(&self) {
        let (tenant, location) = (self.tenant.uuid(), self.location);
        let (branch, registration, till, profile) = (
            Uuid::now_v7(),
            Uuid::now_v7(),
            Uuid::now_v7(),
            Uuid::now_v7(),
        );
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
                 insert into movement (tenant_id, id, kind, source_type, source_id, source_line, purpose, allocation_no, location_id, product_id, batch_id, status, qty, value, occurred_at, recorded_at)
                   values ('{tenant}', '{movement}', 'receipt', 'receipt', '{movement}', 1, 'receipt', 1, '{location}', '{product}', '{none}', 'sellable', {OPENING}, {OPENING} * 60, now(), now());
                 insert into cost_layer (tenant_id, id, location_id, product_id, batch_id, status, qty_left, value_left, unit_cost, received_at)
                   values ('{tenant}', '{movement}', '{location}', '{product}', '{none}', 'sellable', {OPENING}, {OPENING} * 60, 60, now());"
            ));
        }
        self.sales_db
            .admin()
            .await
            .batch_execute(&sales)
            .await
            .expect("seed sales");
        self.inventory_db
            .admin()
            .await
            .batch_execute(&stock)
            .await
            .expect("seed inventory");
    }

    /// Kafka topic of a domain.
    pub fn topic(&self, domain: &str) -> String {
        format!("{}{domain}.events.v1", self.prefix)
    }

    fn command(&self, service: &str, database: Option<&TestDb>, pause: &str) -> (Command, String) {
        let keys = test_env("BAHI_TEST_KEYS");
        let port = free_port();
        let mut command = Command::new(binary(service));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("{service}.log")))
            .expect("log");
        command
            .env("BAHI_LISTEN", format!("127.0.0.1:{port}"))
            .env("BAHI_KAFKA", test_env("BAHI_TEST_KAFKA"))
            .env("BAHI_TOPIC_PREFIX", &self.prefix)
            .env("BAHI_TRUST_DIR", format!("{keys}/public"))
            .env("BAHI_KEY_FILE", format!("{keys}/private/{service}.pem"))
            .env("BAHI_REGISTER", self.register())
            .env(
                "BAHI_INVENTORY_GRPC",
                format!("http://127.0.0.1:{}", self.inventory_grpc),
            )
            .env(
                "BAHI_SALES_GRPC",
                format!("http://127.0.0.1:{}", self.sales_grpc),
            )
            .env("BAHI_HOLD_SECONDS", "1")
            .env("BAHI_DB_CHECKOUT_MS", "10000")
            .env("BAHI_PAUSE_DIR", self.folder.path())
            .env("BAHI_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        if !pause.is_empty() {
            command.env("BAHI_PAUSE", pause);
        }
        if let Some(database) = database {
            command.env("BAHI_DATABASE_URL", database.url());
        }
        (command, format!("http://127.0.0.1:{port}"))
    }

    /// The register, with the databases of this fleet only.
    fn register(&self) -> PathBuf {
        let file = self.folder.path().join("services.toml");
        let real: &Path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml").as_ref();
        let text = fs::read_to_string(real).expect("the register");
        let mut blocks = text.split("[[service]]");
        let mut own = blocks.next().unwrap_or_default().to_owned();
        for block in blocks.filter(|b| {
            ["\"inventory\"", "\"sales\"", "\"outbox-worker\""]
                .iter()
                .any(|n| b.trim_start().starts_with(&format!("name = {n}")))
        }) {
            own.push_str("[[service]]");
            own.push_str(block);
        }
        fs::write(&file, own).expect("a register");
        file
    }

    async fn up(&self, (mut command, url): (Command, String), path: &str) -> Process {
        let process = Process {
            child: command.spawn().expect("the binary starts"),
            url,
        };
        let http = reqwest::Client::new();
        let ready = format!("{}{path}", process.url);
        eventually(|| async {
            http.get(&ready)
                .send()
                .await
                .ok()
                .filter(|r| r.status().is_success())
                .map(|_| ())
        })
        .await;
        process
    }

    /// Starts inventory; `pause` names pause points to arm.
    pub async fn inventory(&self, pause: &str) -> Process {
        let (mut command, url) = self.command("inventory", Some(&self.inventory_db), pause);
        command.env(
            "BAHI_GRPC_LISTEN",
            format!("127.0.0.1:{}", self.inventory_grpc),
        );
        self.up((command, url), "/readyz").await
    }

    /// Starts sales. Only the first of several replicas answers `ReservationStates`.
    pub async fn sales(&self, pause: &str) -> Process {
        let (mut command, url) = self.command("sales", Some(&self.sales_db), pause);
        command.env("BAHI_GRPC_LISTEN", format!("127.0.0.1:{}", self.sales_grpc));
        self.up((command, url), "/readyz").await
    }

    /// Starts another replica of sales, whose gRPC nobody calls.
    pub async fn sales_replica(&self, pause: &str) -> Process {
        let (mut command, url) = self.command("sales", Some(&self.sales_db), pause);
        command.env("BAHI_GRPC_LISTEN", format!("127.0.0.1:{}", free_port()));
        self.up((command, url), "/readyz").await
    }

    /// Starts the outbox worker.
    pub async fn worker(&self) -> Process {
        let (mut command, url) = self.command("outbox-worker", None, "");
        let relay = |db: &TestDb| format!("{}?options=-c%20role%3Dbahi_relay", db.admin_url());
        command
            .env("BAHI_RELAY_INVENTORY_URL", relay(&self.inventory_db))
            .env("BAHI_RELAY_SALES_URL", relay(&self.sales_db));
        self.up((command, url), "/livez").await
    }

    /// A client of a running service.
    pub fn client(&self, process: &Process) -> Client {
        Client::of(process.url.clone(), self.tenant, &["*"])
    }

    /// Waits until `process` stands at the pause point.
    pub async fn reached(&self, process: &Process, point: &str) {
        let file = self
            .folder
            .path()
            .join(format!("{point}.{}", process.pid()));
        eventually(|| async { file.exists().then_some(()) }).await;
    }

    /// Lets a process that stands at the pause point go on.
    pub fn go_on(&self, process: &Process, point: &str) {
        fs::remove_file(
            self.folder
                .path()
                .join(format!("{point}.{}", process.pid())),
        )
        .expect("it stands there");
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
}
