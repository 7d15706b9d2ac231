//! What of an issued invoice may be edited: the buyer's reference, the salesperson, a note and the delivery contact.
//!
//! * A merge patch under `If-Match`; a fiscal field in it is refused by its name, and so is one that does not exist.
//! * A change raises the version, is kept with what was there before, and is said by `invoice.edited`, in the order of the
//!   invoice's other events. A patch that changes nothing does nothing.
//! * A cancelled invoice is edited no more.

use actix_web::{HttpResponse, patch, web};
use bahi_db::{Done, Error as DbError, Tx, sql};
use bahi_http::{Amend, Caller, Fault, Problem, ok, parse};
use bahi_types::{InvoiceId, UserId};
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    State,
    error::{Error, Result},
    events,
    invoice::{self, Header, Invoice, InvoiceBody, short_text},
};

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(edit);
}

/// What is said of an invoice beside what is fiscal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Remarks {
    /// The buyer's reference, such as the number of its order.
    #[garde(inner(custom(short_text)))]
    reference: Option<String>,
    salesperson_id: Option<UserId>,
    #[garde(length(min = 1, max = 1000))]
    note: Option<String>,
    /// Whom to call about the delivery.
    #[garde(inner(custom(short_text)))]
    delivery_contact: Option<String>,
}

/// Fields of the remarks to be said otherwise.
#[derive(Clone, Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Patch {
    #[serde(flatten)]
    fields: Map<String, Value>,
}

const EDITABLE: [&str; 4] = ["reference", "salesperson_id", "note", "delivery_contact"];

/// What an invoice answers with and nobody changes.
const FISCAL: [&str; 36] = [
    "invoice_id",
    "number",
    "date",
    "issued_at",
    "type",
    "status",
    "payment_status",
    "registration_id",
    "gstin_supplier",
    "branch_id",
    "location_id",
    "till_id",
    "session_id",
    "customer_id",
    "buyer",
    "cashier_id",
    "place_of_supply",
    "inter_state",
    "reverse_charge",
    "lines",
    "gross",
    "discount",
    "customer_group_id",
    "promotions",
    "taxable",
    "tax",
    "round_off",
    "total",
    "currency",
    "tenders",
    "change",
    "returned",
    "paid",
    "open",
    "external_reference",
    "external_date",
];

impl Remarks {
    fn of(header: &Header) -> Self {
        Self {
            reference: header.reference.clone(),
            salesperson_id: header.salesperson_id,
            note: header.note.clone(),
            delivery_contact: header.delivery_contact.clone(),
        }
    }

    /// With a patch; null takes a field away.
    fn patched(&self, patch: &Patch) -> Result<Self> {
        let fiscal = |name: &&String| FISCAL.contains(&name.as_str());
        if let Some(name) = patch.fields.keys().find(fiscal) {
            return Err(Error::FiscalField(name.clone()));
        }
        let mut said = serde_json::to_value(self).map_err(DbError::from)?;
        if let Some(members) = said.as_object_mut() {
            for (name, value) in &patch.fields {
                members.insert(name.clone(), value.clone());
            }
        }
        let bytes = serde_json::to_vec(&said).map_err(DbError::from)?;
        Ok(parse(&bytes)?)
    }

    /// What is other than before, with both values.
    fn changes(&self, before: &Self) -> Result<Map<String, Value>> {
        let (from, to) = (
            serde_json::to_value(before).map_err(DbError::from)?,
            serde_json::to_value(self).map_err(DbError::from)?,
        );
        let changed = EDITABLE.into_iter().filter(|name| from[name] != to[name]);
        let both = |name: &str| {
            (
                name.to_owned(),
                json!({ "from": from[name], "to": to[name] }),
            )
        };
        Ok(changed.map(both).collect())
    }
}

/// Edits what is not fiscal of an invoice, by a merge patch: null takes a field away.
#[utoipa::path(tag = "invoices",
    security(("bearer" = ["sales.invoice.edit"])), request_body(content = Remarks, content_type = "application/merge-patch+json"),
    params(("If-Match" = String, Header)),
    responses(
        (status = 200, body = InvoiceBody),
        (status = 404),
        (status = 409, description = "INVOICE_CANCELLED"),
        (status = 412, description = "STALE_VERSION"),
        (status = 422, description = "FISCAL_FIELD (names it)")))]
