//! The client of sales: what became of the sales behind our holds.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail};
use bahi_db::Ctx;
use bahi_proto::{
    auth::Outbound,
    sales::v1::{
        Decision, Fence as WireFence, HoldRef as WireRef, IssuedSale, LookRequest, PassedRequest,
        ReservationStatesRequest, fences_client::FencesClient,
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
    channel: Option<Channel>,
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
            anyhow::Ok(channel)
        };
        Ok(Self {
            channel: url.map(connect).transpose()?,
            outbound,
        })
    }

    fn channel(&self) -> anyhow::Result<Channel> {
        self.channel.clone().context("BAHI_SALES_GRPC is not set")
    }

    /// What has happened in sales by now.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn look(&self, ctx: &Ctx) -> anyhow::Result<Seen> {
        let mut client = FencesClient::new(self.channel()?);
        let question = self.outbound.request(ctx, LookRequest {}, TIMEOUT)?;
        let answer = client.look(question).await?.into_inner();
        Ok(Seen {
            snapshot: answer.snapshot,
            epoch: answer.epoch,
        })
    }

    /// Whether all that had happened by `seen` is in the topics.
    ///
    /// # Errors
    /// When there is no clear answer.
    pub async fn passed(&self, ctx: &Ctx, seen: &Seen) -> anyhow::Result<Fence> {
        let mut client = FencesClient::new(self.channel()?);
        let question = PassedRequest {
            snapshot: seen.snapshot.clone(),
            epoch: seen.epoch,
        };
        let question = self.outbound.request(ctx, question, TIMEOUT)?;
        let answer = client.passed(question).await?.into_inner();
        match answer.fence() {
            WireFence::Closed => Ok(Fence::Closed),
            WireFence::Lost => Ok(Fence::Lost),
            WireFence::Open => {
                let end =
                    |e: bahi_proto::sales::v1::TopicEnd| (e.topic, e.partition, e.next_offset);
                Ok(Fence::Open(answer.ends.into_iter().map(end).collect()))
            }
            WireFence::Unspecified => bail!("sales answers unclearly about a look"),
        }
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
        let mut client = ReservationsClient::new(self.channel()?);
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

/// A moment in sales' database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// A `pg_snapshot` as text.
    pub snapshot: String,
    /// Restore epoch.
    pub epoch: i64,
}

/// Whether what had happened by a moment can have been heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Not all of it is in the topics yet.
    Closed,
    /// It has been heard by whoever has come to these offsets: topic, partition, next offset.
    Open(Vec<(String, i32, i64)>),
    /// Sales was restored since; the moment means nothing any more.
    Lost,
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
    let serials = sale.lines.iter().filter(|l| !l.serials.is_empty());
    Ok(Answer {
        serials: serials.map(|l| (l.line, l.serials.clone())).collect(),
        invoice_id: sale.invoice_id.parse().context("invoice_id")?,
        number: sale.number,
        location_id: sale.location_id.parse().context("location_id")?,
        demand_hash: sale.demand_hash,
        lines: lines.collect::<anyhow::Result<_>>()?,
        occurred_at: sale.occurred_at.parse().context("occurred_at")?,
    })
}
