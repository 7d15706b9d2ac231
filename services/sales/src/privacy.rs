//! What sales holds of a tenant and of people: the copy of each customer, and what documents say of the buyer.
//!
//! A customer is erased by its id. What was sold to somebody who gave a name and no more at the till is on the invoice
//! alone, and stays there as long as the law keeps the invoice.

use bahi_events::SubjectKind::Customer;
use bahi_privacy::{Erase, Holdings, Keep};

const fn of(table: &'static str, by: &'static str) -> Erase {
    Erase {
        subject: Customer,
        table,
        by,
    }
}

/// What the law keeps, and what is erased.
///
/// Books and invoices are kept for 72 months from the due date of the annual return of their year (CGST Act 2017 s.36, CGST
/// Rules 2017 r.56), which is the 31st of December after its end (s.44): a document of the year that begins in April of year y
/// may go after the 31st of December of y + 7.
pub const HOLDINGS: Holdings = Holdings {
    left_out: &[],
    erases: &[
        of(
            "customer",
            "update customer set name = '', phone = null, email = null, gstin = null, addresses = '[]', status = 'deleted'
              where tenant_id = $1 and customer_id = $2
                and (name <> '' or coalesce(phone, email, gstin) is not null or addresses <> '[]' or status <> 'deleted')",
        ),
        of(
            "customer_word",
            "delete from customer_word where tenant_id = $1 and customer_id = $2",
        ),
        of(
            "invoice",
            "update invoice set reference = null, note = null, delivery_contact = null
              where tenant_id = $1 and customer_id = $2 and coalesce(reference, note, delivery_contact) is not null",
        ),
        of(
            "invoice_edit",
            "update invoice_edit e set changes = '{}' from invoice i
              where i.tenant_id = $1 and i.customer_id = $2
                and e.tenant_id = i.tenant_id and e.invoice_id = i.invoice_id and e.changes <> '{}'",
        ),
        of(
            "cancellation",
            "update cancellation c set note = null from invoice i
              where i.tenant_id = $1 and i.customer_id = $2
                and c.tenant_id = i.tenant_id and c.invoice_id = i.invoice_id and c.note is not null",
        ),
        of(
            "receipt",
            "update receipt set note = null where tenant_id = $1 and customer_id = $2 and note is not null",
        ),
        of(
            "quotation",
            "update quotation set note = null, reason = null,
                    offer = jsonb_set(offer, '{buyer}', '{}') || '{\"external_reference\": null}'
              where tenant_id = $1 and customer_id = $2
                and (coalesce(note, reason) is not null or offer -> 'buyer' <> '{}')",
        ),
        of(
            "sales_order",
            "update sales_order set note = null, reason = null,
                    offer = jsonb_set(offer, '{buyer}', '{}') || '{\"external_reference\": null}'
              where tenant_id = $1 and customer_id = $2 and status in ('draft', 'fulfilled', 'closed', 'cancelled')
                and (coalesce(note, reason) is not null or offer -> 'buyer' <> '{}')",
        ),
        of(
            "fulfilment",
            "update fulfilment f set note = null from sales_order o
              where o.tenant_id = $1 and o.customer_id = $2 and f.tenant_id = o.tenant_id and f.order_id = o.order_id
                and f.note is not null and f.state = 'delivered'",
        ),
        of(
            "held_bill",
            "update held_bill set label = null, basket = basket - 'buyer' - 'customer_id'
              where tenant_id = $1 and basket ->> 'customer_id' = $2::text",
        ),
        // What the law has kept long enough.
        of(
            "invoice",
            "update invoice set buyer_name = null, buyer_phone = null, buyer_address = null
              where tenant_id = $1 and customer_id = $2 and make_date(fiscal_year + 7, 12, 31) < $3
                and coalesce(buyer_name, buyer_phone, buyer_address) is not null",
        ),
    ],
    keeps: &[
        Keep {
            subject: Customer,
            table: "invoice",
            count: "select count(*) as rows, max(make_date(fiscal_year + 7, 12, 31)) as until from invoice
                     where tenant_id = $1 and customer_id = $2 and $3 is not null
                       and coalesce(buyer_name, buyer_phone, buyer_address, gstin_buyer) is not null",
            why: "the buyer on an invoice and on its prints: CGST Act 2017 s.36 with r.56, kept 72 months from the due date of \
                  the annual return; DPDP Act 2023 s.8(7), s.12(3)",
        },
        Keep {
            subject: Customer,
            table: "sales_order",
            count: "select count(*) as rows, null::date as until from sales_order
                     where tenant_id = $1 and customer_id = $2 and $3 is not null
                       and status not in ('draft', 'fulfilled', 'closed', 'cancelled') and offer -> 'buyer' <> '{}'",
            why: "the buyer of an order that is being delivered, until it has ended",
        },
    ],
};
