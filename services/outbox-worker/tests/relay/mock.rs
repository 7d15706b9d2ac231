//! Every answer that a broker can give to a request, given by librdkafka's mock of one: what concerns the event parks it,
//! what concerns the cluster or the producer is tried again, nothing is lost or overtaken.
//!
//! The mock does not look at sequence numbers as a broker does: what is in flight behind a request that it refuses it
//! takes, out of order, and the client rightly counts the refused one as taken. So one event at a time is on its way
//! while answers are injected; several in flight are broken on a real broker by `scripts/faults`.

use std::time::{Duration, Instant};

use bahi_testkit::{Entry, judge};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaErrorCode as Code, RDKafkaRespErr},
};
use tokio_postgres::Client;

use crate::{
    log::Log,
    world::{Worker, World, emit, eventually},
};

const TOPIC: &str = "mocked";

/// Key, version, state.
type Parked = (String, i64, String);

/// A relay between a real outbox and a mock of a broker.
struct Stage {
    cluster: MockCluster<'static, DefaultProducerContext>,
    world: World,
    log: Log,
    app: Client,
    sent: Vec<Entry>,
}

impl Stage {
    async fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        // One partition: one request carries all that is there to send.
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        let world = World::new().await;
        let app = world.app().await;
        let log = Log::follow(&cluster.bootstrap_servers(), TOPIC.into(), 1);
        Self {
            cluster,
            world,
            log,
            app,
            sent: Vec::new(),
        }
    }

    fn worker(&self) -> Worker {
        self.world.start_on(self.cluster.bootstrap_servers())
    }

    /// Says something about `key`.
    async fn say(&mut self, key: &str, version: i64) {
        let entry = emit(&self.app, TOPIC, key, version, "{}").await;
        self.sent.push(entry);
    }

    /// Says something while the next requests of this kind are answered with `answers`, and two things after it.
    /// Returns what is parked in the end.
    async fn answered(&mut self, answers: &[RDKafkaRespErr], key: &str) -> Vec<Parked> {
        self.cluster.request_errors(RDKafkaApiKey::Produce, answers);
        self.say(key, 1).await;
        self.settle().await;
        self.cluster.clear_request_errors(RDKafkaApiKey::Produce);
        self.say(key, 2).await;
        self.say(key, 3).await;
        self.settle().await
    }

    /// Waits until as many events have arrived or are parked as were said; the parked ones.
    async fn settle(&self) -> Vec<Parked> {
        let admin = self.world.admin().await;
        let parked = "select p.key, e.aggregate_version, p.state from outbox.parked p join outbox.event e using (seq) order by p.seq";
        let sent = self.sent.last().unwrap().key.clone();
        eventually(format!("the events of {sent}"), || async {
            let rows = admin.query(parked, &[]).await.unwrap();
            let parked: Vec<_> = rows
                .iter()
                .map(|r| (r.get(0), r.get(1), r.get(2)))
                .collect();
            // Repeated ones do not count.
            let mut arrived: Vec<_> = self.log.seen().iter().map(|seen| seen.event_id).collect();
            arrived.sort_unstable();
            arrived.dedup();
            (arrived.len() + parked.len() >= self.sent.len()).then_some(parked)
        })
        .await
    }

    /// Nothing lost, disordered or altered, parked events aside.
    async fn finish(self, worker: Worker) {
        let parked = self.settle().await;
        worker.stop().await;
        let published: Vec<Entry> = self
            .sent
            .iter()
            .filter(|entry| {
                let of = (&entry.key, entry.version);
                parked.iter().all(|(key, version, _)| (key, *version) != of)
            })
            .cloned()
            .collect();
        let verdict = judge(&published, &self.log.seen());
        assert!(verdict.is_clean(), "{verdict:?}");
        self.world.close().await;
    }
}

/// Every error code of the protocol that librdkafka knows.
fn all_codes() -> Vec<RDKafkaRespErr> {
    (1..RDKafkaRespErr::RD_KAFKA_RESP_ERR_END_ALL as i32)
        .filter_map(|code| RDKafkaRespErr::try_from(code).ok())
        .collect()
}

/// What a broker says of the event itself.
const REFUSALS: [Code; 7] = [
    Code::InvalidMessageSize,
    Code::MessageSizeTooLarge,
    Code::InvalidTopic,
    Code::MessageBatchTooLarge,
    Code::InvalidTimestamp,
    Code::PolicyViolation,
    Code::InvalidRecord,
];

/// A worker at work, with a first event through.
async fn at_work() -> (Stage, Worker) {
    let mut stage = Stage::new().await;
    let worker = stage.worker();
    stage.say("before", 1).await;
    stage.settle().await;
    (stage, worker)
}

