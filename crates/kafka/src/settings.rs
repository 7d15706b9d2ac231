//! Settings of Kafka clients. librdkafka's defaults lack idempotence, commit by themselves and partition
//! unlike Java's clients; these do not.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

/// The largest record a topic takes, in bytes; dead letters carry a little more.
pub const MAX_RECORD: usize = 1_048_588;

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Otherwise the level depends on a logger of the `log` crate, which there is none of.
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
        .set("bootstrap.servers", brokers)
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("enable.metrics.push", "false");
    config
}

/// An idempotent producer: nothing lost, doubled or reordered by retries, and it never gives up by itself.
pub fn producer_settings(brokers: &str, client_id: &str) -> ClientConfig {
    let mut config = client(brokers);
    config
        .set("client.id", client_id)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("message.timeout.ms", "0")
        .set("request.timeout.ms", "10000")
        .set("retry.backoff.ms", "20")
        .set("linger.ms", "0.5")
        .set("batch.size", "900000")
        .set("batch.num.messages", "10000")
        .set("partitioner", "murmur2_random");
    config
}

/// A member of `group` that decides itself where to read and when an offset counts as read.
pub fn consumer_settings(brokers: &str, group: &str) -> ClientConfig {
    let mut config = client(brokers);
    config
        .set("client.id", group)
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        // Commits what was stored after the database's commit; only for tools that show lag.
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", "300000")
        // The broker answers as soon as there is one byte. The long poll ends after this even without, because
        // a partition that was just assigned or resumed is asked for only with the next request.
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.min.messages", "2000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.message.max.bytes", "1048588")
        .set("topic.metadata.refresh.interval.ms", "10000");
    config
}

/// Lets the broker gather records for as long as the long poll lasts: at full load every single one would cost it an
/// answer and the next question.
pub(crate) fn gathered(config: &mut ClientConfig) {
    config.set("fetch.min.bytes", "65536");
}
