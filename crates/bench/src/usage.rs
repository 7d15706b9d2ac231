//! CPU and memory of the stack's processes, from /proc.

use std::{collections::BTreeMap, fs, time::Duration};

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU in clock ticks (1/100 s).
    pub ticks: u64,
    /// Resident memory in KiB.
    pub rss: u64,
}

/// The postmaster of the server that this URL leads to: the parent of our backend. 0 on another machine.
///
/// # Errors
/// When the server refuses.
pub async fn postmaster(url: &str) -> anyhow::Result<u32> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let row = client.query_one("select pg_backend_pid()", &[]).await?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", row.get::<_, i32>(0)));
    Ok(stat
        .unwrap_or_default()
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0))
}

/// The services and the parts they stand on, by name; PostgreSQL's processes are summed.
pub fn sample(postgres: u32) -> BTreeMap<String, Usage> {
    let mut all: BTreeMap<String, Usage> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else {
        return all;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        let Some((name, usage)) = one(pid, postgres) else {
            continue;
        };
        let sum = all.entry(name).or_default();
        sum.ticks += usage.ticks;
        sum.rss += usage.rss;
    }
    all
}

fn one(pid: u32, postgres: u32) -> Option<(String, Usage)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let comm = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let parent: u32 = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let name = match comm {
        "postgres" if pid == postgres || parent == postgres => "postgres",
        "redis-server" | "java" | "versitygw" if ours(pid) => comm,
        "identity" | "product" | "inventory" | "sales" | "outbox-worker" | "api-gateway"
        | "bahi-bench" => comm,
        _ => return None,
    };
    let rss = kib(pid, "VmRSS:")?;
    Some((name.to_owned(), Usage { ticks, rss }))
}

/// A field of what the kernel says of a process's memory, in KiB: `VmRSS:` is resident now, `VmHWM:` at most so far.
pub fn kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rest = status.lines().find_map(|line| line.strip_prefix(field))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// CPU that a process and its children have used so far, the kernel's work for them included. To 10 ms.
pub fn cpu(pid: u32) -> Duration {
    let ticks: u64 = family(pid).into_iter().filter_map(ticks).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of a process and its children, in KiB.
pub fn resident(pid: u32) -> u64 {
    let each = family(pid).into_iter();
    each.filter_map(|pid| kib(pid, "VmRSS:")).sum()
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return all;
    };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|p| p.parse::<u32>().ok()),
        );
    }
    all
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The running stack's, not the tests' that may run beside it.
fn ours(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let port = |name: &str| {
        std::env::var(name).ok().and_then(|u| {
            u.rsplit(':')
                .next()
                .map(|p| p.split('/').next().unwrap_or(p).to_owned())
        })
    };
    let text = String::from_utf8_lossy(&line).into_owned();
    text.contains("/run/") || port("BAHI_REDIS").is_some_and(|p| text.contains(&p))
}
