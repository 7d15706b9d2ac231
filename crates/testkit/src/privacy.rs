//! Exports: what a service puts into its archive of a tenant is everything, and nothing else.

use std::{collections::BTreeMap, io::Read};

use bahi_events::{
    PERSON_ERASED, PERSON_ERASURE_REQUESTED, PersonErased, PersonErasureRequested, SubjectKind,
    TENANT_EXPORT_REQUESTED, TenantExportAnswered, TenantExportRequested,
};
use bahi_objects::Found;
use bahi_privacy::{Holdings, Privacy, left_out};
use bahi_types::TenantId;
use chrono::TimeDelta;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{TestApp, TestStore, eventually};

/// Longest archive of a test.
const LONGEST: usize = 64 << 20;

/// Schemas of the platform that hold nothing of a tenant's but what is on its way.
const PASSING: [&str; 4] = ["outbox", "inbox", "platform", "tenancy"];

/// An archive that was fetched.
pub struct Archive {
    /// What the service answered.
    pub answer: TenantExportAnswered,
    /// Rows by table, `<schema>.<table>`.
    pub tables: BTreeMap<String, Vec<Value>>,
    /// Other objects by name.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// Its manifest.
    pub manifest: Value,
    /// All of it as it was written, uncompressed.
    pub text: String,
}

/// Asks a service for its archive of a tenant, twice as Kafka may, and fetches what it says it has written. The service must
/// run with the settings of [`TestStore`].
///
/// # Panics
/// When it answers otherwise than once, says something other of the archive than is true, has put another tenant's rows into
/// it or not all of this one's, or when a table is neither in it nor left out.
pub async fn export<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    privacy: &Privacy,
    holdings: &'static Holdings,
    tenant: TenantId,
) -> Archive {
    let export_id = Uuid::now_v7();
    let asked = TenantExportRequested {
        export_id,
        deadline_at: app.clock.now() + TimeDelta::hours(1),
    };
    let asked = || TENANT_EXPORT_REQUESTED.of(export_id, 1, &asked);
    app.feed(vec![asked()], tenant).await;
    let answer = answered(app, privacy, export_id).await;
    // Asked once more, under another event, it has nothing to add.
    app.feed(vec![asked()], tenant).await;
    run(privacy, "write_tenant_exports").await;
    assert_eq!(answers(app, export_id).await.len(), 1, "it answers once");
    let said = answer.archive.clone().expect("an archive");
    let store = TestStore::of_env().bucket("exports");
    let bytes = match store.get(&said.object_key, LONGEST).await {
        Ok(Found::Object(bytes)) => bytes,
        other => panic!("no archive: {other:?}"),
    };
    assert_eq!(said.bytes, bytes.len() as i64);
    assert_eq!(said.sha256, hex::encode(Sha256::digest(&bytes)));
    let archive = read(answer, &bytes);
    complete(app, &archive, holdings, tenant).await;
    archive
}

/// Runs the jobs until an export is answered.
async fn answered<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    privacy: &Privacy,
    export: Uuid,
) -> TenantExportAnswered {
    eventually(|| async {
        run(privacy, "write_tenant_exports").await;
        answers(app, export).await.into_iter().next()
    })
    .await
}

async fn answers<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    export: Uuid,
) -> Vec<TenantExportAnswered> {
    let said = app.events().await.into_iter();
    let said = said.filter(|event| event.event_type == "tenant.export_answered");
    said.map(|event| serde_json::from_value(event.payload).expect("an answer"))
        .filter(|answer: &TenantExportAnswered| answer.export_id == export)
        .collect()
}

fn read(answer: TenantExportAnswered, bytes: &[u8]) -> Archive {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("a zip");
    let mut archive = Archive {
        answer,
        tables: BTreeMap::new(),
        objects: BTreeMap::new(),
        manifest: Value::Null,
        text: String::new(),
    };
    let mut sums = BTreeMap::<String, String>::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).expect("a file");
        let name = file.name().expect("a name").into_owned();
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("its content");
        sums.insert(name.clone(), hex::encode(Sha256::digest(&content)));
        if let Some(object) = name.strip_prefix("objects/") {
            archive.objects.insert(object.to_owned(), content);
            continue;
        }
        let text = String::from_utf8(content).expect("UTF-8");
        if let Some(table) = name.strip_suffix(".jsonl") {
            let rows = text.lines();
            let rows = rows.map(|row| serde_json::from_str(row).expect("a row"));
            archive.tables.insert(table.to_owned(), rows.collect());
        } else {
            assert_eq!(name, "manifest.json");
            archive.manifest = serde_json::from_str(&text).expect("a manifest");
        }
        archive.text += &text;
    }
    let files = archive.manifest["files"].as_array().expect("files");
    assert_eq!(files.len() + 1, sums.len(), "the manifest names each file");
    for file in files {
        let name = file["file"].as_str().expect("a name");
        assert_eq!(file["sha256"], sums[name].as_str(), "{name}");
    }
    archive
}

