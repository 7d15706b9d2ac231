//! The command line of every service.

use std::{ffi::OsString, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

#[derive(Parser)]
#[command(subcommand_required = false, disable_help_subcommand = true)]
struct Cli {
    /// Says what is wrong with a configuration file, and ends
    #[arg(long, value_name = "FILE")]
    check_config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What there is at a service beyond what every service has.
#[derive(Clone, Copy)]
pub(crate) struct Has {
    /// It hears something.
    pub consumers: bool,
    /// It has a configuration file.
    pub config_file: bool,
    /// What adds its own commands.
    pub own: fn(clap::Command) -> clap::Command,
}

/// What a service binary does.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serves, until it is told to stop (the default)
    Run,
    /// Brings the database up to date, as its owner (BAHI_MIGRATE_URL)
    Migrate,
    /// Prints the configuration, secrets masked, and what is wrong with it
    Config,
    /// Prints the OpenAPI document
    Openapi,
    /// Prints the schema of its part of the graph
    Graphql,
    /// Looks at a configuration file
    #[command(skip)]
    CheckConfig(PathBuf),
    /// Looks at the consumers of this service and acts on them, through its database
    #[command(subcommand)]
    Consumer(Consumer),
}

/// What an operator does about consumers.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub(crate) enum Consumer {
    /// Where each consumer stands in each partition, and what is in quarantine
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Records that were rejected, and those that wait behind them
    #[command(subcommand)]
    Dlq(Dlq),
    /// Reads a topic again from an earlier point
    Replay(Replay),
}

