//! Everything identity hears.

use bahi_db::Tx;
use bahi_events::{AUDIT_RECORDED, AuditRecorded, Envelope, PERSON_ERASED, TENANT_EXPORT_ANSWERED};
use bahi_kafka::{Consumer, Failed};

use crate::{
    State,
    audit::{self, Record},
    erasure, tenant_export,
};

/// Topic and type to handler.
pub fn table(state: &State) -> Vec<Consumer> {
    let heard = Consumer::new("identity")
        .on(AUDIT_RECORDED, recorded)
        .on(TENANT_EXPORT_ANSWERED, tenant_export::answered)
        .on(PERSON_ERASED, erasure::answered);
    vec![heard, state.privacy.consumer()]
}

async fn recorded(tx: &mut Tx, events: &[Envelope<AuditRecorded>]) -> Result<(), Failed> {
    let records: Vec<_> = events.iter().map(Record::of).collect();
    Ok(audit::insert(tx, &records).await?)
}