/// Compares the archive with what the operator sees, whom no policy binds.
async fn complete<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    archive: &Archive,
    holdings: &Holdings,
    tenant: TenantId,
) {
    let admin = app.admin().await;
    let out: Vec<&str> = left_out(holdings).map(|left| left.what).collect();
    let mut total = 0;
    for (schema, table, has_tenant) in tables(app).await {
        let name = format!("{schema}.{table}");
        let whole = format!("{schema}.*");
        if out.contains(&name.as_str()) || out.contains(&whole.as_str()) {
            assert!(!archive.tables.contains_key(&name), "{name} is left out");
            continue;
        }
        if !has_tenant {
            let known = PASSING.contains(&schema.as_str()) || table == "__diesel_schema_migrations";
            assert!(known, "{name} has no tenant: it is in no archive");
            continue;
        }
        let count = format!("select count(*) from {schema}.\"{table}\" where tenant_id = $1");
        let count = admin.query_one(&count, &[&tenant.uuid()]).await;
        let count: i64 = count.expect("a count").get(0);
        let rows = archive.tables.get(&name);
        let rows = rows.unwrap_or_else(|| panic!("{name} is neither exported nor left out"));
        // The question itself was answered after the archive was written.
        assert!(
            name == "privacy.task" || rows.len() as i64 == count,
            "{name}: {} of {count}",
            rows.len()
        );
        for row in rows {
            assert_eq!(
                row["tenant_id"],
                tenant.to_string(),
                "{name}: another's row"
            );
            let fields = row.as_object().expect("a row").keys();
            for column in fields.map(|field| format!("{name}.{field}")) {
                assert!(!out.contains(&column.as_str()), "{column} is left out");
            }
        }
        total += rows.len() as i64;
    }
    assert_eq!(archive.answer.archive.as_ref().map(|a| a.rows), Some(total));
}

/// Every table: schema, name, and whether it has a tenant.
async fn tables<S: Clone + Send + Sync + 'static>(app: &TestApp<S>) -> Vec<(String, String, bool)> {
    let admin = app.admin().await;
    let rows = admin.query(
        "select n.nspname::text, c.relname::text, exists (select from pg_attribute a
            where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p') and not c.relispartition
            and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
        &[],
    );
    let rows = rows.await.expect("the catalogue");
    rows.iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect()
}

/// Asserts that what a service leaves out is there, and that no column that looks like a secret is exported but those that
/// `harmless` names.
///
/// # Panics
/// With the list of what is wrong.
pub async fn assert_left_out<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    holdings: &Holdings,
    harmless: &[&str],
) {
    let rows = app
        .admin()
        .await
        .query(
            "select n.nspname || '.' || c.relname, a.attname::text, a.atttypid = 'bytea'::regtype
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              where c.relkind in ('r', 'p') and not c.relispartition
                and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
            &[],
        )
        .await
        .expect("the catalogue");
    let out: Vec<&str> = left_out(holdings).map(|left| left.what).collect();
    let mut known = Vec::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let (table, column, raw): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let schema = table.split('.').next().unwrap_or_default();
        let names = [
            format!("{schema}.*"),
            table.clone(),
            format!("{table}.{column}"),
        ];
        let is_out = names.iter().any(|name| out.contains(&name.as_str()));
        let words = [
            "hash", "secret", "seal", "token", "password", "cipher", "otp", "pin",
        ];
        let looks = raw || column.split('_').any(|word| words.contains(&word));
        if looks && !is_out && !harmless.contains(&names[2].as_str()) {
            wrong.push(format!("{} looks like a secret and is exported", names[2]));
        }
        known.extend(names);
    }
    for what in out.iter().chain(harmless) {
        if !known.iter().any(|name| name == what) {
            wrong.push(format!("{what} is left out, and is not there"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Asks a service to erase a person, twice as Kafka may, and once more under another event; what it has answered.
///
/// # Panics
/// When it answers otherwise than once.
pub async fn erase<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    privacy: &Privacy,
    tenant: TenantId,
    subject: SubjectKind,
    subject_id: Uuid,
) -> PersonErased {
    let erasure_id = Uuid::now_v7();
    let asked = PersonErasureRequested {
        erasure_id,
        subject,
        subject_id,
    };
    let asked = || PERSON_ERASURE_REQUESTED.of(erasure_id, 1, &asked);
    let mut answers = Vec::new();
    for _ in 0..2 {
        app.feed(vec![asked()], tenant).await;
        run(privacy, "erase_people").await;
        let said = app.events().await.into_iter();
        answers = said
            .filter(|e| {
                e.event_type == PERSON_ERASED.name && e.aggregate_id == erasure_id.to_string()
            })
            .map(|e| serde_json::from_value::<PersonErased>(e.payload).expect("an answer"))
            .collect();
    }
    assert_eq!(answers.len(), 1, "it answers once");
    answers.remove(0)
}

/// Runs one of the jobs of [`Privacy::jobs`].
///
/// # Panics
/// When there is none of that name, or it fails.
pub async fn run(privacy: &Privacy, name: &str) {
    let jobs = privacy.jobs();
    let job = jobs.iter().find(|job| job.name() == name);
    job.expect("the job").once().await.expect("it ends well");
}

/// Columns of text or JSON of any table, `<schema>.<table>.<column>`, in which one of these words stands, in any case. The
/// tables of the platform are passed over: what is on its way, and answers kept for a week, is named in every answer.
pub async fn mentions<S: Clone + Send + Sync + 'static>(
    app: &TestApp<S>,
    words: &[&str],
) -> Vec<String> {
    let admin = app.admin().await;
    let columns = admin
        .query(
            "select n.nspname::text, c.relname::text, a.attname::text
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              where c.relkind in ('r', 'p') and not c.relispartition
                and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'outbox', 'inbox')
                and n.nspname || '.' || c.relname <> 'public.idempotency'
                and a.atttypid::regtype::text in ('text', 'character varying', 'text[]', 'json', 'jsonb')",
            &[],
        )
        .await
        .expect("the catalogue");
    let mut found = Vec::new();
    for row in &columns {
        let (schema, table, column): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let ask = format!(
            "select exists (select from {schema}.\"{table}\" t, unnest($1::text[]) w
               where strpos(lower(t.\"{column}\"::text), lower(w)) > 0)"
        );
        let answer = admin.query_one(&ask, &[&words]).await.expect("an answer");
        if answer.get(0) {
            found.push(format!("{schema}.{table}.{column}"));
        }
    }
    found.sort_unstable();
    found
}
