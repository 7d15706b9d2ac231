//! Processor time and memory of a relay and of what serves it, from /proc.

use std::{collections::HashMap, fs, time::Instant};

use super::site::{DEBEZIUM_ROLE, RELAY_ROLE, Site};
use crate::usage::kib;

/// What one process has used so far: its own ticks, and those of children that have ended.
#[derive(Clone, Copy, Default)]
struct Ticks {
    own: u64,
    reaped: u64,
}

/// A moment's readings.
pub struct Reading {
    relays: HashMap<u32, u64>,
    backends: HashMap<u32, u64>,
    broker: u64,
    server: u64,
    bench: u64,
    machine: u64,
    at: Instant,
}

/// The name of a figure that says how far the others may be believed.
pub const OTHERS: &str = "others on the machine, % of a core";

/// Seconds of processor time between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// The relay's process, or processes.
    pub relay: f64,
    /// Its backends in the server.
    pub backends: f64,
    /// The broker.
    pub broker: f64,
    /// The whole server, with its backends.
    pub server: f64,
    /// Whoever else had the machine, in % of a core: what makes a figure doubtful.
    pub others: f64,
}

/// Reads the clocks now. `relays` are the pids of the relay.
pub fn read(site: &Site, relays: &[u32]) -> Reading {
    let mut server = ticks(site.postmaster).map_or(0, |t| t.own + t.reaped);
    let mut backends = HashMap::new();
    for pid in processes() {
        let Some((parent, ticks)) = parent_and_ticks(pid) else {
            continue;
        };
        if parent != site.postmaster {
            continue;
        }
        server += ticks.own;
        if serves_a_relay(pid) {
            backends.insert(pid, ticks.own);
        }
    }
    let of = |pid: u32| ticks(pid).map_or(0, |t| t.own);
    Reading {
        relays: relays.iter().map(|pid| (*pid, of(*pid))).collect(),
        backends,
        broker: of(site.broker),
        server,
        bench: of(std::process::id()),
        machine: machine(),
        at: Instant::now(),
    }
}

impl Reading {
    /// What was used between `self` and `later`.
    #[allow(clippy::float_arithmetic)] // processor time, not money
    pub fn until(&self, later: &Self) -> Used {
        let seconds = |ticks: u64| ticks as f64 / 100.0;
        // A process that is new began at nothing.
        let sum = |now: &HashMap<u32, u64>, then: &HashMap<u32, u64>| {
            now.iter()
                .map(|(pid, ticks)| ticks - then.get(pid).copied().unwrap_or(0).min(*ticks))
                .sum::<u64>()
        };
        let relay = sum(&later.relays, &self.relays);
        let broker = later.broker.saturating_sub(self.broker);
        let server = later.server.saturating_sub(self.server);
        let ours = relay + broker + server + later.bench.saturating_sub(self.bench);
        let machine = later.machine.saturating_sub(self.machine);
        Used {
            relay: seconds(relay),
            backends: seconds(sum(&later.backends, &self.backends)),
            broker: seconds(broker),
            server: seconds(server),
            others: seconds(machine.saturating_sub(ours))
                / later.at.duration_since(self.at).as_secs_f64().max(0.01)
                * 100.0,
        }
    }
}

/// Resident memory of a process in MiB: now, and at most so far.
pub fn memory(pid: u32) -> (f64, f64) {
    #[allow(clippy::float_arithmetic, clippy::cast_precision_loss)] // memory, not money
    let field = |name: &str| kib(pid, name).unwrap_or(0) as f64 / 1024.0;
    (field("VmRSS:"), field("VmHWM:"))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn ticks(pid: u32) -> Option<Ticks> {
    parent_and_ticks(pid).map(|(_, ticks)| ticks)
}

fn parent_and_ticks(pid: u32) -> Option<(u32, Ticks)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
    let ticks = Ticks {
        own: number(11)? + number(12)?,
        reaped: number(13)? + number(14)?,
    };
    Some((fields.get(1)?.parse().ok()?, ticks))
}

/// By the title that PostgreSQL gives to its processes.
fn serves_a_relay(pid: u32) -> bool {
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title);
    title
        .split_whitespace()
        .any(|word| word == RELAY_ROLE || word == DEBEZIUM_ROLE)
}

/// All processor time that was not idle, steal included.
fn machine() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let at = |n: usize| fields.get(n).copied().unwrap_or(0);
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    at(0) + at(1) + at(2) + at(5) + at(6) + at(7)
}