/// A part of all codes, each answered twice to Produce: they are many, and each costs two producers.
async fn produce(part: usize) {
    let (mut stage, worker) = at_work().await;
    let (mut expected, mut wrong) = (Vec::new(), Vec::new());
    for (n, code) in all_codes().into_iter().enumerate() {
        // "I have it already" is an acknowledgement.
        if n % 4 != part || Code::from(code) == Code::DuplicateSequenceNumber {
            continue;
        }
        let key = format!("{}:{:?}", code as i32, Code::from(code));
        if REFUSALS.contains(&code.into()) {
            let row = |version, state: &str| (key.clone(), version, state.to_owned());
            expected.extend([row(1, "refused"), row(2, "waiting"), row(3, "waiting")]);
        }
        let parked = stage.answered(&[code, code], &key).await;
        if parked != expected {
            wrong.push(key);
            expected = parked;
        }
    }
    assert!(
        wrong.is_empty(),
        "parked, or not, against the rule: {wrong:?}"
    );
    stage.finish(worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_produce_parks_the_event_or_is_tried_again_1() {
    produce(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_produce_parks_the_event_or_is_tried_again_2() {
    produce(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_produce_parks_the_event_or_is_tried_again_3() {
    produce(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_produce_parks_the_event_or_is_tried_again_4() {
    produce(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_once_and_then_taken_is_not_parked() {
    let (mut stage, worker) = at_work().await;
    for code in REFUSALS {
        let answer = all_codes().into_iter().find(|c| Code::from(*c) == code);
        let parked = stage
            .answered(&[answer.unwrap()], &format!("{code:?}"))
            .await;
        assert_eq!(parked, []);
    }
    stage.finish(worker).await;
}

/// No rights, no leader, a connection that breaks, a producer that lost its place: for as long as it takes, and then
/// everything goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_the_cluster_or_the_producer_parks_nothing_however_often_it_is_answered() {
    use RDKafkaRespErr::*;
    let (mut stage, worker) = at_work().await;
    for code in [
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ] {
        let key = format!("{:?}", Code::from(code));
        assert_eq!(stage.answered(&[code; 5], &key).await, []);
    }
    stage.finish(worker).await;
}

/// What the broker says it has is not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_an_event_already_has_acknowledged_it() {
    let (mut stage, worker) = at_work().await;
    let answer = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER];
    stage
        .cluster
        .request_errors(RDKafkaApiKey::Produce, &answer);
    stage.say("there", 1).await;
    let admin = stage.world.admin().await;
    eventually("published", || async {
        let open = "select count(*) from outbox.status where not published";
        let open: i64 = admin.query_one(open, &[]).await.unwrap().get(0);
        (open == 0).then_some(())
    })
    .await;
    // The mock only said so: what it holds is the first event and nothing else.
    assert_eq!(stage.log.len(), 1);
    stage.sent.pop();
    stage.say("after", 1).await;
    stage.finish(worker).await;
}

/// A producer that gets no number cannot begin; each answer is met by one that starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_to_a_producer_s_first_question_keeps_the_relay_from_publishing() {
    use RDKafkaRespErr::*;
    let mut stage = Stage::new().await;
    for code in [
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_INVALID_REQUEST,
        RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ] {
        let first = RDKafkaApiKey::InitProducerId;
        stage.cluster.request_errors(first, &[code; 2]);
        stage.say(&format!("{:?}", Code::from(code)), 1).await;
        let worker = stage.worker();
        assert_eq!(stage.settle().await, []);
        worker.stop().await;
        stage.cluster.clear_request_errors(first);
    }
    let worker = stage.worker();
    stage.finish(worker).await;
}

/// What the cluster says of a topic that is there: nothing but "there is no such topic" parks its events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_cannot_be_asked_about_for_now_keeps_its_events_waiting() {
    use RDKafkaRespErr::*;
    let mut stage = Stage::new().await;
    for code in [
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ] {
        let key = format!("{:?}", Code::from(code));
        stage.cluster.topic_error(TOPIC, code).unwrap();
        let (seen, worker) = (stage.log.len(), stage.worker());
        stage.say(&key, 1).await;
        // Longer than an unknown topic is given.
        let asked = Instant::now();
        eventually("more than three seconds", || async {
            (asked.elapsed() > Duration::from_secs(4)).then_some(())
        })
        .await;
        assert_eq!(stage.log.len(), seen, "{key} was no obstacle");
        let fine = RD_KAFKA_RESP_ERR_NO_ERROR;
        stage.cluster.topic_error(TOPIC, fine).unwrap();
        assert_eq!(stage.settle().await, [], "{key}");
        worker.stop().await;
    }
    let worker = stage.worker();
    stage.finish(worker).await;
}
