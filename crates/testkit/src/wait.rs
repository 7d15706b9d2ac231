//! Waiting for a condition, never for a time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Asks again and again until `check` gives a value.
///
/// # Panics
/// When it has not after 30 seconds.
pub async fn eventually<T, F, Fut>(mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it did not happen within 30 seconds"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
