//! The inventory service.

fn main() -> std::process::ExitCode {
    bahi_service::main(inventory::app())
}
