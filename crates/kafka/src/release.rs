//! Taking records out of quarantine once nothing rejected stands before them.

use bahi_db::{Batch, Error, Held, Position};
use uuid::Uuid;

use crate::{
    Failed, meters,
    record::Record,
    slices::Slices,
    worker::{HeldKeys, Read, Worker},
};

/// Most records taken out in one transaction.
const BATCH: i64 = 100;

impl Worker<'_> {
    /// The partitions in which something waits behind nothing any more, and where the consumer stands in all.
    pub(crate) async fn released_partitions(
        &self,
    ) -> Result<(Vec<(String, i32)>, Vec<Position>), Error> {
        let mut batch = Batch::begin(&self.db, None).await?;
        let positions = batch.standing(self.name).await?;
        let partitions = batch.released_partitions(self.name).await?;
        let (rejected, waiting) = batch.quarantined(self.name).await?;
        batch.rollback().await?;
        meters::quarantined(self.name, rejected, waiting);
        Ok((partitions, positions))
    }

    /// Handles what waits in a partition behind nothing any more, in order. What is rejected (again) holds its
    /// key (again).
    pub(crate) async fn release(
        &self,
        topic: &str,
        partition: i32,
        at: i64,
    ) -> Result<usize, Failed> {
        let mut batch = Batch::begin(&self.db, None).await?;
        let Some(held) = batch
            .released(self.name, topic, partition, at, BATCH)
            .await?
        else {
            return Ok(batch.rollback().await.map(|()| 0)?);
        };
        match self.take_out(&mut batch, &held).await {
            Ok(taken) => {
                batch.commit().await?;
                // A rejected record is told to the dead-letter topic (again).
                self.rejected.notify_one();
                Ok(taken)
            }
            Err(failed) => {
                batch.rollback().await.ok();
                Err(failed)
            }
        }
    }

    async fn take_out(&self, batch: &mut Batch, held: &[Held]) -> Result<usize, Failed> {
        let records: Vec<Record<'_>> = held.iter().map(Record::from_quarantine).collect();
        let reads: Vec<Read> = records
            .iter()
            .enumerate()
            .map(|(at, record)| self.read(at, record))
            .collect();
        let ids: Vec<Uuid> = reads
            .iter()
            .filter_map(|read| match read {
                Read::Event(event) => Some(event.meta.event_id),
                _ => None,
            })
            .collect();
        let mut fresh = batch.claim(self.name, &[], &ids, &[], &[]).await?.fresh;
        let mut slices = Slices::new(self, &records, HeldKeys::default(), 1);
        let mut events = Vec::with_capacity(reads.len());
        for (source, read) in reads.into_iter().enumerate() {
            match read {
                Read::Event(event) if fresh.remove(&event.meta.event_id) => {
                    if !slices.waits(source, Some(event.meta.event_id)) {
                        events.push(event);
                    }
                }
                Read::Poison(poison) => {
                    if !slices.waits(source, None) {
                        slices.reject(source, None, poison.reason, &poison.error);
                    }
                }
                // Handled already, or of a type that is not heard any more.
                Read::Event(_) | Read::Unknown => {}
            }
        }
        slices.handle_carefully(batch, events).await?;
        let (handled, aside) = slices.finish();
        let mut done: Vec<i64> = held.iter().map(|held| held.id).collect();
        let mut back: Vec<Uuid> = Vec::new();
        for put in aside {
            let id = held[put.source].id;
            done.retain(|other| *other != id);
            back.extend(put.event_id);
            if put.aside.rejected {
                batch.refuse(id, put.aside.reason, &put.aside.error).await?;
            }
        }
        batch.forget(self.name, &back).await?;
        batch.release(&done).await?;
        for (handler, events) in handled {
            meters::handled(self.name, self.handlers[handler].event_type(), events);
        }
        Ok(done.len())
    }
}
