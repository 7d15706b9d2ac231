//! Fixed-width patterns: one character of pattern for one character of text.

/// Whether `text` has the shape of `pattern`, in which `#` is a digit, `@` a capital letter, `*` either,
/// `+` either but zero, `?` the registration letter of a normal taxpayer (`Z`, 1-9, `A`, `B`, `D`-`J`),
/// `|` is `U` or `O`, and anything else is itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    pattern.len() == text.len() && pattern.bytes().zip(text.bytes()).all(|(p, c)| fits(p, c))
}

fn fits(pattern: u8, c: u8) -> bool {
    match pattern {
        b'#' => c.is_ascii_digit(),
        b'@' => c.is_ascii_uppercase(),
        b'*' => c.is_ascii_digit() || c.is_ascii_uppercase(),
        b'+' => c != b'0' && fits(b'*', c),
        b'?' => matches!(c, b'Z' | b'1'..=b'9' | b'A' | b'B' | b'D'..=b'J'),
        b'|' => matches!(c, b'U' | b'O'),
        literal => c == literal,
    }
}
