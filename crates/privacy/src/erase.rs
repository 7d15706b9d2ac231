//! The answer to `person.erasure_requested`.

use std::collections::HashSet;

use bahi_db::{Result as DbResult, Tx, sql};
use bahi_events::{
    Envelope, ErasedRows, KeptRows, PERSON_ERASED, PersonErased, PersonErasureRequested,
    SubjectKind,
};
use bahi_kafka::Failed;
use bahi_service::{Failures, pause_point};
use bahi_types::TenantId;
use chrono::{NaiveDate, TimeDelta};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Holdings, Privacy,
    task::{self, Task},
};

const KIND: &str = "erasure";

/// What stays in every service, for a while that is known.
const PASSING: [(&str, &str, i64); 2] = [
    (
        "outbox.event",
        "what was said before, until the ring of the outbox comes round",
        2,
    ),
    (
        "public.idempotency",
        "answers to requests of the last seven days, so that none is carried out twice",
        7,
    ),
];

/// Which of these are erased. Whoever writes of people asks this first, in the transaction that writes: an erasure that
/// begins waits until it has ended, so that nothing of an erased person is written behind its back.
///
/// # Errors
/// When the database cannot be reached.
pub async fn erased(tx: &mut Tx, subject: SubjectKind, ids: Vec<Uuid>) -> DbResult<HashSet<Uuid>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        subject_id: Uuid,
    }
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    sql("select pg_advisory_xact_lock_shared(hashtextextended('privacy.erased.' || $1, 0))")
        .bind::<Text, _>(tx.tenant().to_string())
        .execute(tx.conn())
        .await?;
    // A statement of its own: it sees what was committed while the lock was waited for.
    let rows: Vec<Row> = sql(
        "select subject_id from privacy.erased where tenant_id = $1 and subject = $2 and subject_id = any ($3)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<Text, _>(subject.word())
    .bind::<Array<SqlUuid>, _>(ids)
    .load(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.subject_id).collect())
}

/// Notes the question, and that nobody writes of this person again.
pub(crate) async fn asked(
    tx: &mut Tx,
    events: &[Envelope<PersonErasureRequested>],
) -> Result<(), Failed> {
    for event in events {
        let said = &event.payload;
        let now = tx.now();
        sql("select pg_advisory_xact_lock(hashtextextended('privacy.erased.' || $1, 0))")
            .bind::<Text, _>(tx.tenant().to_string())
            .execute(tx.conn())
            .await
            .map_err(bahi_db::Error::from)?;
        sql(
            "insert into privacy.erased (tenant_id, subject, subject_id, erasure_id, erased_at)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind::<SqlUuid, _>(tx.tenant())
        .bind::<Text, _>(said.subject.word())
        .bind::<SqlUuid, _>(said.subject_id)
        .bind::<SqlUuid, _>(said.erasure_id)
        .bind::<Timestamptz, _>(now)
        .execute(tx.conn())
        .await
        .map_err(bahi_db::Error::from)?;
        task::note(tx, KIND, said.erasure_id, event).await?;
    }
    Ok(())
}

/// Carries out what nobody works on. It is tried again until it works: nothing is given up.
pub(crate) async fn work(privacy: &Privacy) -> Result<(), Error> {
    let waiting = async |tx: &mut Tx| -> Result<_, Error> { Ok(task::waiting(tx, KIND).await?) };
    let waiting = privacy.db.read(&privacy.nobody(), waiting).await?;
    let mut failures = Failures::none();
    for found in waiting {
        let ctx = privacy.ctx(TenantId::from_uuid(found.tenant_id));
        let take =
            async move |tx: &mut Tx| -> Result<_, Error> { Ok(task::take(tx, found.id).await?) };
        let taken = failures.pass(privacy.db.write(&ctx, take).await);
        if let Some(task) = taken.and_then(|taken| taken.value) {
            failures.pass(answer(privacy, task).await);
        }
    }
    failures.end()
}

/// Erases and says so, in one transaction.
async fn answer(privacy: &Privacy, task: Task) -> Result<(), Error> {
    let ctx = task.ctx(privacy.db.service());
    let asked: PersonErasureRequested =
        serde_json::from_value(task.asked).map_err(bahi_db::Error::from)?;
    let (service, holdings) = (privacy.db.service(), privacy.holdings);
    let erase = async move |tx: &mut Tx| -> Result<(), Error> {
        let mut erased = Vec::new();
        for (table, rows) in carry_out(tx, holdings, asked.subject, asked.subject_id).await? {
            erased.push(ErasedRows { table, rows });
        }
        let said = PersonErased {
            erasure_id: asked.erasure_id,
            service: service.to_owned(),
            erased,
            kept: kept(tx, holdings, asked.subject, asked.subject_id).await?,
        };
        let answer = serde_json::to_value(&said).map_err(bahi_db::Error::from)?;
        if task::finish(tx, task.id, task.attempts, answer).await? {
            tx.publish(PERSON_ERASED.of(task.id, 1, &said));
        }
        pause_point("privacy.erasure_before_commit").await;
        Ok(())
    };
    privacy.db.write(&ctx, erase).await?;
    Ok(())
}

/// Erases what may go by now of those who were erased before.
pub(crate) async fn again(privacy: &Privacy) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        tenant_id: Uuid,
        #[diesel(sql_type = Text)]
        subject: String,
        #[diesel(sql_type = SqlUuid)]
        subject_id: Uuid,
    }
    let mut after = (Uuid::nil(), Uuid::nil());
    let mut failures = Failures::none();
    loop {
        let some = async move |tx: &mut Tx| -> Result<Vec<Row>, Error> {
            let rows =
                sql("select tenant_id, subject, subject_id from privacy.erased_after($1, $2)")
                    .bind::<SqlUuid, _>(after.0)
                    .bind::<SqlUuid, _>(after.1)
                    .load(tx.conn())
                    .await;
            Ok(rows.map_err(bahi_db::Error::from)?)
        };
        let rows = privacy.db.read(&privacy.nobody(), some).await?;
        let Some(last) = rows.last() else {
            return failures.end();
        };
        after = (last.tenant_id, last.subject_id);
        for row in rows {
            let ctx = privacy.ctx(TenantId::from_uuid(row.tenant_id));
            let (holdings, service) = (privacy.holdings, privacy.db.service());
            let subject = match row.subject.as_str() {
                "user" => SubjectKind::User,
                _ => SubjectKind::Customer,
            };
            let erase = async move |tx: &mut Tx| -> Result<(), Error> {
                let erased = carry_out(tx, holdings, subject, row.subject_id).await?;
                if !erased.is_empty() {
                    let what = (subject.word(), row.subject_id);
                    let action = format!("{service}.person.erase_rest");
                    tx.audit(&action, what, None, json!({ "erased": erased }));
                }
                Ok(())
            };
            failures.pass(privacy.db.write(&ctx, erase).await);
        }
    }
}

