//! Pause points: places where a crash test may hold a process still, to kill it from outside.

use std::{path::PathBuf, sync::OnceLock, time::Duration};

struct Armed {
    names: Vec<String>,
    folder: PathBuf,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let names = std::env::var("BAHI_PAUSE").ok()?;
            let folder = std::env::var_os("BAHI_PAUSE_DIR")?.into();
            Some(Armed {
                names: names.split(',').map(str::to_owned).collect(),
                folder,
            })
        })
        .as_ref()
}

/// Waits here while the file `<BAHI_PAUSE_DIR>/<name>.<pid>` exists, if `BAHI_PAUSE` names this point.
/// Without those variables it costs one atomic load.
pub async fn pause_point(name: &str) {
    let Some(armed) = armed() else { return };
    if !armed.names.iter().any(|n| n == name) {
        return;
    }
    let file = armed.folder.join(format!("{name}.{}", std::process::id()));
    if tokio::fs::write(&file, b"").await.is_err() {
        return;
    }
    while tokio::fs::try_exists(&file).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
