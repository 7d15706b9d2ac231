//! Runs a real retailer's file through the fleet and checks the result.
mod file;
fn main() {}
