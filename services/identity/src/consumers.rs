//! Everything identity hears.

use bahi_db::Tx;
use bahi_events::{AUDIT_RECORDED, AuditRecorded, Envelope};
use bahi_kafka::{Consumer, Failed};

use crate::{
    State,
    audit::{self, Record},
};

/// Topic and type to handler.
pub fn table(_: &State) -> Vec<Consumer> {
    vec![Consumer::new("identity").on(AUDIT_RECORDED, recorded)]
}

async fn recorded(tx: &mut Tx, events: &[Envelope<AuditRecorded>]) -> Result<(), Failed> {
    let records: Vec<_> = events.iter().map(Record::of).collect();
    Ok(audit::insert(tx, &records).await?)
}
