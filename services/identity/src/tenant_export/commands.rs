//! Asking for an export, hearing the answers, and the end of its time.

use bahi_db::{Ctx, Done, Tx};
use bahi_events::{Envelope, TENANT_EXPORT_REQUESTED, TenantExportAnswered, TenantExportRequested};
use bahi_kafka::Failed;
use bahi_service::Failures;
use bahi_types::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{DEADLINE, NO_ANSWER, Part, TenantExport},
    store,
};
use crate::{Error, State};

/// An export, and whether it was running already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The export.
    pub export: TenantExport,
    /// Who is asked, and has answered what.
    pub parts: Vec<Part>,
    /// It was asked for before.
    pub running: bool,
}

/// Asks every service for all it holds of the tenant, unless they are at it.
pub async fn start(state: &State, ctx: &Ctx) -> Result<Done<Asked>, Error> {
    ctx.everywhere()?;
    let services = state.answerers.clone();
    let start = async move |tx: &mut Tx| -> Result<Asked, Error> {
        if let Some(export) = store::running(tx).await? {
            let parts = store::parts(tx, export.id).await?;
            return Ok(Asked {
                export,
                parts,
                running: true,
            });
        }
        let export = TenantExport {
            tenant_id: tx.tenant(),
            id: Uuid::now_v7(),
            status: "running".into(),
            asked_by: tx.ctx().actor.to_string(),
            asked_at: tx.now(),
            deadline_at: tx.now() + DEADLINE,
            finished_at: None,
            expires_at: None,
            swept_at: None,
            version: 1,
        };
        let asked = services.iter();
        let parts: Vec<Part> = asked
            .map(|service| Part::asked(export.tenant_id, export.id, service))
            .collect();
        store::insert(tx, &export, &parts).await?;
        let details = json!({ "services": *services });
        let what = ("tenant_export", export.id);
        tx.audit("identity.tenant_export.start", what, None, details);
        let question = TenantExportRequested {
            export_id: export.id,
            deadline_at: export.deadline_at,
        };
        tx.publish(TENANT_EXPORT_REQUESTED.of(export.id, export.version, &question));
        Ok(Asked {
            export,
            parts,
            running: false,
        })
    };
    state.db.write(ctx, start).await
}

/// Hears what services have answered.
pub async fn answered(
    tx: &mut Tx,
    events: &[Envelope<TenantExportAnswered>],
) -> Result<(), Failed> {
    for event in events {
        let said = &event.payload;
        let Some(mut export) = store::lock(tx, said.export_id).await? else {
            return Err(Failed::reject(
                "not_found",
                anyhow::anyhow!("no such export"),
            ));
        };
        let mut parts = store::parts(tx, export.id).await?;
        let now = tx.now();
        let Some(part) = parts.iter_mut().find(|part| part.service == said.service) else {
            return Err(Failed::reject(
                "not_asked",
                anyhow::anyhow!("{}", said.service),
            ));
        };
        part.take(said, now);
        store::save_part(tx, part).await?;
        if export.status == "expired" {
            export.expire();
        }
        export.settle(&parts, now);
        store::save(tx, &export).await?;
    }
    Ok(())
}

/// Ends what was waited for long enough, and what could be fetched long enough.
pub async fn tend(state: &State) -> Result<(), Error> {
    let nobody = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let due = async |tx: &mut Tx| -> Result<_, Error> { Ok(store::due(tx).await?) };
    let mut failures = Failures::none();
    for due in state.db.read(&nobody, due).await? {
        let ctx = Ctx::service(state.db.service(), due.tenant_id.into());
        failures.pass(end(state, &ctx, due.id).await);
    }
    failures.end()
}

async fn end(state: &State, ctx: &Ctx, id: Uuid) -> Result<(), Error> {
    let step = async move |tx: &mut Tx| -> Result<bool, Error> {
        let Some(mut export) = store::lock(tx, id).await? else {
            return Ok(false);
        };
        let (now, status) = (tx.now(), export.status.clone());
        match status.as_str() {
            "running" if export.deadline_at <= now => {
                let mut parts = store::parts(tx, id).await?;
                for part in parts.iter_mut().filter(|part| part.status == "waiting") {
                    part.fail(NO_ANSWER.into(), now);
                    store::save_part(tx, part).await?;
                }
                export.settle(&parts, now);
            }
            "ready" | "failed" if export.expires_at.is_some_and(|end| end <= now) => {
                export.expire();
            }
            _ => {}
        }
        if export.status != status {
            store::save(tx, &export).await?;
        }
        Ok(export.status == "expired" && export.swept_at.is_none())
    };
    if !state.db.write(ctx, step).await?.value {
        return Ok(());
    }
    if let Some(objects) = state.privacy.exports() {
        let folder = bahi_privacy::folder(ctx.tenant, id);
        loop {
            let keys = objects.list(&folder, None).await?;
            if keys.is_empty() {
                break;
            }
            for key in keys {
                objects.delete(&key).await?;
            }
        }
    }
    let swept = async move |tx: &mut Tx| -> Result<(), Error> {
        if let Some(mut export) = store::lock(tx, id).await? {
            export.swept_at = Some(tx.now());
            store::save(tx, &export).await?;
        }
        Ok(())
    };
    state.db.write(ctx, swept).await?;
    Ok(())
}
