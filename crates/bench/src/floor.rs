//! The floor: both transactions of a five-line sale, pipelined straight into the same PostgreSQL.
//!
//! Tables, keys and row-level security are shaped as the services' own, the statements are prepared and sent without
//! waiting for each other: what is left is the work that PostgreSQL cannot be spared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::future::try_join_all;
use rand::Rng;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

const DATABASE: &str = "bahi_bench_floor";
const ROLE: &str = "bahi_bench_floor_app";
/// As long as the hash of a demand.
const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Products in stock; five different ones a sale.
const PRODUCTS: usize = 1000;

const SCHEMA: &str = "
create table stock_item (tenant_id uuid, location_id uuid, product_id uuid, batch_id uuid, status text,
  on_hand numeric(18,3) not null check (on_hand >= 0 and on_hand <> 'NaN'),
  reserved numeric(18,3) not null check (reserved >= 0 and reserved <= on_hand and reserved <> 'NaN'),
  version bigint not null default 1, primary key (tenant_id, location_id, product_id, batch_id, status)) with (fillfactor = 70);
create table reservation (tenant_id uuid, id uuid, invoice_id uuid not null, attempt int not null, demand_hash text not null,
  state text not null, deadline timestamptz not null, primary key (tenant_id, id), unique (tenant_id, invoice_id, attempt));
create table reservation_line (tenant_id uuid, reservation_id uuid, line int, product_id uuid not null, batch_id uuid not null,
  qty numeric(18,3) not null, primary key (tenant_id, reservation_id, line));
create table reservation_decision (tenant_id uuid, invoice_id uuid, attempt int, reservation_id uuid not null, decision text not null,
  primary key (tenant_id, invoice_id, attempt), unique (tenant_id, reservation_id));
create unique index decision_once on reservation_decision (tenant_id, invoice_id) where decision <> 'void';
create table number_series (tenant_id uuid, series text, next bigint not null, primary key (tenant_id, series)) with (fillfactor = 50);
create table session (tenant_id uuid, id uuid, sales bigint not null, cash numeric(18,2) not null, primary key (tenant_id, id)) with (fillfactor = 50);
create table invoice (tenant_id uuid, id uuid, number text not null, session_id uuid not null, demand_hash text not null, total numeric(18,2) not null,
  body jsonb not null, created_at timestamptz not null default now(), primary key (tenant_id, id), unique (tenant_id, number));
create table invoice_line (tenant_id uuid, invoice_id uuid, line int, product_id uuid not null, qty numeric(18,3) not null, price numeric(18,4) not null,
  taxable numeric(18,2) not null, cgst numeric(18,2) not null, sgst numeric(18,2) not null, total numeric(18,2) not null, primary key (tenant_id, invoice_id, line));
create table invoice_tender (tenant_id uuid, invoice_id uuid, no int, method text not null, amount numeric(18,2) not null, primary key (tenant_id, invoice_id, no));
create sequence event_seq cache 1;
create table event (seq bigint default nextval('event_seq') primary key, txid xid8 not null default pg_current_xact_id(), event_id uuid not null,
  topic text not null, key text not null, tenant_id uuid not null, at timestamptz not null default clock_timestamp(), payload json not null);
create index event_txid on event (txid, seq);
do $$ declare t text; begin
  foreach t in array array['stock_item','reservation','reservation_line','reservation_decision','number_series','session','invoice','invoice_line','invoice_tender'] loop
    execute format('alter table %I enable row level security', t);
    execute format('create policy tenant on %I using (tenant_id = current_setting(''app.tenant_id'')::uuid)', t);
  end loop;
end $$;";

/// What the floor does.
#[derive(Clone, Copy)]
pub enum Work {
    /// Both transactions of a five-line sale.
    Sale,
    /// The first of them alone, of one line: any product, or always the same.
    Reserve {
        /// Always the same.
        hot: bool,
    },
}

