//! Other processes.

use std::{fs, process::Command};

/// Sends a signal by its name, as in `TERM`; false where the process is gone.
pub fn signal(process: u32, name: &str) -> bool {
    let pid = process.to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    sent.is_ok_and(|status| status.success())
}

/// The largest resident memory that a process has had, in bytes.
///
/// # Panics
/// When it is gone.
pub fn most_resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("kilobytes") << 10
}
