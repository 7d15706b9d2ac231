//! `bahi-proof fleet COMMAND..`: a whole fleet on databases of its own with a business in it, for as long as a command runs
//! beside it. The command finds `BAHI_URL`, `BAHI_EMAIL` and `BAHI_PASSWORD`; its exit code is ours, 99 where there is none.

use std::process::ExitCode;

use bahi_proof::{Business, Fleet, PASSWORD};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

const OWNER: &str = "fuzzed";

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, command, rest @ ..] = args.as_slice() else {
        eprintln!("usage: bahi-proof fleet COMMAND..");
        return ExitCode::from(2);
    };
    if what != "fleet" {
        eprintln!("there is no {what}: bahi-proof fleet COMMAND..");
        return ExitCode::from(2);
    }
    // Told to stop, everything is taken down as at the end: processes, databases.
    let mut told = signal(SignalKind::terminate()).expect("a signal handler");
    tokio::select! {
        code = beside(command, rest) => code,
        _ = told.recv() => ExitCode::from(143),
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
    }
}

async fn beside(command: &str, args: &[String]) -> ExitCode {
    let (fleet, mut processes) = Fleet::whole().await;
    let gateway = fleet.url("api-gateway");
    Business::open(&gateway, OWNER).await;
    let status = Command::new(command)
        .args(args)
        .env("BAHI_URL", &gateway)
        .env("BAHI_EMAIL", Business::email(OWNER))
        .env("BAHI_PASSWORD", PASSWORD)
        .kill_on_drop(true)
        .status()
        .await
        .expect("the command starts");
    for (name, process) in &mut processes {
        if !process.runs() {
            eprintln!("{name} has ended: {}", fleet.said(name));
            return ExitCode::FAILURE;
        }
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(99))
}
