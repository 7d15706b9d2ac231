//! Queues by network, so that a flood from one keeps nobody of another waiting.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::model::Counted;
use crate::Error;

/// Networks fall on so many lanes; nobody can choose his, because it follows from a keyed hash.
const LANES: usize = 1024;
/// How long one may stand in line.
const PATIENCE: Duration = Duration::from_secs(3);

/// One attempt of a network at a time: whoever sends a thousand holds one connection to the database and one place in the
/// line for a password check, and the rest of them waits here.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<[Arc<Semaphore>]>);

impl Lanes {
    /// All free.
    pub fn new() -> Self {
        Self::of_width(1)
    }

    fn of_width(width: usize) -> Self {
        let lanes = (0..LANES).map(|_| Arc::new(Semaphore::new(width)));
        Self(lanes.collect())
    }

    /// Waits for the lane of an attempt, which is taken until the permit is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many stand before it.
    pub async fn enter(&self, counted: &Counted) -> Result<OwnedSemaphorePermit, Error> {
        let lane = match counted.network.as_deref() {
            Some([high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])) % LANES,
            _ => 0,
        };
        let lane = self.0.get(lane).ok_or(Error::Busy)?.clone();
        let entered = tokio::time::timeout(PATIENCE, lane.acquire_owned());
        entered
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures::{
        FutureExt,
        future::{join, join_all},
    };

    use super::*;
    use crate::{password::Hasher, secret::Secret};

    fn from(address: &str) -> Counted {
        let secret = Secret::of_tests();
        Counted::of(&secret, "asha@example.in", Some(address.parse().unwrap()))
    }

    #[tokio::test]
    async fn a_network_waits_for_itself_and_for_no_other() {
        let lanes = Lanes::new();
        let first = lanes.enter(&from("203.0.113.1")).await.unwrap();
        let other = lanes.enter(&from("198.51.100.1")).await.unwrap();
        let neighbour = from("203.0.113.2");
        assert!(lanes.enter(&neighbour).now_or_never().is_none());
        drop(first);
        drop(lanes.enter(&neighbour).await.unwrap());
        drop(other);
    }

    /// How many of a flood of twenty are looked at before somebody of another network, who comes right after them.
    async fn looked_at_before(lanes: Lanes) -> usize {
        let (hasher, done) = (Hasher::new().unwrap(), AtomicUsize::new(0));
        let password = serde_json::from_value("a wrong password".into()).unwrap();
        let attempt = async |address: String| {
            let _lane = lanes.enter(&from(&address)).await?;
            hasher.verify(&password, None).await?;
            Ok::<_, Error>(done.fetch_add(1, SeqCst))
        };
        let flood = join_all((0..20).map(|n| attempt(format!("203.0.113.{n}"))));
        let somebody = attempt("198.51.100.1".into());
        join(flood, somebody).await.1.unwrap()
    }

    #[tokio::test]
    async fn a_flood_from_one_network_keeps_nobody_of_another_waiting() {
        // Those who are in the middle of it when he comes, and no more.
        let before = looked_at_before(Lanes::new()).await;
        assert!(before <= 3, "{before}");
        // Lanes without bounds, as if there were none, let him wait for all.
        let before = looked_at_before(Lanes::of_width(100)).await;
        assert!(before >= 18, "{before}");
    }
}
