//! A handler with its event type forgotten, so that handlers of many types fit one table.

use std::{any::Any, ops::Range};

use bahi_db::Tx;
use bahi_events::{Envelope, EventType, Topic};
use bahi_types::TenantId;
use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{Failed, record::is_known};

/// What the loop has to know of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub event_id: Uuid,
    pub tenant: TenantId,
    pub correlation_id: Option<Uuid>,
    pub trace_id: Option<Uuid>,
}

/// An `Envelope<P>`.
pub(crate) type Body = Box<dyn Any>;
/// A `Vec<Envelope<P>>`.
pub(crate) type Slice = Box<dyn Any>;

/// Decodes and handles events of one type.
pub(crate) trait Handler: Send {
    fn event_type(&self) -> &'static str;
    fn topic(&self) -> Topic;
    /// Decodes a record's value; an error when it is not an envelope around this type.
    fn decode(&self, value: &[u8]) -> serde_json::Result<(Meta, Body)>;
    /// Puts bodies that this handler decoded side by side.
    fn gather(&self, bodies: Vec<Body>) -> Slice;
    /// Handles a part of a slice that this handler gathered.
    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        slice: &'a Slice,
        part: Range<usize>,
    ) -> LocalBoxFuture<'a, Result<(), Failed>>;
}

pub(crate) struct Typed<P, F> {
    pub event: EventType<P>,
    pub f: F,
}

impl<P, F> Handler for Typed<P, F>
where
    P: DeserializeOwned + 'static,
    F: for<'a> AsyncFn(&'a mut Tx, &'a [Envelope<P>]) -> Result<(), Failed> + Send + 'static,
{
    fn event_type(&self) -> &'static str {
        self.event.name
    }

    fn topic(&self) -> Topic {
        self.event.topic
    }

    fn decode(&self, value: &[u8]) -> serde_json::Result<(Meta, Body)> {
        let event: Envelope<P> = serde_json::from_slice(value)?;
        if event.event_type != self.event.name {
            return Err(serde::de::Error::custom(format_args!(
                "is called {} inside",
                event.event_type
            )));
        }
        if !is_known(&event.version) {
            return Err(serde::de::Error::custom(format_args!(
                "is of version {}, which is not known here",
                event.version
            )));
        }
        let meta = Meta {
            event_id: event.event_id,
            tenant: event.tenant_id,
            correlation_id: event.correlation_id,
            trace_id: event.trace_id,
        };
        Ok((meta, Box::new(event)))
    }

    fn gather(&self, bodies: Vec<Body>) -> Slice {
        let events: Vec<Envelope<P>> = bodies
            .into_iter()
            .filter_map(|body| body.downcast().ok())
            .map(|event| *event)
            .collect();
        Box::new(events)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        slice: &'a Slice,
        part: Range<usize>,
    ) -> LocalBoxFuture<'a, Result<(), Failed>> {
        let Some(events) = slice.downcast_ref::<Vec<Envelope<P>>>() else {
            unreachable!("a slice goes back to the handler that gathered it");
        };
        Box::pin((self.f)(tx, &events[part]))
    }
}