/// The database of the floor, made anew and dropped at the end.
pub struct Floor {
    admin: String,
    url: String,
    tenant: Uuid,
    location: Uuid,
    products: Arc<Vec<Uuid>>,
    payload: Arc<String>,
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Floor {
    /// Makes the tables in the PostgreSQL that `admin` (a superuser's URL) leads to.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn create(admin: &str) -> anyhow::Result<Self> {
        let client = connect(admin).await?;
        client
            .batch_execute(&format!("drop database if exists {DATABASE} with (force)"))
            .await?;
        client
            .batch_execute(&format!("create database {DATABASE}"))
            .await?;
        let (server, _) = admin.rsplit_once('/').context("a URL with a database")?;
        let own = connect(&format!("{server}/{DATABASE}")).await?;
        own.batch_execute(&format!(
            "do $$ begin create role {ROLE}; exception when duplicate_object then null; end $$; {SCHEMA}
             grant all on all tables in schema public to {ROLE}; grant usage on all sequences in schema public to {ROLE};"
        ))
        .await?;
        let (tenant, location) = (Uuid::now_v7(), Uuid::now_v7());
        let products: Vec<Uuid> = (0..PRODUCTS).map(|_| Uuid::now_v7()).collect();
        own.execute(
            "insert into stock_item select $1, $2, p, '00000000-0000-0000-0000-000000000000', 'sellable', 1000000000, 0 from unnest($3::uuid[]) p",
            &[&tenant, &location, &products],
        )
        .await?;
        for till in 0..64 {
            own.execute(
                "insert into number_series values ($1, $2, 1)",
                &[&tenant, &format!("T{till}")],
            )
            .await?;
            own.execute(
                "insert into session values ($1, $2, 0, 0)",
                &[&tenant, &Uuid::from_u128(till)],
            )
            .await?;
        }
        own.batch_execute("analyze").await?;
        // As long as the event of a five-line sale.
        let payload = serde_json::json!({ "invoice": "x".repeat(3000) }).to_string();
        let url = format!("{server}/{DATABASE}?options=-c%20role%3D{ROLE}");
        Ok(Self {
            admin: admin.to_owned(),
            url,
            tenant,
            location,
            products: Arc::new(products),
            payload: Arc::new(payload),
        })
    }

    /// Pieces of work a second with `clients` connections for `time`.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn run(&self, work: Work, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let sold = Arc::new(AtomicU64::new(0));
        let end = Instant::now() + time;
        let started = Instant::now();
        let tills = (0..clients).map(|till| {
            let sold = sold.clone();
            async move {
                let seller = Seller::open(self, till).await?;
                while Instant::now() < end {
                    match work {
                        Work::Sale => seller.sell().await?,
                        Work::Reserve { hot } => {
                            let products = &self.products;
                            let n = if hot {
                                0
                            } else {
                                rand::rng().random_range(0..products.len())
                            };
                            seller
                                .reserve(Uuid::now_v7(), Uuid::now_v7(), &[products[n]])
                                .await?;
                        }
                    }
                    sold.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            }
        });
        try_join_all(tills).await?;
        #[allow(clippy::float_arithmetic)] // a rate, not money
        Ok(sold.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
    }

    /// Drops the database.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn drop(self) -> anyhow::Result<()> {
        let client = connect(&self.admin).await?;
        client
            .batch_execute(&format!("drop database if exists {DATABASE} with (force)"))
            .await?;
        Ok(())
    }
}

struct Seller<'a> {
    floor: &'a Floor,
    stock: Client,
    sales: Client,
    till: usize,
    reserve: [Statement; 4],
    issue: [Statement; 6],
}

