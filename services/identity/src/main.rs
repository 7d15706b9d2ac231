//! The process.

/// Gives large blocks back to the system at once: Argon2 takes 19 MiB for each password.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bahi_service::main(identity::app())
}
