//! The gateway beside others that do a part of its work: nginx and haproxy as plain proxies, Hive Gateway on the same graph. Everything
//! is measured in the same run, in turns; what counts are ratios.

pub mod answer;
mod goals;
mod graph;
mod load;
mod process;
mod queries;
mod rest;
mod site;
mod soak;
mod sockets;

use std::{path::PathBuf, time::Duration};

use goals::Goals;
use site::Site;

/// What is compared with what.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Our gateway's binary.
    #[arg(long, env = "BAHI_BENCH_GATEWAY")]
    gateway: PathBuf,
    /// nginx.
    #[arg(long, env = "BAHI_BENCH_NGINX")]
    nginx: PathBuf,
    /// haproxy.
    #[arg(long, env = "BAHI_BENCH_HAPROXY")]
    haproxy: PathBuf,
    /// Folders of libraries that haproxy needs.
    #[arg(long, env = "BAHI_BENCH_HAPROXY_LIBRARIES", default_value = "")]
    haproxy_libraries: String,
    /// The folder in which Hive Gateway is installed; without it the graph is measured alone.
    #[arg(long, env = "BAHI_BENCH_HIVE")]
    hive: Option<PathBuf>,
    /// The keys of the fleet.
    #[arg(long, env = "BAHI_KEYS")]
    keys: PathBuf,
    /// The register.
    #[arg(long, env = "BAHI_REGISTER")]
    register: PathBuf,
    /// The folder of the schemas.
    #[arg(long, env = "BAHI_BENCH_SCHEMAS")]
    schemas: PathBuf,
    /// Where configurations and logs go.
    #[arg(long, env = "BAHI_BENCH_FOLDER")]
    folder: PathBuf,
    /// The core of what is measured.
    #[arg(long, env = "BAHI_BENCH_CORE")]
    core: Option<String>,
    /// The cores of everything else.
    #[arg(long, env = "BAHI_BENCH_LOAD_CORES")]
    load_cores: Option<String>,
    /// Seconds of each step.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How often each step is taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Idle WebSockets.
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// Minutes of constant load at the end, over which memory must stay flat.
    #[arg(long, default_value_t = 0)]
    soak: u64,
    /// One part alone: rest, graph, sockets or soak.
    #[arg(long)]
    only: Option<String>,
}

impl Args {
    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }

    fn step(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Measures all, and prints what was aimed at beside what was found; false when less than half of an aim was reached.
///
/// # Errors
/// When something does not start, or refuses.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let site = Site::start(&args).await?;
    let mut goals = Goals::default();
    if args.wants("rest") {
        rest::measure(&site, &args, &mut goals).await?;
    }
    if args.wants("graph") {
        queries::measure(&site, &args, &mut goals).await?;
    }
    if args.wants("sockets") {
        sockets::measure(&site, &args, &mut goals).await?;
    }
    if args.wants("soak") && args.soak > 0 {
        soak::measure(&site, &args, &mut goals).await?;
    }
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        println!("\nload average at the end: {}", load.trim());
    }
    Ok(goals.print())
}