impl<'a> Seller<'a> {
    async fn open(floor: &'a Floor, till: usize) -> anyhow::Result<Self> {
        // Two databases in the fleet, so two connections here.
        let (stock, sales) = (connect(&floor.url).await?, connect(&floor.url).await?);
        let reserve = [
            stock.prepare("insert into reservation values ($1, $2, $3, 1, $4, 'pending', now() + interval '30 s')").await?,
            stock.prepare("select product_id, on_hand, reserved from stock_item where tenant_id = $1 and location_id = $2
                and product_id = any($3) order by tenant_id, location_id, product_id, batch_id, status for update").await?,
            stock.prepare("update stock_item set reserved = reserved + 1, version = version + 1 where tenant_id = $1 and location_id = $2
                and product_id = any($3)").await?,
            stock.prepare("insert into reservation_line select $1, $2, n, p, '00000000-0000-0000-0000-000000000000', 1
                from unnest($3::uuid[]) with ordinality as u(p, n)").await?,
        ];
        let issue = [
            sales.prepare("insert into reservation_decision values ($1, $2, 1, $3, 'issued')").await?,
            sales.prepare("with n as (update number_series set next = next + 1 where tenant_id = $1 and series = $2 returning next)
                insert into invoice (tenant_id, id, number, session_id, demand_hash, total, body)
                select $1, $3, $2 || '/26-27/' || n.next, $4, $5, 595.00, '{\"type\":\"B2C\"}' from n").await?,
            sales.prepare("insert into invoice_line select $1, $2, n, p, 1, 119, 100.84, 9.08, 9.08, 119 from unnest($3::uuid[]) with ordinality as u(p, n)").await?,
            sales.prepare("insert into invoice_tender values ($1, $2, 1, 'cash', 595.00)").await?,
            sales.prepare("update session set sales = sales + 1, cash = cash + 595.00 where tenant_id = $1 and id = $2").await?,
            sales.prepare("insert into event (event_id, topic, key, tenant_id, payload) values ($1, 'billing.events.v1', $2, $3, $4::text::json)").await?,
        ];
        Ok(Self {
            floor,
            stock,
            sales,
            till,
            reserve,
            issue,
        })
    }

    fn begin(&self) -> String {
        let tenant = self.floor.tenant;
        format!("BEGIN; SELECT set_config('app.tenant_id', '{tenant}', true)")
    }

    /// The first transaction: one piece of each product is promised.
    async fn reserve(&self, invoice: Uuid, hold: Uuid, basket: &[Uuid]) -> anyhow::Result<()> {
        let Floor {
            tenant, location, ..
        } = self.floor;
        let begin = self.begin();
        let [insert, lock, take, lines] = &self.reserve;
        tokio::try_join!(
            self.stock.batch_execute(&begin),
            async {
                self.stock
                    .execute(insert, &[tenant, &hold, &invoice, &HASH])
                    .await
            },
            async { self.stock.query(lock, &[tenant, location, &basket]).await },
            async { self.stock.execute(take, &[tenant, location, &basket]).await },
            async { self.stock.execute(lines, &[tenant, &hold, &basket]).await },
            self.stock.batch_execute("COMMIT"),
        )?;
        Ok(())
    }

    async fn sell(&self) -> anyhow::Result<()> {
        let Floor {
            tenant,
            products,
            payload,
            ..
        } = self.floor;
        let basket = basket(products);
        let (invoice, hold) = (Uuid::now_v7(), Uuid::now_v7());
        self.reserve(invoice, hold, &basket).await?;
        let begin = self.begin();
        let [decide, head, lines, tender, session, event] = &self.issue;
        let (series, key, drawer) = (
            format!("T{}", self.till),
            invoice.to_string(),
            Uuid::from_u128(self.till as u128),
        );
        let event_id = Uuid::now_v7();
        tokio::try_join!(
            self.sales.batch_execute(&begin),
            async { self.sales.execute(decide, &[tenant, &invoice, &hold]).await },
            async {
                self.sales
                    .execute(head, &[tenant, &series, &invoice, &drawer, &HASH])
                    .await
            },
            async {
                self.sales
                    .execute(lines, &[tenant, &invoice, &basket])
                    .await
            },
            async { self.sales.execute(tender, &[tenant, &invoice]).await },
            async { self.sales.execute(session, &[tenant, &drawer]).await },
            async {
                self.sales
                    .execute(event, &[&event_id, &key, tenant, payload.as_ref()])
                    .await
            },
            self.sales.batch_execute("COMMIT"),
        )?;
        Ok(())
    }
}

/// Five different products, in key order as the locks are taken.
pub fn basket(products: &[Uuid]) -> Vec<Uuid> {
    let mut rng = rand::rng();
    let mut basket = std::collections::BTreeSet::new();
    while basket.len() < 5 {
        basket.insert(products[rng.random_range(0..products.len())]);
    }
    basket.into_iter().collect()
}
