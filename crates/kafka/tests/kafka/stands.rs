//! A client of Kafka that does not do its work any more is replaced, and nothing is lost or doubled by it.

use std::time::Duration;

use bahi_kafka::{Consumer, producer_settings};
use bahi_types::TenantId;
use rdkafka::{
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio_util::sync::CancellationToken;

use crate::support::*;

/// A consumer of a mock of a broker.
struct Standing {
    stage: Stage,
    cluster: MockCluster<'static, DefaultProducerContext>,
    name: &'static str,
    running: Running,
}

impl Standing {
    async fn new(name: &'static str) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let mut stage = Stage::new().await;
        cluster.create_topic(&stage.topic(), 1, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        let producer: FutureProducer = producer_settings(&brokers, "test").create().unwrap();
        stage.producer = producer;
        let consumer = Consumer::new(name)
            .with_topic_prefix(&stage.prefix)
            .patience(Duration::from_secs(2))
            .on(COUNTED, leave);
        let (status, stop) = (consumer.status(), CancellationToken::new());
        let (db, token) = (stage.db.clone(), stop.clone());
        let task = tokio::spawn(async move { consumer.run(db, &brokers, token).await });
        Self {
            stage,
            cluster,
            name,
            running: Running { status, stop, task },
        }
    }

    async fn say(&self, n: i64) {
        let sent = Sent::new(COUNTED, TenantId::new(), &format!("k{n}"), n);
        self.stage.send(&[sent]).await;
    }

    async fn await_renewals(&self, count: u64) {
        let sample = format!("bahi_consumer_renewed_total{{consumer=\"{}\"}} ", self.name);
        eventually(async || {
            let text = prometheus::TextEncoder::new()
                .encode_to_string(&prometheus::gather())
                .unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(&sample))?;
            (line.parse::<u64>().unwrap() >= count).then_some(())
        })
        .await;
    }

    async fn handled(self, count: usize) {
        let effects = self.stage.await_effects(count).await;
        let mut said: Vec<_> = effects.iter().map(|effect| effect.n).collect();
        said.sort_unstable();
        assert_eq!(said, (0..count as i64).collect::<Vec<_>>());
        self.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_of_what_there_is_is_replaced() {
    let standing = Standing::new("standing").await;
    standing.say(0).await;
    standing.stage.await_effects(1).await;
    // It still says where the topic ends, but no record comes.
    let answers = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 10_000];
    standing
        .cluster
        .request_errors(RDKafkaApiKey::Fetch, &answers);
    standing.say(1).await;
    standing.await_renewals(1).await;
    standing.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    standing.say(2).await;
    standing.handled(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_brokers_is_replaced_until_there_are_some() {
    let standing = Standing::new("alone").await;
    standing.say(0).await;
    standing.stage.await_effects(1).await;
    standing.cluster.broker_down(1).unwrap();
    standing.await_renewals(2).await;
    standing.cluster.broker_up(1).unwrap();
    standing.say(1).await;
    standing.handled(2).await;
}
