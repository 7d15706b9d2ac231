//! The handlers' part of a batch: slice by slice, plainly or under savepoints.

use std::panic::AssertUnwindSafe;

use anyhow::anyhow;
use bahi_db::{Batch, Ctx, Tx};
use bahi_types::TenantId;
use futures::FutureExt;
use uuid::Uuid;

use crate::{
    Failed,
    handler::{Meta, Slice},
    plan::{Card, arrange},
    record::{Aside, Record},
    trace,
    worker::{Event, HeldKeys, Worker},
};

/// The state of a batch while its slices are handled.
pub(crate) struct Slices<'a> {
    worker: &'a Worker<'a>,
    records: &'a [Record<'a>],
    held: HeldKeys,
    aside: Vec<Put>,
    handled: Vec<(usize, usize)>,
    attempts: i32,
}

/// A record that is put aside.
pub(crate) struct Put {
    /// Index of the record.
    pub source: usize,
    pub event_id: Option<Uuid>,
    pub aside: Aside,
}

/// Events of one tenant and type, gathered for their handler.
struct Run {
    tenant: TenantId,
    handler: usize,
    members: Vec<(usize, Meta)>,
    slice: Slice,
}

impl<'a> Slices<'a> {
    pub(crate) fn new(
        worker: &'a Worker<'a>,
        records: &'a [Record<'a>],
        held: HeldKeys,
        attempts: i32,
    ) -> Self {
        Self {
            worker,
            records,
            held,
            aside: Vec::new(),
            handled: Vec::new(),
            attempts,
        }
    }

    /// Puts the record aside if its key is held.
    pub(crate) fn waits(&mut self, source: usize, event_id: Option<Uuid>) -> bool {
        let waits = self.held.has(&self.records[source]);
        if waits {
            self.aside.push(Put {
                source,
                event_id,
                aside: Aside::waiting(),
            });
        }
        waits
    }

    /// Puts the record aside as the culprit of its key.
    pub(crate) fn reject(
        &mut self,
        source: usize,
        event_id: Option<Uuid>,
        reason: &'static str,
        error: &str,
    ) {
        self.held.hold(&self.records[source]);
        let aside = Aside::rejected(reason, error, self.attempts);
        self.aside.push(Put {
            source,
            event_id,
            aside,
        });
    }

    /// How many events of each handler were handled, and what was put aside.
    pub(crate) fn finish(self) -> (Vec<(usize, usize)>, Vec<Put>) {
        (self.handled, self.aside)
    }

    /// Handles all events; the first failure ends it.
    pub(crate) async fn handle(
        &mut self,
        batch: &mut Batch,
        events: Vec<Event>,
    ) -> Result<(), Failed> {
        for group in self.groups(events) {
            let run = self.gather(group);
            let tx = batch.enter(self.context(run.tenant, &run.members)).await?;
            self.call(tx, &run, 0, run.members.len()).await?;
            self.count(&run, run.members.len());
        }
        Ok(())
    }

    /// Handles the events slice by slice under savepoints. A slice that is rejected is handled one by one, the
    /// culprits are put aside, and the later events of their keys with them.
    pub(crate) async fn handle_carefully(
        &mut self,
        batch: &mut Batch,
        events: Vec<Event>,
    ) -> Result<(), Failed> {
        for mut group in self.groups(events) {
            group.retain(|event| !self.waits(event.source, Some(event.meta.event_id)));
            if group.is_empty() {
                continue;
            }
            let run = self.gather(group);
            match self.guarded(batch, &run, 0, run.members.len()).await {
                Ok(()) => self.count(&run, run.members.len()),
                Err(Failed::Reject { reason, error }) if run.members.len() == 1 => {
                    let (source, meta) = run.members[0];
                    self.reject(source, Some(meta.event_id), reason, &format!("{error:#}"));
                }
                Err(Failed::Reject { .. }) => self.one_by_one(batch, &run).await?,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn one_by_one(&mut self, batch: &mut Batch, run: &Run) -> Result<(), Failed> {
        for (at, (source, meta)) in run.members.iter().enumerate() {
            if self.waits(*source, Some(meta.event_id)) {
                continue;
            }
            match self.guarded(batch, run, at, 1).await {
                Ok(()) => self.count(run, 1),
                Err(Failed::Reject { reason, error }) => {
                    self.reject(*source, Some(meta.event_id), reason, &format!("{error:#}"));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Handles `len` events of a run from `at`, or leaves no trace of them.
    async fn guarded(
        &self,
        batch: &mut Batch,
        run: &Run,
        at: usize,
        len: usize,
    ) -> Result<(), Failed> {
        batch
            .enter(self.context(run.tenant, &run.members[at..at + len]))
            .await?;
        batch.savepoint().await?;
        let result = match self.call(batch.tx(), run, at, len).await {
            Ok(()) => batch.keep().await.map_err(Failed::from),
            failed => failed,
        };
        if result.is_err() {
            batch.undo().await?;
        }
        result
    }

    async fn call(&self, tx: &mut Tx, run: &Run, at: usize, len: usize) -> Result<(), Failed> {
        let handler = &self.worker.handlers[run.handler];
        let handling = async { handler.handle(tx, &run.slice, at..at + len).await };
        match AssertUnwindSafe(handling).catch_unwind().await {
            Ok(result) => result,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Failed::reject(
                    "panic",
                    anyhow!("the handler panicked: {}", text.unwrap_or_default()),
                ))
            }
        }
    }

    /// Sorts events into the groups that go to a handler together.
    fn groups(&self, events: Vec<Event>) -> impl Iterator<Item = Vec<Event>> + use<> {
        let cards = events.iter().map(|event| {
            let record = &self.records[event.source];
            let key = record.key.map(|key| (record.topic, key));
            Card {
                tenant: event.meta.tenant,
                handler: event.handler,
                key,
            }
        });
        let plan = arrange(cards);
        let mut events: Vec<Option<Event>> = events.into_iter().map(Some).collect();
        plan.into_iter().map(move |slot| {
            slot.members
                .into_iter()
                .filter_map(|member| events[member].take())
                .collect()
        })
    }

    fn gather(&self, group: Vec<Event>) -> Run {
        let (tenant, handler) = (group[0].meta.tenant, group[0].handler);
        let members = group
            .iter()
            .map(|event| (event.source, event.meta))
            .collect();
        let slice = self.worker.handlers[handler]
            .gather(group.into_iter().map(|event| event.body).collect());
        Run {
            tenant,
            handler,
            members,
            slice,
        }
    }

    /// The circumstances of a slice. What a single event causes carries its id, flow and trace; of several,
    /// only a flow that they share.
    fn context(&self, tenant: TenantId, members: &[(usize, Meta)]) -> Ctx {
        let mut ctx = Ctx::service(self.worker.name, tenant);
        match members {
            [(source, meta)] => {
                ctx.causation_id = Some(meta.event_id);
                ctx.correlation_id = meta.correlation_id.unwrap_or(meta.event_id);
                ctx.trace = meta
                    .trace_id
                    .zip(self.records[*source].trace)
                    .map(|(id, parent)| trace::onward(id, parent));
            }
            [(_, first), rest @ ..] => {
                let shared = rest
                    .iter()
                    .all(|(_, meta)| meta.correlation_id == first.correlation_id);
                if let Some(flow) = first.correlation_id.filter(|_| shared) {
                    ctx.correlation_id = flow;
                }
            }
            [] => {}
        }
        ctx
    }

    fn count(&mut self, run: &Run, events: usize) {
        self.handled.push((run.handler, events));
    }
}