#[patch("/api/v1/sales/invoices/{id:[^:/]+}")]
async fn edit(
    state: web::Data<State>,
    id: web::Path<InvoiceId>,
    req: Amend<Patch>,
) -> std::result::Result<HttpResponse, Problem> {
    let done = save(&state, &req.caller, *id, req.version, req.body).await?;
    Ok(ok(&done.map(InvoiceBody::from)))
}

async fn save(
    state: &State,
    caller: &Caller,
    id: InvoiceId,
    version: i64,
    patch: Patch,
) -> Result<Done<Invoice>> {
    state.restore.passed().await?;
    let by = caller.user().ok();
    state
        .db
        .write(&caller.ctx, async move |tx: &mut Tx| {
            let mut header = invoice::lock(tx, id).await?.ok_or(Fault::NotFound)?;
            if header.version != version {
                let current = header.version;
                return Err(DbError::Stale { current }.into());
            }
            if header.status == "cancelled" {
                return Err(Error::InvoiceCancelled);
            }
            let before = Remarks::of(&header);
            let remarks = before.patched(&patch)?;
            let changes = remarks.changes(&before)?;
            if !changes.is_empty() {
                header.version += 1;
                header.reference = remarks.reference;
                header.salesperson_id = remarks.salesperson_id;
                header.note = remarks.note;
                header.delivery_contact = remarks.delivery_contact;
                let fields = changes.keys().cloned().collect();
                write(tx, &header, by, changes).await?;
                tx.publish(events::invoice_edited(&header, fields));
            }
            Ok(invoice::get(tx, id).await?.ok_or(Fault::NotFound)?)
        })
        .await
}

async fn write(
    tx: &mut Tx,
    header: &Header,
    by: Option<UserId>,
    changes: Map<String, Value>,
) -> Result<()> {
    sql(
        "update invoice set reference = $3, salesperson_id = $4, note = $5, delivery_contact = $6, version = $7
          where tenant_id = $1 and invoice_id = $2",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(header.invoice_id)
    .bind::<Nullable<Text>, _>(header.reference.as_deref())
    .bind::<Nullable<SqlUuid>, _>(header.salesperson_id)
    .bind::<Nullable<Text>, _>(header.note.as_deref())
    .bind::<Nullable<Text>, _>(header.delivery_contact.as_deref())
    .bind::<BigInt, _>(header.version)
    .execute(tx.conn())
    .await?;
    sql(
        "insert into invoice_edit (tenant_id, invoice_id, version, edited_at, edited_by, changes)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<SqlUuid, _>(tx.tenant())
    .bind::<SqlUuid, _>(header.invoice_id)
    .bind::<BigInt, _>(header.version)
    .bind::<Timestamptz, _>(tx.now())
    .bind::<Nullable<SqlUuid>, _>(by)
    .bind::<Jsonb, _>(Value::Object(changes))
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks() -> Remarks {
        Remarks {
            reference: Some("PO 7".into()),
            salesperson_id: None,
            note: None,
            delivery_contact: None,
        }
    }

    fn patch(fields: Value) -> Patch {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn only_what_is_other_changes_and_null_takes_away() {
        let before = remarks();
        let after = before
            .patched(&patch(json!({ "reference": null, "note": "x" })))
            .unwrap();
        let changes = after.changes(&before).unwrap();
        assert_eq!(changes["reference"], json!({ "from": "PO 7", "to": null }));
        assert_eq!(changes.len(), 2);
        let same = before
            .patched(&patch(json!({ "reference": "PO 7" })))
            .unwrap();
        assert!(same.changes(&before).unwrap().is_empty());
    }

    #[test]
    fn a_fiscal_field_is_refused_by_name() {
        let refused = remarks().patched(&patch(json!({ "note": "x", "total": "1" })));
        assert!(matches!(refused, Err(Error::FiscalField(name)) if name == "total"));
        let unknown = remarks().patched(&patch(json!({ "colour": "red" })));
        assert!(matches!(unknown, Err(Error::Fault(Fault::Invalid(_)))));
    }
}