/// Runs the statements of this service; how many rows each table has lost something from.
async fn carry_out(
    tx: &mut Tx,
    holdings: &Holdings,
    subject: SubjectKind,
    id: Uuid,
) -> DbResult<Vec<(String, i64)>> {
    // Lets the triggers of documents pass what takes personal words away, and nothing else; and somebody may have bought
    // a lot.
    let how = "select set_config('privacy.erasing', 'on', true), set_config('statement_timeout', '60s', true),
        set_config('enable_seqscan', 'on', true)";
    tx.conn().batch_execute(how).await?;
    let today = tx.now().date_naive();
    let mut all = Vec::<(String, i64)>::new();
    for erase in holdings.erases.iter().filter(|e| e.subject == subject) {
        let rows = sql(erase.by)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .bind::<Date, _>(today)
            .execute(tx.conn())
            .await?;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        match all.iter_mut().find(|(table, _)| table == erase.table) {
            Some((_, sum)) => *sum += rows,
            None => all.push((erase.table.to_owned(), rows)),
        }
    }
    all.retain(|(_, rows)| *rows > 0);
    tx.conn()
        .batch_execute("select set_config('privacy.erasing', 'off', true)")
        .await?;
    Ok(all)
}

/// What stays of a person, by table, and why.
///
/// # Errors
/// When the database cannot be reached.
pub async fn kept(
    tx: &mut Tx,
    holdings: &Holdings,
    subject: SubjectKind,
    id: Uuid,
) -> DbResult<Vec<KeptRows>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        rows: i64,
        #[diesel(sql_type = Nullable<Date>)]
        until: Option<NaiveDate>,
    }
    let today = tx.now().date_naive();
    let mut all = Vec::new();
    for keep in holdings.keeps.iter().filter(|keep| keep.subject == subject) {
        let row: Row = sql(keep.count)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<SqlUuid, _>(id)
            .bind::<Date, _>(today)
            .get_result(tx.conn())
            .await?;
        if row.rows > 0 {
            all.push(KeptRows {
                table: keep.table.to_owned(),
                rows: Some(row.rows),
                why: keep.why.to_owned(),
                until: row.until,
            });
        }
    }
    all.extend(PASSING.map(|(table, why, days)| KeptRows {
        table: table.to_owned(),
        rows: None,
        why: why.to_owned(),
        until: Some(today + TimeDelta::days(days)),
    }));
    Ok(all)
}
