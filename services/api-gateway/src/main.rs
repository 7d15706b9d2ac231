//! The gateway's process.

/// A request is a hundred small blocks, made and freed on the thread that answers it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bahi_service::main(api_gateway::app())
}
