//! The sales service.

fn main() -> std::process::ExitCode {
    bahi_service::main(sales::app())
}
