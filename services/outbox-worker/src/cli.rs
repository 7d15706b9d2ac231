//! The operator's commands. They work on the databases, so they work from any host that reaches them, whichever worker
//! owns what; the owner does what only it can when it finds the command, at once where it listens. Every command that
//! changes something leaves a row in `outbox.command` in the same transaction.

mod drain;
mod operate;
mod parked;
mod place;
mod status;
mod verify;

use std::{io::Write, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::place::Places;

/// Relays the outboxes of all services to Kafka: without a command, until it is stopped. With one, what an operator asks of
/// the relays, from any host.
#[derive(Parser)]
#[command(name = "outbox-worker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Who relays what, how far it is, what waits.
    Status {
        /// Only the databases of these services.
        #[arg(long)]
        db: Vec<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish nothing of a database, a topic or a key until `resume`; later events wait in order.
    Pause(Scope),
    /// Publish again what `pause` held back.
    Resume(Scope),
    /// Events that Kafka refused, and those that wait behind them.
    Parked {
        #[command(subcommand)]
        command: parked::Parked,
    },
    /// Publish events once more, as long as the ring has them; consumers know them by their ids.
    Replay(operate::Replay),
    /// Wait until everything that is committed now is published.
    Drain {
        /// The service whose database it is.
        #[arg(long)]
        db: String,
        /// Seconds to wait at most.
        #[arg(long, default_value_t = 60)]
        timeout: u64,
    },
    /// Let another worker take over.
    Handover {
        /// The service whose database it is.
        #[arg(long)]
        db: String,
        /// Only this shard.
        #[arg(long)]
        shard: Option<i16>,
        #[command(flatten)]
        wait: Wait,
    },
    /// After a restore: make the outbox fit for the server it is in, and raise its epoch.
    Rebase {
        /// The service whose database it is.
        #[arg(long)]
        db: String,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Relay a hot database in several shards, each key in one of them.
    Shards {
        /// The service whose database it is.
        #[arg(long)]
        db: String,
        /// How many.
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..=8))]
        count: i16,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// Compare what the ring says is published with what the topics hold.
    Verify {
        /// The service whose database it is.
        #[arg(long)]
        db: String,
        /// From this number in the outbox on.
        #[arg(long, default_value_t = 0)]
        from_seq: i64,
    },
}

/// How a command ended; the number is the process's exit code. 2 is a wrong option's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done, and all is well.
    Done = 0,
    /// It was not done, or something was found wrong.
    Refused = 1,
    /// It would be done with `--yes`.
    Unconfirmed = 3,
}

impl Exit {
    fn when(well: bool) -> Self {
        if well { Self::Done } else { Self::Refused }
    }
}

/// What is paused.
#[derive(Args)]
struct Scope {
    /// The service whose database it is.
    #[arg(long)]
    db: String,
    /// Only this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only this key of it.
    #[arg(long, requires = "topic")]
    key: Option<String>,
}

/// Whether to wait for the owner.
#[derive(Args)]
pub(crate) struct Wait {
    /// Leave the command for the owner and do not wait for it.
    #[arg(long)]
    no_wait: bool,
}

/// Runs the command of the process's arguments. A wrong option prints the usage and exits with 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command, &mut std::io::stdout().lock())),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("outbox-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, out: &mut impl Write) -> anyhow::Result<Exit> {
    let places = Places::from_env()?;
    match command {
        Command::Status { db, json } => status::status(&places, &db, json, out).await,
        Command::Pause(scope) => operate::pause(&places, &scope, true, out).await,
        Command::Resume(scope) => operate::pause(&places, &scope, false, out).await,
        Command::Parked { command } => command.run(&places, out).await,
        Command::Replay(replay) => replay.run(&places, out).await,
        Command::Drain { db, timeout } => drain::drain(&places, &db, timeout, out).await,
        Command::Handover { db, shard, wait } => {
            operate::handover(&places, &db, shard, wait.no_wait, out).await
        }
        Command::Rebase { db, yes } => operate::rebase(&places, &db, yes, out).await,
        Command::Shards { db, count, yes } => operate::reshard(&places, &db, count, yes, out).await,
        Command::Verify { db, from_seq } => verify::verify(&places, &db, from_seq, out).await,
    }
}
