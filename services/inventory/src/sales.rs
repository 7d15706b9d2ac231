//! The client of sales: what became of the sales behind our holds.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail};
use bahi_db::Ctx;
use bahi_proto::{
    auth::Outbound,
    sales::v1::{
        Decision, HoldRef as WireRef, IssuedSale, ReservationStatesRequest,
        reservations_client::ReservationsClient,
    },
};
use bahi_types::ReservationId;
use tonic::transport::{Channel, Endpoint};

use crate::{
    error::HoldRef,
    reservation::{Answer, Ask, Said},
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most holds of one question.
pub const MOST: usize = 500;

/// Sales, as far as we ask it.
#[derive(Clone)]
pub struct Sales {
    client: Option<ReservationsClient<Channel>>,
    outbound: Outbound,
}

impl Sales {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: Option<&str>, outbound: Outbound) -> anyhow::Result<Self> {
        let connect = |url: &str| {
            let endpoint = Endpoint::from_shared(url.to_owned())
                .with_context(|| format!("BAHI_SALES_GRPC={url}"))?;
            let channel = endpoint
                .connect_timeout(Duration::from_secs(1))
                .tcp_nodelay(true)
                .connect_lazy();
            anyhow::Ok(ReservationsClient::new(channel))
        };
        Ok(Self {
            client: url.map(connect).transpose()?,
            outbound,
        })
    }

    /// Asks about holds of one tenant. Holds that the answer leaves out, or is unclear about, are left out here.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn states(
        &self,
        ctx: &Ctx,
        holds: &[HoldRef],
    ) -> anyhow::Result<Vec<(ReservationId, Said)>> {
        let Some(mut client) = self.client.clone() else {
            bail!("BAHI_SALES_GRPC is not set")
        };
        let wire = |h: &HoldRef| WireRef {
            reservation_id: h.id.to_string(),
            invoice_id: h.invoice.to_string(),
            attempt: h.attempt,
        };
        let mut asked: HashMap<String, ReservationId> =
            holds.iter().map(|h| (h.id.to_string(), h.id)).collect();
        let mut said = Vec::with_capacity(holds.len());
        for part in holds.chunks(MOST) {
            let question = ReservationStatesRequest {
                holds: part.iter().map(wire).collect(),
            };
            let answer = client
                .reservation_states(self.outbound.request(ctx, question, TIMEOUT)?)
                .await?
                .into_inner();
            for state in answer.states {
                let Some(id) = asked.remove(&state.reservation_id) else {
                    continue;
                };
                match (state.decision(), state.issued) {
                    (Decision::Void | Decision::Closed, _) => said.push((id, Said::Void)),
                    (Decision::Issued, Some(sale)) => {
                        said.push((id, Said::Issued(answer_of(sale)?)))
                    }
                    (Decision::Issued, None) | (Decision::Unspecified, _) => {
                        tracing::warn!(hold = %id, "sales answers unclearly; the hold stays");
                    }
                }
            }
        }
        Ok(said)
    }
}

fn answer_of(sale: IssuedSale) -> anyhow::Result<Answer> {
    let lines = sale.lines.iter().map(|l| {
        let product = l.product_id.parse().context("product_id")?;
        anyhow::Ok(Ask {
            line: l.line,
            product,
            qty: l.qty.parse().context("qty")?,
        })
    });
    Ok(Answer {
        invoice_id: sale.invoice_id.parse().context("invoice_id")?,
        number: sale.number,
        location_id: sale.location_id.parse().context("location_id")?,
        demand_hash: sale.demand_hash,
        lines: lines.collect::<anyhow::Result<_>>()?,
        occurred_at: sale.occurred_at.parse().context("occurred_at")?,
    })
}
