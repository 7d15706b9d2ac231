//! An amount in words, in English and by India's numbers: thousand, lakh, crore.

use bahi_types::Money;
use rust_decimal::{Decimal, prelude::ToPrimitive};

const SMALL: [&str; 20] = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
];
const TENS: [&str; 10] = [
    "", "", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety",
];
const CRORE: u64 = 10_000_000;

/// `Rupees Four Thousand Six Hundred Twenty One and Fifty Paise Only`.
pub fn amount(amount: Money) -> String {
    let paise = (amount.decimal().abs() * Decimal::ONE_HUNDRED)
        .to_u64()
        .unwrap_or_default();
    let (rupees, paise) = (paise / 100, paise % 100);
    let mut words = String::new();
    if amount.is_negative() {
        words.push_str("Minus ");
    }
    words.push_str("Rupees ");
    words.push_str(&number(rupees));
    if paise > 0 {
        words.push_str(" and ");
        words.push_str(&number(paise));
        words.push_str(" Paise");
    }
    words.push_str(" Only");
    words
}

fn small(n: u64) -> &'static str {
    SMALL
        .get(usize::try_from(n).unwrap_or_default())
        .copied()
        .unwrap_or_default()
}

/// A whole number in words. Above a crore the crores are counted in words again.
pub fn number(n: u64) -> String {
    let parts = [
        (CRORE, "Crore"),
        (100_000, "Lakh"),
        (1000, "Thousand"),
        (100, "Hundred"),
    ];
    for (size, name) in parts {
        if n >= size {
            let head = format!("{} {name}", number(n / size));
            return match n % size {
                0 => head,
                rest => format!("{head} {}", number(rest)),
            };
        }
    }
    if n < 20 {
        return small(n).to_owned();
    }
    let tens = TENS
        .get(usize::try_from(n / 10).unwrap_or_default())
        .copied()
        .unwrap_or_default();
    match n % 10 {
        0 => tens.to_owned(),
        rest => format!("{tens} {}", small(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_called_what_they_are() {
        for (given, expected) in [
            ("0", "Rupees Zero Only"),
            ("0.05", "Rupees Zero and Five Paise Only"),
            ("4621", "Rupees Four Thousand Six Hundred Twenty One Only"),
            (
                "4620.72",
                "Rupees Four Thousand Six Hundred Twenty and Seventy Two Paise Only",
            ),
            ("100000", "Rupees One Lakh Only"),
            (
                "1234567.89",
                "Rupees Twelve Lakh Thirty Four Thousand Five Hundred Sixty Seven and Eighty Nine Paise Only",
            ),
            ("10000000", "Rupees One Crore Only"),
            (
                "999999999999999.99",
                "Rupees Nine Crore Ninety Nine Lakh Ninety Nine Thousand Nine Hundred Ninety Nine Crore \
                 Ninety Nine Lakh Ninety Nine Thousand Nine Hundred Ninety Nine and Ninety Nine Paise Only",
            ),
            ("-12", "Minus Rupees Twelve Only"),
        ] {
            assert_eq!(amount(given.parse().unwrap()), expected);
        }
    }

    /// What the words say, read back by rules of their own.
    fn read(words: &str) -> u64 {
        let (mut crores, mut sum, mut part) = (0u64, 0u64, 0u64);
        for word in words.split(' ') {
            match word {
                "Hundred" => part *= 100,
                "Thousand" => (sum, part) = (sum + part * 1000, 0),
                "Lakh" => (sum, part) = (sum + part * 100_000, 0),
                "Crore" => (crores, sum, part) = ((crores + sum + part) * CRORE, 0, 0),
                word => {
                    let small = SMALL.iter().position(|name| *name == word);
                    let tens = || TENS.iter().position(|name| *name == word).map(|n| n * 10);
                    part += u64::try_from(small.or_else(tens).unwrap()).unwrap();
                }
            }
        }
        crores + sum + part
    }

    proptest::proptest! {
        #[test]
        fn words_read_back_as_the_number(n in 0u64..100_000_000_000_000) {
            proptest::prop_assert_eq!(read(&number(n)), n);
        }
    }
}
