//! The gateway's process.

fn main() -> std::process::ExitCode {
    bahi_service::main(api_gateway::app())
}
