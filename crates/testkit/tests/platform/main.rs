//! What the shared crates promise every service, shown on the smallest service there can be: one table of notes.

use actix_web::{HttpResponse, get, post, web};
use bahi_db::{Db, EmbeddedMigrations, Tx, sql};
use bahi_events::{CATEGORY_CREATED, Category};
use bahi_http::{Caller, Post, Problem, Versioned, created};
use bahi_service::{App, Parts};
use bahi_testkit::{TestApp, assert_tenant_tables, eventually};
use bahi_types::{CategoryId, Clock, Money};
use diesel::sql_types::{Numeric, Text, Uuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const MIGRATIONS: EmbeddedMigrations = bahi_db::embed_migrations!("tests/platform/migrations");

#[derive(Clone)]
struct State {
    db: Db,
}

fn app() -> App<State> {
    // The database of the test belongs to the roles of the product service.
    App::new("product", |parts: Parts| {
        Ok(State {
            db: parts.database()?,
        })
    })
    .migrations(MIGRATIONS)
    .routes(|cfg| {
        cfg.service(add).service(list).service(look).service(stall);
    })
}

#[derive(Clone, Serialize, Deserialize, garde::Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    #[garde(length(chars, min = 1, max = 50))]
    text: String,
    #[garde(custom(bahi_http::validate::non_negative))]
    amount: Money,
}

#[derive(Clone, Serialize, Deserialize, diesel::QueryableByName, utoipa::ToSchema)]
struct Note {
    #[diesel(sql_type = Uuid)]
    id: CategoryId,
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = Numeric)]
    amount: Money,
}

impl Versioned for Note {
    fn version(&self) -> Option<i64> {
        Some(1)
    }
}

async fn insert(tx: &mut Tx, note: &Note) -> bahi_db::Result<()> {
    sql("insert into note (tenant_id, id, text, amount) values ($1, $2, $3, $4)")
        .bind::<Uuid, _>(tx.tenant())
        .bind::<Uuid, _>(note.id)
        .bind::<Text, _>(&note.text)
        .bind::<Numeric, _>(note.amount)
        .execute(tx.conn())
        .await?;
    let said = Category {
        category_id: note.id,
        parent_id: None,
        // More than an event may say.
        name: match note.text.as_str() {
            "huge" => "x".repeat(900_000),
            text => text.to_owned(),
        },
    };
    tx.publish(CATEGORY_CREATED.of(note.id.uuid(), 1, &said));
    Ok(())
}

#[utoipa::path(security(("bearer" = ["product.note.write"])), request_body = NewNote, responses((status = 201, body = Note)))]
#[post("/api/v1/notes")]
async fn add(state: web::Data<State>, req: Post<NewNote>) -> Result<HttpResponse, Problem> {
    let body = req.body;
    let made = state
        .db
        .write(
            &req.caller.ctx,
            async move |tx: &mut Tx| -> bahi_db::Result<Note> {
                let note = Note {
                    id: CategoryId::new(),
                    text: body.text,
                    amount: body.amount,
                };
                insert(tx, &note).await?;
                Ok(note)
            },
        )
        .await?;
    Ok(created(&made))
}

/// Lists without a filter on the tenant, on purpose: row-level security alone must hold.
#[utoipa::path(security(("bearer" = [])), responses((status = 200, body = Vec<Note>)))]
#[get("/api/v1/notes")]
async fn list(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let notes = state.db.read(&caller.ctx, notes).await?;
    Ok(HttpResponse::Ok().json(notes))
}

/// The same as a command looks before it begins.
#[utoipa::path(security(("bearer" = [])), responses((status = 200, body = Vec<Note>)))]
#[get("/api/v1/notes:look")]
async fn look(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let notes = state.db.look(&caller.ctx, notes).await?;
    Ok(HttpResponse::Ok().json(notes))
}

async fn notes(tx: &mut Tx) -> bahi_db::Result<Vec<Note>> {
    Ok(sql("select id, text, amount from note order by text")
        .load(tx.conn())
        .await?)
}