/// About dead letters.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub(crate) enum Dlq {
    /// Lists records in quarantine, in the order in which they came
    List {
        #[command(flatten)]
        of: Of,
        /// Most records shown
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Shows a record: where it came from, why it is here, its headers and value, and what waits behind it
    Show {
        /// Its id, as listed
        id: i64,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Lets the consumer try rejected records again, each followed by what waits behind it
    #[command(group = clap::ArgGroup::new("which").required(true).args(["id", "key", "all"]))]
    Retry {
        /// Its id, as listed
        id: Option<i64>,
        /// The record of this key
        #[arg(long, requires = "topic")]
        key: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Topic, with or without the installation's prefix
        #[arg(long)]
        topic: Option<String>,
        /// Only of this consumer
        #[arg(long)]
        consumer: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Gives a rejected record up for good; what waits behind it goes on
    Drop {
        /// Its id, as listed
        id: i64,
        /// Do it; otherwise it only says what it would do
        #[arg(long)]
        yes: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// Which records.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Of {
    /// Only of this consumer
    #[arg(long)]
    pub consumer: Option<String>,
    /// Only of this topic, with or without the installation's prefix
    #[arg(long)]
    pub topic: Option<String>,
    /// Only of this key
    #[arg(long)]
    pub key: Option<String>,
}

/// What is read again.
#[derive(Args, Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    /// Where to begin: a time (RFC 3339), offset:N, or beginning
    #[arg(long, value_parser = from)]
    pub from: bahi_kafka::From,
    /// Topic, with or without the installation's prefix
    #[arg(long)]
    pub topic: String,
    /// Which consumer, where several hear the topic
    #[arg(long)]
    pub consumer: Option<String>,
    /// Only this partition
    #[arg(long)]
    pub partition: Option<i32>,
    /// Run the handlers again for events that were handled; without it they are passed over
    #[arg(long)]
    pub again: bool,
    /// Handle again only events before a time (RFC 3339) or offset:N
    #[arg(long, value_parser = to, requires = "again")]
    pub to: Option<bahi_kafka::To>,
    /// Handle again only events of this type
    #[arg(long = "type", requires = "again")]
    pub event_type: Option<String>,
    /// Handle again only events of this key
    #[arg(long, requires = "again")]
    pub key: Option<String>,
    /// Do it; otherwise it only says what it would do
    #[arg(long)]
    pub yes: bool,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

fn offset(text: &str) -> Option<Result<i64, String>> {
    let digits = text.strip_prefix("offset:")?;
    let offset = digits.parse().ok().filter(|offset| *offset >= 0);
    Some(offset.ok_or_else(|| format!("{digits:?} is no offset")))
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|error| {
            format!("neither offset:N nor a time such as 2026-11-21T10:00:00Z ({error})")
        })
}

fn from(text: &str) -> Result<bahi_kafka::From, String> {
    if text == "beginning" {
        return Ok(bahi_kafka::From::Beginning);
    }
    match offset(text) {
        Some(offset) => offset.map(bahi_kafka::From::Offset),
        None => time(text).map(bahi_kafka::From::Time),
    }
}

fn to(text: &str) -> Result<bahi_kafka::To, String> {
    match offset(text) {
        Some(offset) => offset.map(bahi_kafka::To::Offset),
        None => time(text).map(bahi_kafka::To::Time),
    }
}

/// What a command line asks for.
pub(crate) enum Given {
    /// What every service does.
    Common(Command),
    /// What only this one does.
    Own(clap::ArgMatches),
}

fn command(name: &'static str, has: Has) -> clap::Command {
    let command = (has.own)(Cli::command())
        .name(name)
        .bin_name(name)
        .args_conflicts_with_subcommands(true);
    // A service that hears nothing has no such command, and most have no file.
    command
        .mut_subcommand("consumer", |consumer| consumer.hide(!has.consumers))
        .mut_arg("check_config", |arg| arg.hide(!has.config_file))
}

fn parsed<I, T>(name: &'static str, has: Has, args: I) -> Result<Given, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString>,
{
    let mut command = command(name, has);
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let matches = command
        .try_get_matches_from_mut(&args)
        .map_err(|error| with_usage(&mut command, &args, error))?;
    let common = Cli::command();
    let is_own = |asked: &str| common.find_subcommand(asked).is_none();
    if matches.subcommand_name().is_some_and(is_own) {
        return Ok(Given::Own(matches));
    }
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    match cli.command {
        _ if cli.check_config.is_some() && !has.config_file => Err(command.error(
            ErrorKind::UnknownArgument,
            "this service has no configuration file",
        )),
        None if cli.check_config.is_some() => Ok(Given::Common(Command::CheckConfig(
            cli.check_config.unwrap_or_default(),
        ))),
        Some(Command::Consumer(_)) if !has.consumers => Err(command.error(
            ErrorKind::InvalidSubcommand,
            "this service has no consumers",
        )),
        found => Ok(Given::Common(found.unwrap_or(Command::Run))),
    }
}

/// A wrong value is told without the usage by the parser; an operator gets it for whatever is wrong.
fn with_usage(command: &mut clap::Command, args: &[OsString], error: clap::Error) -> clap::Error {
    let text = error.to_string();
    if error.exit_code() != 2 || text.contains("Usage") {
        return error;
    }
    command.build();
    let mut meant = command.clone();
    for arg in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        match meant.find_subcommand(arg).cloned() {
            Some(found) => meant = found,
            None => break,
        }
    }
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    meant.error(error.kind(), first)
}

/// Reads the command line; one that is wrong ends the process with 2.
pub(crate) fn parse(name: &'static str, has: Has) -> Given {
    match parsed(name, has, std::env::args_os()) {
        Ok(given) => given,
        Err(error) => error.exit(),
    }
}

/// The user at this host, for the record of commands.
pub(crate) fn caller() -> String {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    // Containers often name no user.
    let user = user.or_else(|| {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        Some(format!("uid {}", uid.split_whitespace().next()?))
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", user.unwrap_or_default(), host.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(command: clap::Command) -> clap::Command {
        let slug = clap::Arg::new("slug").required(true);
        command.subcommand(clap::Command::new("close").arg(slug))
    }

    const ALL: Has = Has {
        consumers: true,
        config_file: true,
        own,
    };
    const NONE: Has = Has {
        consumers: false,
        config_file: false,
        own,
    };

    fn given(line: &str) -> Result<Given, clap::Error> {
        let args = std::iter::once("x").chain(line.split_whitespace());
        parsed("x", ALL, args)
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        given(line).map(|given| match given {
            Given::Common(command) => command,
            Given::Own(_) => panic!("{line} is the service's own"),
        })
    }

    #[test]
    fn a_service_may_have_commands_of_its_own() {
        let Ok(Given::Own(matches)) = given("close sharma") else {
            panic!("it is common");
        };
        let (name, of) = matches.subcommand().unwrap_or_else(|| panic!("nothing"));
        let slug = of.get_one::<String>("slug").map(String::as_str);
        assert_eq!((name, slug), ("close", Some("sharma")));
        let wrong = given("close").err().map(|error| error.exit_code());
        assert_eq!(wrong, Some(2));
    }

    fn replay(line: &str) -> Option<Replay> {
        match parse(line) {
            Ok(Command::Consumer(Consumer::Replay(replay))) => Some(replay),
            _ => None,
        }
    }

    #[test]
    fn without_a_command_it_runs() {
        assert!(matches!(parse(""), Ok(Command::Run)));
        assert!(matches!(parse("migrate"), Ok(Command::Migrate)));
    }

    #[test]
    fn what_is_wrong_prints_the_usage_and_ends_with_2() {
        for line in [
            "nonsense",
            "run --fast",
            "consumer",
            "consumer status --jsn",
            "consumer dlq retry",
            "consumer dlq retry 7 --all",
            "consumer dlq retry --key k",
            "consumer dlq show",
            "consumer dlq show seven",
            "consumer dlq list --limit 0",
            "consumer replay --topic t",
            "consumer replay --topic t --from yesterday",
            "consumer replay --topic t --from offset:-1",
            "consumer replay --topic t --from beginning --key k",
            "consumer replay --topic t --from beginning --to offset:7",
        ] {
            let error = parse(line)
                .err()
                .unwrap_or_else(|| panic!("{line} is taken"));
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains("Usage"), "{line}: {error}");
        }
        let deaf = parsed("x", NONE, ["x", "consumer", "status"]);
        assert_eq!(deaf.err().map(|error| error.exit_code()), Some(2));
        let bare = parsed("x", NONE, ["x", "--check-config", "f"]);
        assert_eq!(bare.err().map(|error| error.exit_code()), Some(2));
    }

    #[test]
    fn a_configuration_file_is_looked_at_instead_of_running() {
        let file = |line| match parse(line) {
            Ok(Command::CheckConfig(file)) => file.display().to_string(),
            _ => String::new(),
        };
        assert_eq!(file("--check-config a.toml"), "a.toml");
        for wrong in ["--check-config", "--check-config a.toml run"] {
            assert_eq!(
                parse(wrong).err().map(|e| e.exit_code()),
                Some(2),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_replay_begins_at_a_time_an_offset_or_the_beginning() {
        let of = |from| replay(&format!("consumer replay --topic t --from {from}")).map(|r| r.from);
        assert_eq!(of("beginning"), Some(bahi_kafka::From::Beginning));
        assert_eq!(of("offset:12"), Some(bahi_kafka::From::Offset(12)));
        let time = "2026-11-21T10:00:00Z".parse().ok();
        assert_eq!(
            of("2026-11-21T15:30:00+05:30"),
            time.map(bahi_kafka::From::Time)
        );
        let narrow = "consumer replay --topic t --from beginning --again --key k --type a.b --to offset:9 --yes";
        let narrow = replay(narrow);
        assert_eq!(
            narrow.as_ref().and_then(|r| r.to),
            Some(bahi_kafka::To::Offset(9))
        );
        assert!(narrow.is_some_and(|r| r.again && r.yes));
    }
}
