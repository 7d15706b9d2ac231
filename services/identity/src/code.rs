//! Short codes of branches, locations and tills.

/// A code in capitals, as it is kept.
pub fn capitals(code: &str) -> String {
    code.to_ascii_uppercase()
}

/// Letters, digits and inner hyphens, at most twelve. For `#[garde(custom(..))]`.
///
/// # Errors
/// When it is not.
pub fn fit(value: &str, (): &()) -> garde::Result {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if plain && (1..=12).contains(&value.len()) && !value.starts_with('-') {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be 1 to 12 letters, digits and hyphens, not beginning with a hyphen",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_code_when_it_sees_one() {
        assert!(fit("MAIN-1", &()).is_ok() && fit("m", &()).is_ok());
        for wrong in ["", "-M", "M 1", "MÜ", "ABCDEFGHIJKLM"] {
            assert!(fit(wrong, &()).is_err(), "{wrong}");
        }
    }
}
