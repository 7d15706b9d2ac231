//! Reading: the tail in one statement, a backlog in chunks.

use tokio::time::Instant;

use super::{Backlog, GAP, HEARD, PACE, Pump, send::Offer};
use crate::{
    flight::now_micros,
    reader::{self, Tail, TailRow},
    row::Event,
    session::SessionError,
    snapshot::Snapshot,
};

impl Pump<'_> {
    /// One look at the tail.
    pub(super) async fn look(&mut self) -> Result<(), SessionError> {
        self.last_look = Instant::now();
        let tail = self.reader.tail(self.windows.read()).await?;
        self.last_touch = Instant::now();
        self.relay
            .metrics
            .poll
            .observe(self.last_look.elapsed().as_secs_f64());
        match tail {
            Tail::Window(snap, rows) if rows.is_empty() => {
                self.windows.stretch(snap);
                self.idle = (self.idle + 1).min(PACE.len() - 1);
                self.relay.standing.looked(now_micros());
                self.relay.standing.caught_up(self.windows.is_empty());
            }
            Tail::Window(snap, rows) => {
                self.idle = 0;
                self.found(rows.len());
                self.relay.standing.looked(now_micros());
                self.relay.standing.caught_up(false);
                self.relay.metrics.window_rows.observe(rows.len() as f64);
                self.send_window(snap, &rows).await?;
            }
            Tail::Backlog(current) => {
                self.idle = 0;
                let previous = self.windows.read().clone();
                let after = self.reader.start(&previous).await?;
                self.relay.standing.caught_up(false);
                self.relay.standing.at(after);
                self.windows.open(current.clone(), self.relay.flight.end());
                self.backlog = Some(Backlog {
                    previous,
                    current,
                    after,
                });
            }
        }
        self.next_look = self.last_look
            + match self.idle {
                // When the next event is due.
                0 => self.interval.clamp(GAP, PACE[0]),
                3 if self.hints.are_heard() => HEARD,
                idle => PACE[idle],
            };
        Ok(())
    }

    fn found(&mut self, events: usize) {
        let between = self.last_look.duration_since(self.last_found)
            / u32::try_from(events).unwrap_or(u32::MAX);
        self.interval = (self.interval * 7 + between.min(PACE[0] * 2)) / 8;
        self.last_found = self.last_look;
    }

    async fn send_window(
        &mut self,
        current: Snapshot,
        rows: &[TailRow],
    ) -> Result<(), SessionError> {
        let previous = self.windows.read().clone();
        self.windows.open(current.clone(), self.relay.flight.end());
        for row in rows {
            let event = row.event()?;
            if !self.offer(&event).goes_on() {
                self.backlog = Some(Backlog {
                    previous,
                    current,
                    after: event.seq - 1,
                });
                break;
            }
        }
        self.read_up_to_here().await
    }

    /// Reads the next chunk of a backlog.
    pub(super) async fn read_chunk(
        &mut self,
        mut backlog: Backlog,
        room: usize,
    ) -> Result<(), SessionError> {
        let (_, bytes) = self.relay.flight.load();
        let fitting = self.relay.limits.bytes.saturating_sub(bytes) / self.row_bytes.max(1);
        let limit = if self.alone.is_some() {
            1
        } else {
            room.min(fitting.max(64))
        };
        let mut chunk = self
            .reader
            .chunk(&backlog.previous, &backlog.current, backlog.after, limit)
            .await?;
        let (mut count, mut total, mut offer) = (0, 0, Offer::Sent);
        // Nothing in this loop may use the session: its answers come behind the rows of the chunk.
        'chunk: while let Some(message) = chunk.next().await? {
            total += message.0.len();
            let mut rows = reader::rows(&message)?;
            while let Some(mut fields) = rows.next_row()? {
                let event = Event::decode(&mut fields)?;
                offer = self.offer(&event);
                if !offer.goes_on() {
                    break 'chunk;
                }
                backlog.after = event.seq;
                count += 1;
                // Rows larger than those before them: enough for now.
                if self.relay.flight.load().1 >= self.relay.limits.bytes * 2
                    || self.parked.is_full()
                {
                    offer = Offer::Full;
                    break 'chunk;
                }
            }
        }
        drop(chunk);
        self.last_touch = Instant::now();
        if let Some(average) = total.checked_div(count) {
            self.row_bytes = (self.row_bytes + average).div_ceil(2);
        }
        if !offer.goes_on() || count == limit {
            self.backlog = Some(backlog);
        }
        self.read_up_to_here().await?;
        if offer == Offer::Full && count == 0 && !self.generation.is_broken() {
            // The producer's queue is full, though this database has room: it is full of others'.
            self.wait(true).await?;
        }
        Ok(())
    }

    /// Everything read so far is on its way or parked: tells the newest window.
    async fn read_up_to_here(&mut self) -> Result<(), SessionError> {
        self.parked.save(self.reader.client()).await?;
        self.windows.extend(self.relay.flight.end());
        if self.backlog.is_none() {
            self.windows.close();
        }
        Ok(())
    }
}
