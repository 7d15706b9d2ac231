//! The outbox worker's process.

use std::process::ExitCode;

/// From how many bytes on the C library returns free memory to the kernel.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEEP: libc::c_int = 4 << 20;

/// librdkafka takes and frees some 200 KiB for each batch that it compresses. By glibc's thresholds of 128 KiB that memory
/// goes back to the kernel each time and is faulted in again: a sixth of the worker's processor time at 1,000 events a second.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn keep_memory() {
    // SAFETY: mallopt sets numbers in the allocator; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEEP);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory() {}

fn main() -> ExitCode {
    keep_memory();
    // These are every service's; the rest is what an operator asks of the relay.
    match std::env::args().nth(1).as_deref() {
        None | Some("run" | "migrate" | "config" | "openapi") => {
            bahi_service::main(outbox_worker::app())
        }
        Some(_) => outbox_worker::cli::main(),
    }
}
