//! The outbox worker's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    // These are every service's; the rest is what an operator asks of the relay.
    match std::env::args().nth(1).as_deref() {
        None | Some("run" | "migrate" | "config" | "openapi") => {
            bahi_service::main(outbox_worker::app())
        }
        Some(_) => outbox_worker::cli::main(),
    }
}
