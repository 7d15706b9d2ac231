//! The words of a text, as searches see them.

/// The words of a text in lower case: what stands between spaces and punctuation. Marks that join letters, as those of
/// Indian scripts do, are no punctuation.
pub fn words(text: &str) -> Vec<String> {
    let between = |c: char| {
        c.is_whitespace()
            || c.is_ascii_punctuation()
            || c.is_control()
            || matches!(c, '\u{2000}'..='\u{200b}' | '\u{2010}'..='\u{206f}' | '\u{964}' | '\u{965}' | '₹')
    };
    let words = text.split(between).filter(|word| !word.is_empty());
    words
        .map(|word| word.to_lowercase().chars().take(100).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_stand_between_spaces_and_punctuation() {
        assert_eq!(
            words("Parle-G  Gluco, 200g (₹10)"),
            ["parle", "g", "gluco", "200g", "10"]
        );
        assert_eq!(words("मक्खन – ५०० ग्राम"), ["मक्खन", "५००", "ग्राम"]);
        assert!(words("% _ ' \\ &|!()").is_empty());
    }
}
