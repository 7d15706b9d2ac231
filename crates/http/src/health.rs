//! `/livez`, `/readyz`, `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix_web::{HttpResponse, web};
use bahi_db::Db;
use prometheus::{Encoder, TextEncoder};

/// Whether the process wants traffic, and the database it needs for it.
#[derive(Clone)]
pub struct Ready {
    db: Option<Db>,
    open: Arc<AtomicBool>,
}

impl Ready {
    /// Ready as soon as it is opened and, where there is one, the database answers.
    pub fn new(db: Option<Db>) -> Self {
        Self {
            db,
            open: Arc::default(),
        }
    }

    /// Asks for traffic, or for no more of it.
    pub fn set(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// Whether traffic is wanted.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

/// The routes.
pub fn health_routes(cfg: &mut web::ServiceConfig) {
    cfg.route(
        "/livez",
        web::get().to(async || HttpResponse::Ok().body("ok")),
    )
    .route("/readyz", web::get().to(readyz));
}

/// `/metrics`.
pub fn metrics_route(cfg: &mut web::ServiceConfig) {
    cfg.route("/metrics", web::get().to(metrics));
}

async fn readyz(ready: web::Data<Ready>) -> HttpResponse {
    if !ready.is_open() {
        return HttpResponse::ServiceUnavailable().body("stopping or starting");
    }
    match &ready.db {
        Some(db) if db.ping().await.is_err() => {
            HttpResponse::ServiceUnavailable().body("no database")
        }
        _ => HttpResponse::Ok().body("ok"),
    }
}

async fn metrics(ready: web::Data<Ready>) -> HttpResponse {
    if let Some(db) = &ready.db {
        pool_metrics(db);
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(metrics_text())
}

/// Every metric of this process in Prometheus' text format.
pub fn metrics_text() -> String {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&prometheus::gather(), &mut text) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn pool_metrics(db: &Db) {
    use std::sync::LazyLock;
    #[allow(clippy::unwrap_used)] // Constant name and labels.
    static POOL: LazyLock<prometheus::IntGaugeVec> = LazyLock::new(|| {
        prometheus::register_int_gauge_vec!(
            "db_pool_connections",
            "Connections of the pool",
            &["state"]
        )
        .unwrap()
    });
    #[allow(clippy::unwrap_used)]
    static STATEMENTS: LazyLock<prometheus::IntCounter> = LazyLock::new(|| {
        prometheus::register_int_counter!("db_statements_total", "Statements sent").unwrap()
    });
    STATEMENTS.reset();
    STATEMENTS.inc_by(db.statements());
    let status = db.status();
    for (state, count) in [
        ("open", status.size),
        ("idle", status.available),
        ("awaited", status.waiting),
    ] {
        POOL.with_label_values(&[state])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
