//! Setbacks: a partition that fails is paused and taken up again, and one that was lost is read anew.

use std::time::Duration;

use anyhow::Context;
use bahi_db::{Batch, Error};
use rdkafka::{Offset, consumer::Consumer as _};

use super::{At, Member};
use crate::{
    meters,
    partition::{LONGEST, OUTAGE, Partition},
};

/// The database is away, for every partition alike.
pub(super) fn is_outage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Unavailable))
}

impl Member<'_> {
    fn pause(&mut self, at: At) {
        if let Err(error) = self
            .list(at, Offset::Invalid)
            .and_then(|list| self.session.kafka.pause(&list))
        {
            tracing::warn!(%error, "a partition was not paused");
        }
    }

    pub(super) fn resume(&mut self, at: At) {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return;
        };
        if partition.until.take().is_none() {
            return;
        }
        if let Err(error) = self
            .list(at, Offset::Invalid)
            .and_then(|list| self.session.kafka.resume(&list))
        {
            tracing::error!(%error, "a partition was not resumed");
            self.lose(at);
        }
    }

    /// Keeps the records and tries again later. Others go on meanwhile.
    pub(super) fn put_off(&mut self, at: At, error: &anyhow::Error) {
        self.pause(at);
        meters::retried(self.worker.name);
        let most = if is_outage(error) { OUTAGE } else { LONGEST };
        if let Some(partition) = self.partitions.get_mut(&at) {
            let pause = partition.put_off(most);
            tracing::warn!(
                consumer = self.worker.name,
                topic = self.topics[at.0],
                partition = at.1,
                offset = partition.next,
                tries = partition.tries,
                ?pause,
                error = format!("{error:#}"),
                "a batch is put off"
            );
        }
    }

    /// The position is not where it was thought to be: drop the records and look again, a little later, because
    /// another process may be at it for a while.
    pub(super) fn lose(&mut self, at: At) {
        self.pause(at);
        if let Some(partition) = self.partitions.get_mut(&at) {
            partition.lose();
            partition.put_off(LONGEST);
            tracing::warn!(
                consumer = self.worker.name,
                topic = self.topics[at.0],
                partition = at.1,
                offset = partition.next,
                "another process has moved the position"
            );
        }
    }

    /// Goes on where the database says.
    pub(super) async fn reopen(&mut self, at: At) {
        if let Err(error) = self.seek(at).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "a partition cannot be taken up again"
            );
            self.pause(at);
            if let Some(partition) = self.partitions.get_mut(&at) {
                partition.put_off(OUTAGE);
            }
        }
    }

    async fn seek(&mut self, at: At) -> anyhow::Result<()> {
        let place = [(self.topics[at.0].clone(), at.1)];
        let positions = Batch::positions(&self.worker.db, self.worker.name, &place).await?;
        let position = positions.first().context("the position is gone")?;
        let list = self.list(at, Offset::Offset(position.next))?;
        let kafka = &self.session.kafka;
        // Nothing read in between is seen: seeking outdates what is on its way.
        kafka.resume(&list)?;
        for element in kafka
            .seek_partitions(list, Duration::from_secs(5))?
            .elements()
        {
            element.error()?;
        }
        if let Some(partition) = self.partitions.get_mut(&at) {
            let tries = partition.tries;
            *partition = Partition {
                tries,
                ..Partition::at(position)
            };
        }
        Ok(())
    }
}
