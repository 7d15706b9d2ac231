//! What librdkafka tells a member of the group while it is polled.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, StreamConsumer},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use tokio::sync::mpsc::UnboundedSender;

/// A change of the partitions that belong to this member.
#[derive(Debug)]
pub(crate) enum Change {
    /// These are to be assigned, at offsets that the database knows.
    Assign(TopicPartitionList),
    /// These are gone.
    Revoked(TopicPartitionList),
}

/// The client's context.
pub(crate) struct Group {
    changes: UnboundedSender<Change>,
    /// An assignment that Kafka waits for. Reading the positions takes the database, which a callback cannot
    /// wait for, so it only passes the list on.
    unanswered: Mutex<Option<TopicPartitionList>>,
    closing: AtomicBool,
}

impl Group {
    pub(crate) fn new(changes: UnboundedSender<Change>) -> Self {
        Self {
            changes,
            unanswered: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    fn unanswered(&self) -> std::sync::MutexGuard<'_, Option<TopicPartitionList>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, "{reason}");
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let result = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                if list.count() > 0 && !self.closing.load(Ordering::Acquire) {
                    *self.unanswered() = Some(list.clone());
                    self.changes.send(Change::Assign(list.clone())).ok();
                    return;
                }
                consumer.incremental_assign(list)
            }
            _ => {
                self.changes.send(Change::Revoked(list.clone())).ok();
                consumer.incremental_unassign(list)
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "the group's change was not taken");
        }
    }
}

/// A client in its group; leaves it when dropped.
pub(crate) struct Session {
    pub kafka: StreamConsumer<Group>,
}

impl Session {
    /// Takes the partitions of the last [`Change::Assign`], at the offsets in `list`.
    pub(crate) fn assign(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        self.kafka.context().unanswered().take();
        self.kafka.incremental_assign(list)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let context = self.kafka.context();
        context.closing.store(true, Ordering::Release);
        // Closing waits for ever for an assignment that is not answered.
        if let Some(list) = context.unanswered().take()
            && let Err(error) = self.kafka.incremental_assign(&list)
        {
            tracing::warn!(%error, "the last assignment was not taken");
        }
    }
}
