//! The sales service.

/// A sale is thousands of small blocks, half of them freed on another thread than they were made on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bahi_service::main(sales::app())
}
