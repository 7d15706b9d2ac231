//! The register, cut down to a smaller fleet.

/// The register with these services only.
///
/// # Panics
/// When there is none.
pub fn register_of(services: &[&str]) -> String {
    let real = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml");
    let text = std::fs::read_to_string(real).expect("the register");
    let mut blocks = text.split("[[service]]");
    let mut own = blocks.next().unwrap_or_default().to_owned();
    let wanted = |block: &&str| {
        let mut names = services.iter();
        names.any(|n| block.trim_start().starts_with(&format!("name = \"{n}\"")))
    };
    for block in blocks.filter(wanted) {
        own.push_str("[[service]]");
        own.push_str(block);
    }
    own
}
