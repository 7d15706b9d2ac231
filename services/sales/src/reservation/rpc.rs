//! `ReservationStates`: what became of the sales behind inventory's holds.

use std::collections::HashMap;

use bahi_db::Tx;
use bahi_proto::{
    auth::status_of,
    reservation_id,
    sales::v1::{
        Decision, HoldRef, IssuedLine, IssuedSale, ReservationState, ReservationStatesRequest,
        ReservationStatesResponse, reservations_server::Reservations,
    },
};
use bahi_service::pause_point;
use bahi_types::{InvoiceId, ReservationId};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};

use super::store;
use crate::{State, error::Error, invoice::serials_of};

/// Most holds of one question.
const MOST: usize = 500;

/// The gRPC service.
pub(crate) struct Server {
    state: State,
}

impl Server {
    /// On `state`.
    pub(crate) fn new(state: State) -> Self {
        Self { state }
    }
}

#[derive(Clone, Copy)]
struct Hold {
    id: ReservationId,
    invoice: InvoiceId,
    attempt: u32,
}

fn hold(asked: &HoldRef) -> Option<Hold> {
    let id: ReservationId = asked.reservation_id.parse().ok()?;
    let invoice: InvoiceId = asked.invoice_id.parse().ok()?;
    let sound = (1..=i32::MAX as u32).contains(&asked.attempt)
        && id == reservation_id(invoice, asked.attempt);
    sound.then_some(Hold {
        id,
        invoice,
        attempt: asked.attempt,
    })
}

/// An answer as the transaction finds it.
#[derive(Clone, Serialize, Deserialize)]
struct Found {
    decision: String,
    sale: Option<Sale>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Sale {
    invoice_id: String,
    location_id: String,
    demand_hash: String,
    lines: Vec<(i32, String, String, Vec<String>)>,
    occurred_at: String,
    number: String,
}

#[tonic::async_trait]
impl Reservations for Server {
    async fn reservation_states(
        &self,
        request: Request<ReservationStatesRequest>,
    ) -> Result<Response<ReservationStatesResponse>, Status> {
        let ctx = self.state.guard.admit(&request, "ReservationStates")?;
        // A decision written now could void a sale that happened and was lost with the database.
        let open = self.state.restore.passed().await;
        open.map_err(|error| status_of(&error))?;
        let asked = request.into_inner().holds;
        if asked.len() > MOST {
            return Err(Status::invalid_argument("At most 500 holds at once."));
        }
        let holds: Option<Vec<Hold>> = asked.iter().map(hold).collect();
        let holds = holds.ok_or_else(|| {
            Status::invalid_argument("A hold is not UUIDv5(invoice_id, attempt).")
        })?;
        let wanted = holds.clone();
        let found = self
            .state
            .db
            .write(&ctx, async move |tx: &mut Tx| decide(tx, &wanted).await)
            .await
            .map_err(|error: Error| status_of(&error))?
            .value;
        pause_point("sales.after_void").await;
        let states = holds.iter().map(|hold| answer(hold, found.get(&hold.id)));
        Ok(Response::new(ReservationStatesResponse {
            states: states.collect(),
        }))
    }
}

/// Voids what is undecided, then reads all of it, in one transaction: what is answered is what stands.
async fn decide(tx: &mut Tx, holds: &[Hold]) -> Result<HashMap<ReservationId, Found>, Error> {
    let attempts: Vec<_> = holds.iter().map(|h| (h.invoice, h.attempt)).collect();
    store::void(tx, &attempts).await?;
    let ids: Vec<_> = holds.iter().map(|h| h.id).collect();
    let decisions = store::of_holds(tx, &ids).await?;
    let mut found: HashMap<_, _> = decisions
        .into_iter()
        .map(|row| {
            (
                row.reservation_id,
                Found {
                    decision: row.decision,
                    sale: None,
                },
            )
        })
        .collect();
    let issued: Vec<_> = found
        .iter()
        .filter(|(_, f)| f.decision == "issued")
        .map(|(id, _)| *id)
        .collect();
    if issued.is_empty() {
        return Ok(found);
    }
    for row in store::issued_lines(tx, &issued).await? {
        let Some(entry) = found.get_mut(&row.reservation_id) else {
            continue;
        };
        let sale = entry.sale.get_or_insert_with(|| Sale {
            invoice_id: row.invoice_id.to_string(),
            location_id: row.location_id.to_string(),
            demand_hash: row.demand_hash.clone(),
            lines: Vec::new(),
            occurred_at: row.issued_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            number: row.number.clone(),
        });
        if let (Some(line), Some(product), Some(qty)) = (row.line, row.product_id, row.qty) {
            let serials = row.serials.as_ref().map(serials_of).unwrap_or_default();
            sale.lines
                .push((line, product.to_string(), qty.to_string(), serials));
        }
    }
    Ok(found)
}

fn answer(hold: &Hold, found: Option<&Found>) -> ReservationState {
    let decision = match found.map(|f| f.decision.as_str()) {
        Some("void") => Decision::Void,
        Some("issued") => Decision::Issued,
        Some("closed") => Decision::Closed,
        // An insert that neither wrote nor met a row cannot be; the hold is kept then.
        _ => Decision::Unspecified,
    };
    let issued = found.and_then(|f| f.sale.clone()).map(|sale| IssuedSale {
        invoice_id: sale.invoice_id,
        location_id: sale.location_id,
        demand_hash: sale.demand_hash,
        lines: sale
            .lines
            .into_iter()
            .map(|(line, product_id, qty, serials)| IssuedLine {
                line,
                product_id,
                qty,
                serials,
            })
            .collect(),
        occurred_at: sale.occurred_at,
        number: sale.number,
    });
    ReservationState {
        reservation_id: hold.id.to_string(),
        decision: decision.into(),
        issued,
    }
}
