//! What inventory holds of a tenant: its stock, without anything that must not leave. Of people it holds ids alone, which
//! name nobody.

use bahi_events::SubjectKind::Customer;
use bahi_privacy::{Holdings, Keep};

/// What is in no archive, and what stays of a person.
pub const HOLDINGS: Holdings = Holdings {
    left_out: &[],
    erases: &[],
    keeps: &[Keep {
        subject: Customer,
        table: "batch_buyer",
        count:
            "select count(*) as rows, null::date as until from batch_buyer
                 where tenant_id = $1 and customer_id = $2 and $3 is not null and gstin is not null",
        why: "the GSTIN of a business that bought of a batch, by which it is told of a recall",
    }],
};
