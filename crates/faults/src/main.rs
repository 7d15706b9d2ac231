//! The fault runs: what the relay, the sale and the gateways stand on is broken by a schedule drawn from a seed, and what is left is
//! judged. Started by `scripts/faults`; docs/faults.md.

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod fleet;
mod follow;
mod gateway;
mod inject;
mod plan;
mod relay;
mod rig;
mod sale;
mod stage;

use std::{process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A run of the relay: writers, outbox workers, consumers.
    Relay {
        #[command(flatten)]
        schedule: Schedule,
        /// Events a second, of both databases together.
        #[arg(long, default_value_t = 2000)]
        rate: u32,
    },
    /// A run of the sale: twenty tills at sales, inventory and the outbox workers.
    Sale {
        #[command(flatten)]
        schedule: Schedule,
        /// Something that is wrong with the product, to see that it is found.
        #[arg(long)]
        mutant: Option<sale::Mutant>,
    },
    /// A run of the gateway: many clients at two gateways, in front of endpoints that misbehave.
    Gateway {
        #[command(flatten)]
        schedule: Schedule,
        /// Something that is wrong around the gateways, to see that it is found.
        #[arg(long)]
        mutant: Option<gateway::Mutant>,
    },
    /// A consumer, to be killed by a run.
    #[command(hide = true)]
    Consume {
        #[arg(long)]
        kafka: String,
    },
    /// A reader, which tells a run what the topics hold.
    #[command(hide = true)]
    Follow {
        #[arg(long)]
        kafka: String,
        #[arg(long = "topic")]
        topics: Vec<String>,
        /// Where to begin: of the first topic's first partition, of its second one, and so on.
        #[arg(long)]
        from: Vec<i64>,
    },
}

#[derive(Args)]
struct Schedule {
    /// How long things are broken, like 3 or 1.25.
    #[arg(long, default_value = "3", value_parser = minutes)]
    minutes: Duration,
    /// What the schedule is drawn from; by the clock when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only print the schedule.
    #[arg(long)]
    plan: bool,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number of minutes")?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|e| e.to_string())
}

impl Schedule {
    /// The seed and the faults; none when they were only to be printed.
    fn draw(&self, kinds: &[plan::Weighed]) -> (u64, Option<Vec<plan::Planned>>) {
        let seed = self
            .seed
            .unwrap_or_else(|| rand::random_range(1..1_000_000));
        println!("seed {seed}, {} s", self.minutes.as_secs());
        let faults = plan::draw(seed, self.minutes, kinds);
        if self.plan {
            for planned in &faults {
                println!("{:>6.1}s {planned}", planned.at.as_secs_f64());
            }
            return (seed, None);
        }
        (seed, Some(faults))
    }
}

async fn run(what: What) -> anyhow::Result<bool> {
    match what {
        What::Relay { schedule, rate } => match schedule.draw(plan::RELAY) {
            (seed, Some(faults)) => relay::run(seed, schedule.minutes, rate, &faults).await,
            (_, None) => Ok(true),
        },
        What::Sale { schedule, mutant } => match schedule.draw(plan::SALE) {
            (seed, Some(faults)) => sale::run(seed, schedule.minutes, mutant, &faults).await,
            (_, None) => Ok(true),
        },
        What::Gateway { schedule, mutant } => match schedule.draw(plan::GATEWAY) {
            (seed, Some(faults)) => gateway::run(seed, schedule.minutes, mutant, &faults).await,
            (_, None) => Ok(true),
        },
        What::Follow {
            kafka,
            topics,
            from,
        } => follow::tell(&kafka, &topics, &from).map(|()| true),
        What::Consume { kafka } => {
            tracing_subscriber::fmt().json().init();
            let url = rig::var("BAHI_FAULTS_EFFECTS")?;
            relay::consume::run(url, &kafka).await.map(|()| true)
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().what).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
