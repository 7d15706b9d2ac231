//! The hint to the outbox worker that there is something to read.
//!
//! NOTIFY inside a business transaction costs most of the commit rate (it takes a global lock at commit), so
//! the hint goes out after the commit, from a connection of its own, at most once every two milliseconds.
//! It may be lost: the worker also polls.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_postgres::{Client, NoTls};

#[derive(Clone)]
pub(crate) struct Hint(Arc<Notify>);

const GAP: Duration = Duration::from_millis(2);

impl Hint {
    pub(crate) fn spawn(url: String) -> Self {
        let wake = Arc::new(Notify::new());
        let weak = Arc::downgrade(&wake);
        tokio::spawn(async move {
            let mut client: Option<Client> = None;
            // The task ends when the last Db is gone.
            while let Some(wake) = weak.upgrade() {
                let poked = tokio::time::timeout(Duration::from_secs(1), wake.notified()).await;
                drop(wake);
                if poked.is_err() {
                    continue;
                }
                send(&mut client, &url).await;
                tokio::time::sleep(GAP).await;
            }
        });
        Self(wake)
    }

    /// Says that events were committed. Never blocks.
    pub(crate) fn poke(&self) {
        self.0.notify_one();
    }
}

async fn send(client: &mut Option<Client>, url: &str) {
    if client.as_ref().is_none_or(Client::is_closed) {
        let Ok((fresh, connection)) = tokio_postgres::connect(url, NoTls).await else {
            return;
        };
        tokio::spawn(connection);
        // A hint need not survive a crash.
        if fresh
            .batch_execute("set synchronous_commit = off")
            .await
            .is_err()
        {
            return;
        }
        *client = Some(fresh);
    }
    if let Some(ready) = client
        && ready
            .batch_execute("select pg_notify('outbox', '')")
            .await
            .is_err()
    {
        *client = None;
    }
}
