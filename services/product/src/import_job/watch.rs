//! `/api/v1/import-jobs/{id}/events`: progress as it happens, as server-sent events.
//!
//! An event `progress` whenever the job has moved, and `end` when it rests. A stream ends after a while in any case,
//! before the token that opened it would be refused elsewhere; a browser opens it again by itself.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, get, http::header, web};
use bahi_db::{Ctx, Tx};
use bahi_http::{Caller, Problem};
use futures::{Stream, stream};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::{
    Error, State,
    import_job::{http::ImportJobBody, model::ImportJob, store},
};

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often something is sent even when nothing has happened, so that nobody takes the stream for dead.
const BEAT: Duration = Duration::from_secs(10);
/// How long a stream lasts; a token that is revoked is refused everywhere within a minute.
const LONGEST: Duration = Duration::from_secs(50);

/// The endpoint.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(events);
}

/// Progress of a job as server-sent events: `progress` with the job whenever it has moved, `end` with it when it rests.
/// The stream ends then, or after 50 seconds.
#[utoipa::path(
    tag = "imports",
    security(("bearer" = ["product.product.read"])), operation_id = "watch_import_job",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 503, description = "BUSY")
    )
)]
#[get("/api/v1/import-jobs/{id}/events")]
async fn events(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<Uuid>,
) -> Result<HttpResponse, Problem> {
    let turn = Arc::clone(&state.watchers);
    let turn = turn.try_acquire_owned().map_err(|_| Error::Crowded)?;
    let watch = Watch {
        state: state.get_ref().clone(),
        ctx: caller.ctx,
        id: *id,
        seen: None,
        until: Instant::now() + LONGEST,
        ended: false,
        _turn: turn,
    };
    // A job that is not there is 404, not a stream.
    watch.look().await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(told(watch)))
}

struct Watch {
    state: State,
    ctx: Ctx,
    id: Uuid,
    seen: Option<ImportJob>,
    until: Instant,
    ended: bool,
    _turn: OwnedSemaphorePermit,
}

fn told(watch: Watch) -> impl Stream<Item = Result<web::Bytes, Error>> + 'static {
    stream::try_unfold(watch, |mut watch| async move {
        Ok(watch.next().await?.map(|bytes| (bytes, watch)))
    })
}

impl Watch {
    async fn look(&self) -> Result<ImportJob, Error> {
        let id = self.id;
        self.state
            .db
            .read(&self.ctx, async |tx: &mut Tx| store::get(tx, id).await)
            .await
    }

    /// What is sent next; nothing at the end.
    async fn next(&mut self) -> Result<Option<web::Bytes>, Error> {
        let beat = Instant::now() + BEAT;
        while !self.ended {
            let job = self.look().await?;
            if self.seen.as_ref() != Some(&job) {
                let name = if job.rests() { "end" } else { "progress" };
                self.ended = job.rests();
                let now = self.state.db.clock().now();
                let body = ImportJobBody::of(job.clone(), now);
                let data = serde_json::to_string(&body).map_err(bahi_db::Error::from)?;
                self.seen = Some(job);
                return Ok(Some(
                    format!("retry: 1000\nevent: {name}\ndata: {data}\n\n").into(),
                ));
            }
            let now = Instant::now();
            if now >= self.until {
                return Ok(None);
            }
            if now >= beat {
                return Ok(Some(web::Bytes::from_static(b": still here\n\n")));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }
}
