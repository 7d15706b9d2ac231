//! The outbox worker's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    bahi_service::main(outbox_worker::app())
}
