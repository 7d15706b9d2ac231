//! The process.

fn main() -> std::process::ExitCode {
    bahi_service::main(identity::app())
}