/// Writes a note and takes a while, so that a test can hang up in the middle.
#[utoipa::path(security(("bearer" = [])), responses((status = 201)))]
#[post("/api/v1/notes:stall")]
async fn stall(state: web::Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    state
        .db
        .write(&caller.ctx, async |tx: &mut Tx| -> bahi_db::Result<()> {
            insert(
                tx,
                &Note {
                    id: CategoryId::new(),
                    text: "stalled".into(),
                    amount: Money::ZERO,
                },
            )
            .await?;
            sql("select pg_sleep(0.5)").execute(tx.conn()).await?;
            Ok(())
        })
        .await?;
    Ok(HttpResponse::Created().finish())
}

fn note(text: &str) -> Value {
    json!({ "text": text, "amount": "12.50" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_writes_its_row_and_its_event_together() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    let made = owner.post("/api/v1/notes", note("tea")).await.expect(201);
    assert_eq!(made.header("etag"), Some("\"1\""));
    assert_eq!(made.body["amount"], "12.50");
    let events = app.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type, "category.created");
    assert_eq!(events[0].tenant_id, owner.tenant);
    assert_eq!(events[0].aggregate_id, made.text_at("id"));
    assert!(events[0].trace_id.is_some() && events[0].correlation_id.is_some());
    assert_tenant_tables(&app, &[]).await;
    // A refused command leaves neither.
    assert_eq!(
        owner
            .post("/api/v1/notes", note("tea"))
            .await
            .expect(409)
            .code(),
        "ALREADY_EXISTS"
    );
    assert_eq!(app.events().await.len(), 1);
    let huge = owner.post("/api/v1/notes", note("huge")).await.expect(422);
    assert_eq!(huge.code(), "EVENT_TOO_LARGE");
    assert_eq!(app.events().await.len(), 1);
    let notes = owner.get("/api/v1/notes").await.expect(200);
    assert_eq!(notes.body.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_keeps_tenants_apart() {
    let app = TestApp::start(app()).await;
    let (a, b) = (app.tenant(), app.tenant());
    a.post("/api/v1/notes", note("same")).await.expect(201);
    b.post("/api/v1/notes", note("same")).await.expect(201);
    let seen = a.get("/api/v1/notes").await.expect(200);
    assert_eq!(seen.body.as_array().map(Vec::len), Some(1));
    let runtime = tokio_postgres::connect(&app.database.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(runtime.1);
    // Without a tenant there is nothing to see, not everything.
    assert!(runtime.0.query("select * from note", &[]).await.is_err());
    // The runtime role cannot lift the policy.
    assert!(
        runtime
            .0
            .batch_execute("alter table note disable row level security")
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_command_however_often_and_at_once() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    let posts = (0..20).map(|_| owner.post_with_key("/api/v1/notes", note("once"), "k1"));
    let replies = futures::future::join_all(posts).await;
    let first = &replies[0].body;
    for reply in &replies {
        assert_eq!(reply.status, 201, "{}", reply.text);
        assert_eq!(&reply.body, first);
    }
    assert_eq!(
        replies
            .iter()
            .filter(|r| r.header("idempotency-hit").is_none())
            .count(),
        1
    );
    assert_eq!(app.events().await.len(), 1);
    let other = owner
        .post_with_key("/api/v1/notes", note("other"), "k1")
        .await
        .expect(422);
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
    // Another principal's key is another key.
    let colleague = app.client(owner.tenant, &["*"]);
    colleague
        .post_with_key("/api/v1/notes", note("mine"), "k1")
        .await
        .expect(201);
    // A refusal is not stored: the same key may succeed later.
    owner
        .post_with_key("/api/v1/notes", note("once"), "k2")
        .await
        .expect(409);
    app.admin()
        .await
        .batch_execute("delete from note where text = 'once'")
        .await
        .unwrap();
    owner
        .post_with_key("/api/v1/notes", note("once"), "k2")
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_are_forgotten_in_steps() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    owner
        .post_with_key("/api/v1/notes", note("young"), "k1")
        .await
        .expect(201);
    let admin = app.admin().await;
    let old = "insert into idempotency (tenant_id, principal, route, key, request_hash, created_at)
        select gen_random_uuid(), 'user:x', 'POST /', n::text, ''::bytea, now() - interval '8 days'
          from generate_series(1, 10500) n";
    admin.batch_execute(old).await.unwrap();
    let nobody = format!("set app.tenant_id = '{}'", uuid::Uuid::nil());
    admin.batch_execute(&nobody).await.unwrap();
    let step = "select tenancy.purge_idempotency(100)";
    let gone: i64 = admin.query_one(step, &[]).await.unwrap().get(0);
    assert_eq!(gone, 100);
    assert_eq!(app.db.purge_idempotency().await.unwrap(), 10_400);
    assert_eq!(app.db.purge_idempotency().await.unwrap(), 0);
    let left = "select count(*) from idempotency";
    let left: i64 = admin.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_a_whole_transaction() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    let request = owner.request(reqwest::Method::POST, "/api/v1/notes:stall");
    let hung_up = tokio::time::timeout(std::time::Duration::from_millis(100), request.send()).await;
    assert!(hung_up.is_err(), "the client gave up first");
    eventually(|| async {
        let seen = owner.get("/api/v1/notes").await;
        seen.body
            .as_array()
            .is_some_and(|l| l.len() == 1)
            .then_some(())
    })
    .await;
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_400_and_never_500() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    for bad in [
        json!({ "text": "x" }),
        json!({ "text": "x", "amount": 12.5 }),
        json!({ "text": "x", "amount": "NaN" }),
        json!({ "text": "x", "amount": "-1.00" }),
        json!({ "text": "x", "amount": "1.005" }),
        json!({ "text": "x", "amount": "1", "extra": 1 }),
        json!({ "text": "a\u{0}b", "amount": "1" }),
        json!({ "text": "x".repeat(51), "amount": "1" }),
        json!({ "text": 5, "amount": "1" }),
        json!([]),
    ] {
        let reply = owner.post("/api/v1/notes", bad.clone()).await;
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text);
        assert!(reply.body["request_id"].is_string());
    }
    let raw = |body: &'static str, kind: &'static str| {
        let request = owner
            .request(reqwest::Method::POST, "/api/v1/notes")
            .header("content-type", kind);
        owner.send(request.body(body))
    };
    assert_eq!(raw("{", "application/json").await.status, 400);
    assert_eq!(
        raw("text=x", "application/x-www-form-urlencoded")
            .await
            .status,
        415
    );
    let long = owner
        .post(
            "/api/v1/notes",
            json!({ "text": "x".repeat(300_000), "amount": "1" }),
        )
        .await;
    assert_eq!(long.status, 413);
    assert_eq!(
        owner.get("/api/v1/nothing").await.expect(404).code(),
        "NOT_FOUND"
    );
    assert_eq!(
        owner
            .put("/api/v1/notes", json!({}), 1)
            .await
            .expect(405)
            .code(),
        "METHOD_NOT_ALLOWED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_internal_token_opens_a_service() {
    let app = TestApp::start(app()).await;
    let owner = app.tenant();
    let forged = owner.with_token("eyJhbGciOiJub25lIn0.e30.");
    assert_eq!(forged.get("/api/v1/notes").await.status, 401);
    let headers = reqwest::Client::new()
        .get(format!("{}/api/v1/notes", app.url()))
        .header("x-user-id", owner.user.to_string())
        .header("x-tenant-id", owner.tenant.to_string());
    assert_eq!(headers.send().await.unwrap().status().as_u16(), 401);
    let reader = owner.with_permissions(&["product.note.read"]);
    assert_eq!(
        reader
            .post("/api/v1/notes", note("x"))
            .await
            .expect(403)
            .code(),
        "FORBIDDEN"
    );
}

async fn serves_after_a_cut(path: &str) {
    let app = TestApp::start_with(app(), &[("BAHI_DB_CONNECTIONS", "4")], Clock::System).await;
    let (owner, other) = (app.tenant(), app.tenant());
    owner.post("/api/v1/notes", note("tea")).await.expect(201);
    let calls = (0..8).map(|_| owner.get(path));
    futures::future::join_all(calls).await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";
    app.admin()
        .await
        .query(kill, &[&app.database.name])
        .await
        .unwrap();
    let calls = (0..8).map(|_| owner.get(path));
    for reply in futures::future::join_all(calls).await {
        assert_eq!(reply.expect(200).body[0]["text"], "tea");
    }
    assert_eq!(other.get(path).await.expect(200).body, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_back_after_a_cut_serves_at_once() {
    serves_after_a_cut("/api/v1/notes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_passes_over_connections_that_are_cut() {
    serves_after_a_cut("/api/v1/notes:look").await;
}
