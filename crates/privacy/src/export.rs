//! The answer to `tenant.export_requested`.

use std::time::Duration;

use bahi_db::{Ctx, Tx};
use bahi_events::{
    Envelope, ExportArchive, TENANT_EXPORT_ANSWERED, TenantExportAnswered, TenantExportRequested,
};
use bahi_kafka::Failed;
use bahi_service::{Failures, pause_point};
use bahi_types::TenantId;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    Error, Privacy, archive,
    task::{self, LEASE, Task},
};

/// Attempts at an archive.
const ATTEMPTS: i32 = 6;
/// How often whoever writes says that he is still at it.
const BEAT: Duration = Duration::from_secs(15);
const KIND: &str = "export";

/// Notes the question.
pub(crate) async fn asked(
    tx: &mut Tx,
    events: &[Envelope<TenantExportRequested>],
) -> Result<(), Failed> {
    for event in events {
        task::note(tx, KIND, event.payload.export_id, event).await?;
    }
    Ok(())
}

/// Takes up what nobody works on.
pub(crate) async fn work(privacy: &Privacy) -> Result<(), Error> {
    let waiting = async |tx: &mut Tx| -> Result<_, Error> { Ok(task::waiting(tx, KIND).await?) };
    let waiting = privacy.db.read(&privacy.nobody(), waiting).await?;
    let mut failures = Failures::none();
    for found in waiting {
        // What this process has no hands for stays where others see it.
        let Ok(turn) = privacy.turns.clone().try_acquire_owned() else {
            break;
        };
        let ctx = privacy.ctx(TenantId::from_uuid(found.tenant_id));
        let take =
            async move |tx: &mut Tx| -> Result<_, Error> { Ok(task::take(tx, found.id).await?) };
        let Some(task) = failures.pass(privacy.db.write(&ctx, take).await) else {
            continue;
        };
        if let Some(task) = task.value {
            let privacy = privacy.clone();
            tokio::spawn(async move {
                let _turn = turn;
                if let Err(error) = answer(&privacy, &task).await {
                    tracing::warn!(export = %task.id, ?error, "an export was interrupted; it is taken up again");
                }
            });
        }
    }
    failures.end()
}

/// Writes the archive and says so.
async fn answer(privacy: &Privacy, task: &Task) -> Result<(), Error> {
    let ctx = task.ctx(privacy.db.service());
    let written = tokio::select! {
        written = archive::write(privacy, &ctx, task.id, task.attempts) => written,
        lost = hold(privacy, &ctx, task) => return lost,
    };
    pause_point("privacy.export_written").await;
    match written {
        Ok(archive) => {
            let said = ExportArchive {
                object_key: archive.key.clone(),
                tables: archive.tables,
                rows: archive.stored.rows,
                objects: archive.objects,
                bytes: archive.stored.bytes,
                sha256: archive.stored.sha256,
            };
            if !finish(privacy, &ctx, task, Some(said), None).await?
                && let Some(store) = &privacy.exports
            {
                // Somebody else has answered; his archive counts.
                store.delete(&archive.key).await?;
            }
            Ok(())
        }
        Err(error) if task.attempts >= ATTEMPTS || matches!(error, Error::NoStore) => {
            tracing::error!(export = %task.id, ?error, "an export failed");
            let why = match error {
                Error::NoStore => "NO_STORE",
                Error::Away(_) => "STORE_UNAVAILABLE",
                Error::Db(_) => "DATABASE",
                Error::Archive(_) => "ARCHIVE",
            };
            finish(privacy, &ctx, task, None, Some(why.into())).await?;
            Ok(())
        }
        Err(error) => {
            // Again soon, and then less soon.
            let (id, attempt) = (task.id, task.attempts);
            let pause = TimeDelta::seconds(5 << attempt.clamp(0, 6));
            let later = async move |tx: &mut Tx| -> Result<_, Error> {
                let until = tx.now() + pause;
                Ok(task::keep(tx, id, attempt, until).await?)
            };
            privacy.db.write(&ctx, later).await?;
            Err(error)
        }
    }
}

/// Keeps the task while it is worked on; ends when it is somebody else's.
async fn hold(privacy: &Privacy, ctx: &Ctx, task: &Task) -> Result<(), Error> {
    let (id, attempt) = (task.id, task.attempts);
    loop {
        tokio::time::sleep(BEAT).await;
        let keep = async move |tx: &mut Tx| -> Result<_, Error> {
            let until = tx.now() + LEASE;
            Ok(task::keep(tx, id, attempt, until).await?)
        };
        match privacy.db.write(ctx, keep).await {
            Ok(kept) if kept.value => {}
            Ok(_) => return Ok(()),
            Err(error) => tracing::warn!(?error, "the lease of an export could not be renewed"),
        }
    }
}

async fn finish(
    privacy: &Privacy,
    ctx: &Ctx,
    task: &Task,
    archive: Option<ExportArchive>,
    failed: Option<String>,
) -> Result<bool, Error> {
    let said = TenantExportAnswered {
        export_id: task.id,
        service: privacy.db.service().to_owned(),
        archive,
        failed,
    };
    let (id, attempt): (Uuid, i32) = (task.id, task.attempts);
    let finish = async move |tx: &mut Tx| -> Result<bool, Error> {
        let answer = serde_json::to_value(&said).map_err(bahi_db::Error::from)?;
        let mine = task::finish(tx, id, attempt, answer).await?;
        if mine {
            tx.publish(TENANT_EXPORT_ANSWERED.of(id, 1, &said));
        }
        Ok(mine)
    };
    Ok(privacy.db.write(ctx, finish).await?.value)
}
