//! The fence of a stock count: what had happened here by the moment of a look, and whether others can have heard it.

use std::collections::BTreeMap;

use bahi_db::{Tx, sql};
use bahi_proto::{
    auth::status_of,
    sales::v1::{
        Fence, LookRequest, LookResponse, PassedRequest, PassedResponse, TopicEnd,
        fences_server::Fences,
    },
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Jsonb, Text},
};
use diesel_async::RunQueryDsl;
use tonic::{Request, Response, Status};

use crate::{State, error::Error};

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

#[derive(QueryableByName)]
struct Seen {
    #[diesel(sql_type = Text)]
    snapshot: String,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

#[derive(QueryableByName)]
struct Covered {
    #[diesel(sql_type = Bool)]
    covered: bool,
    #[diesel(sql_type = Jsonb)]
    reached: serde_json::Value,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

/// What the relay wrote down of the topics, shard by shard: `{"topic": [next offset of partition 0, ..]}`.
fn ends(reached: serde_json::Value) -> Vec<TopicEnd> {
    let shards: Vec<BTreeMap<String, Vec<i64>>> =
        serde_json::from_value(reached).unwrap_or_default();
    let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for (topic, partitions) in shards.into_iter().flatten() {
        if !topic.ends_with("billing.events.v1") {
            continue;
        }
        for (partition, next) in (0..).zip(partitions) {
            let end = ends.entry((topic.clone(), partition)).or_default();
            *end = next.max(*end);
        }
    }
    ends.into_iter()
        .map(|((topic, partition), next_offset)| TopicEnd {
            topic,
            partition,
            next_offset,
        })
        .collect()
}

/// A snapshot as PostgreSQL writes it: digits, colons and commas. Nothing else goes into a cast.
fn is_snapshot(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |n: &str| (1..=19).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [min, max, running] => {
            let order =
                number(min) && number(max) && min.parse::<u64>().ok() <= max.parse::<u64>().ok();
            text.len() <= 1_000_000
                && order
                && (running.is_empty() || running.split(',').all(number))
        }
        _ => false,
    }
}

#[tonic::async_trait]
impl Fences for Server {
    async fn look(&self, request: Request<LookRequest>) -> Result<Response<LookResponse>, Status> {
        let ctx = self.state.guard.admit(&request, "Look")?;
        let open = self.state.restore.passed().await;
        open.map_err(|error| status_of(&error))?;
        let seen = self
            .state
            .db
            .read(&ctx, async move |tx: &mut Tx| -> Result<Seen, Error> {
                let text =
                    "select pg_current_snapshot()::text as snapshot, epoch from outbox.epoch";
                let seen = sql(text).get_result(tx.conn()).await;
                Ok(seen.map_err(bahi_db::Error::from)?)
            })
            .await
            .map_err(|error| status_of(&error))?;
        Ok(Response::new(LookResponse {
            snapshot: seen.snapshot,
            epoch: seen.epoch,
        }))
    }

    async fn passed(
        &self,
        request: Request<PassedRequest>,
    ) -> Result<Response<PassedResponse>, Status> {
        let ctx = self.state.guard.admit(&request, "Passed")?;
        let open = self.state.restore.passed().await;
        open.map_err(|error| status_of(&error))?;
        let ask = request.into_inner();
        if !is_snapshot(&ask.snapshot) {
            return Err(Status::invalid_argument("The snapshot is none."));
        }
        let snapshot = ask.snapshot;
        let found = self
            .state
            .db
            .read(&ctx, async move |tx: &mut Tx| -> Result<Covered, Error> {
                let found = sql("select c.covered, c.reached, e.epoch
                     from outbox.epoch e, inbox.outbox_covers($1::text::pg_snapshot) c")
                .bind::<Text, _>(snapshot)
                .get_result(tx.conn())
                .await;
                Ok(found.map_err(bahi_db::Error::from)?)
            })
            .await
            .map_err(|error| status_of(&error))?;
        let (fence, ends) = if found.epoch != ask.epoch {
            (Fence::Lost, Vec::new())
        } else if found.covered {
            (Fence::Open, ends(found.reached))
        } else {
            (Fence::Closed, Vec::new())
        };
        Ok(Response::new(PassedResponse {
            fence: fence.into(),
            ends,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_shard_counts_and_other_topics_do_not() {
        let reached = serde_json::json!([
            { "t.billing.events.v1": [3, 0], "t.audit.events.v1": [9] },
            { "t.billing.events.v1": [2, 7] }
        ]);
        let found: Vec<_> = ends(reached)
            .into_iter()
            .map(|e| (e.partition, e.next_offset))
            .collect();
        assert_eq!(found, [(0, 3), (1, 7)]);
    }

    #[test]
    fn only_a_snapshot_is_one() {
        for good in ["5:5:", "5:9:6,7"] {
            assert!(is_snapshot(good), "{good}");
        }
        for bad in ["", "5", "9:5:", "5:9", "5:9:6;", "5:9:6,", "a:b:", "-1:2:"] {
            assert!(!is_snapshot(bad), "{bad}");
        }
    }
}
