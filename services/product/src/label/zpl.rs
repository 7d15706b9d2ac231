//! Labels as ZPL II, one format a label, printed as often as it is wanted.

use std::fmt::Write as _;

use crate::{
    barcode::picture::Symbology,
    label::model::{LINE, Label, NARROWEST, PADDING},
};

/// The commands for all labels of a size, on a printer of so many dots a millimetre.
pub fn document(labels: &[Label], size: (i64, i64), dots: i64) -> String {
    let mut out = String::new();
    for label in labels {
        format(&mut out, label, size, dots);
    }
    out
}

/// Whether a printer of so many dots a millimetre can draw the label's bars, each a whole number of dots wide.
pub fn fits(label: &Label, width: i64, dots: i64) -> bool {
    label
        .code
        .as_ref()
        .is_none_or(|(_, row)| module(row.width(), width, dots).is_some())
}

/// Dots of a module.
fn module(modules: usize, width: i64, dots: i64) -> Option<i64> {
    let modules = i64::try_from(modules).ok()?.max(1);
    let most = width * dots / 1000 / modules;
    // More than four make no barcode better.
    Some(most.min(4)).filter(|module| module * 1000 >= NARROWEST * dots)
}

fn format(out: &mut String, label: &Label, (width, height): (i64, i64), dots: i64) {
    let dot = |micrometres: i64| micrometres * dots / 1000;
    // Texts are UTF-8, and _ in them begins a byte in hexadecimal digits.
    let _ = writeln!(out, "^XA^CI28^PW{}^LL{}", dot(width), dot(height));
    let mut y = PADDING;
    for line in &label.lines {
        let size = dot(LINE * 4 / 5);
        let _ = writeln!(
            out,
            "^FO{},{}^A0N,{size},{size}^FH_^FD{}^FS",
            dot(PADDING),
            dot(y),
            escaped(line)
        );
        y += LINE;
    }
    if let Some((symbology, row)) = &label.code
        && let Some(module) = module(row.width(), width, dots)
    {
        let (_, bars) = label.bars(height);
        let wide = i64::try_from(row.width()).unwrap_or_default() * module;
        let quiet = i64::try_from(row.quiet.0).unwrap_or_default() * module;
        let x = (dot(width) - wide) / 2 + quiet;
        // The printer adds the check digits of EAN and UPC by itself.
        let digits = row.text.len().saturating_sub(1);
        let body = row.text.get(..digits).unwrap_or_default();
        let (command, data) = match symbology {
            Symbology::Ean13 => (format!("^BEN,{},Y,N", dot(bars)), body),
            Symbology::Ean8 => (format!("^B8N,{},Y,N", dot(bars)), body),
            Symbology::UpcA => (format!("^BUN,{},Y,N,Y", dot(bars)), body),
            Symbology::Itf14 => (format!("^B2N,{},Y,N,N", dot(bars)), row.text.as_str()),
            _ => (format!("^BCN,{},Y,N,N,A", dot(bars)), row.text.as_str()),
        };
        let _ = writeln!(
            out,
            "^FO{x},{}^BY{module},3^FH_{command}^FD{}^FS",
            dot(y),
            escaped(data)
        );
    }
    let _ = writeln!(out, "^PQ{}^XZ", label.count);
}

/// A text in which nothing is a command: the signs that begin one, and the sign that escapes them, in hexadecimal.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '^' | '~' | '_' | '\\' => {
                let _ = write!(out, "_{:02X}", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_no_command() {
        assert_eq!(escaped("^XZ~JA_41\\&"), "_5EXZ_7EJA_5F41_5C&");
        assert_eq!(escaped("चाय\n"), "चाय ");
    }

    /// What a printer makes of a field with `^FH_`.
    fn printed(field: &str) -> String {
        let (mut bytes, mut rest) = (Vec::new(), field.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            if *first == b'_' {
                bytes.push(
                    u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap(),
                );
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn every_name_is_printed_as_it_is_and_holds_no_command(name in "[ -~अ-ह^~_]{0,40}") {
            let field = escaped(&name);
            prop_assert!(!field.contains(['^', '~']));
            prop_assert_eq!(printed(&field), name);
        }
    }

    #[test]
    fn modules_are_whole_dots() {
        // 113 modules: two dots of an eighth of a millimetre need 28.25 mm.
        assert_eq!(module(113, 28_250, 8), Some(2));
        assert_eq!(module(113, 28_249, 8), None);
        assert_eq!(module(113, 28_250, 12), Some(3));
    }
}
