//! The receipt as ESC/POS, the commands that thermal printers know.
//!
//! What the code page has goes as letters. Printers have no Indian letters at all, nor any shaping: a row with such a text
//! is drawn here and goes as dots (`GS v 0`). Commands: Epson, ESC/POS Application Programming Guide.

use super::{FontsMissing, Row, Style, Width, layout::lay, rows};
use crate::{
    document::{Document, Mark},
    font::{Fonts, Length},
    qr::{QUIET, Qr},
    raster::Dots,
};

const ESC: u8 = 0x1b;
const GS: u8 = 0x1d;
/// Size of drawn letters, in thousandths of a dot; the printer's own are 24 dots high.
const SIZE: Length = 24_000;
/// Lines of dots of one command: some printers hold no more.
const MOST_LINES: usize = 256;

/// Letters above the 128 of ASCII.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodePage {
    /// PC437 (page 0), which every printer has.
    #[default]
    Pc437,
    /// Windows-1252 (page 16), all of Western Europe.
    Wpc1252,
}

const PC437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
/// 80 to 9F; what is not there is the sign itself, which no text has.
const WPC1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

impl CodePage {
    const fn number(self) -> u8 {
        match self {
            Self::Pc437 => 0,
            Self::Wpc1252 => 16,
        }
    }

    fn byte(self, c: char) -> Option<u8> {
        let code = u32::from(c);
        let found = |table: &str| {
            let at = table.chars().position(|known| known == c)?;
            u8::try_from(0x80 + at).ok()
        };
        match (self, code) {
            (_, 0x20..=0x7e) => u8::try_from(code).ok(),
            (_, ..0x20 | 0x7f..=0x9f) => None,
            (Self::Pc437, _) => found(PC437),
            (Self::Wpc1252, 0xa0..=0xff) => u8::try_from(code).ok(),
            (Self::Wpc1252, _) => found(WPC1252),
        }
    }

    /// The text in this page; none where a letter is not in it.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| self.byte(c)).collect()
    }
}

/// How a QR code gets onto the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QrBy {
    /// The printer draws it (`GS ( k`).
    #[default]
    Command,
    /// It goes as dots, for printers that do not know the command.
    Dots,
}

/// What the printer can do, and shall do besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Its letters.
    pub code_page: CodePage,
    /// Its codes.
    pub qr: QrBy,
    /// Opens the drawer.
    pub drawer: bool,
}

/// The receipt, from the printer's reset to the cut.
///
/// # Errors
/// [`FontsMissing`] when a text is not in the code page and there are no fonts.
pub fn escpos(
    document: &Document,
    mark: Mark,
    width: Width,
    options: Options,
    fonts: Option<&Fonts>,
) -> Result<Vec<u8>, FontsMissing> {
    let mut printer = Printer {
        bytes: vec![ESC, b'@', ESC, b't', options.code_page.number()],
        width,
        options,
        fonts,
    };
    if options.drawer {
        // Connector pin 2, 50 ms on, 500 ms off.
        printer.bytes.extend([ESC, b'p', 0, 25, 250]);
    }
    for row in rows(document, mark) {
        printer.row(&row)?;
    }
    // Feed to the knife and cut, leaving one point.
    printer.bytes.extend([GS, b'V', 66, 3]);
    Ok(printer.bytes)
}

struct Printer<'f> {
    bytes: Vec<u8>,
    width: Width,
    options: Options,
    fonts: Option<&'f Fonts>,
}

impl Printer<'_> {
    fn row(&mut self, row: &Row) -> Result<(), FontsMissing> {
        match row {
            Row::Rule => {
                let line = vec![b'-'; self.width.letters()];
                self.line(&line, Style::default());
            }
            Row::Qr(text) => self.qr(text),
            row => match self.letters(row) {
                Some((lines, style)) => {
                    for line in lines {
                        self.line(&line, style);
                    }
                }
                None => self.drawn(row)?,
            },
        }
        Ok(())
    }

    /// The lines of a row in the printer's letters; none where it does not have them.
    fn letters(&self, row: &Row) -> Option<(Vec<Vec<u8>>, Style)> {
        let encode = |text: &str| {
            let text: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            self.options.code_page.encode(&text)
        };
        let room = |style: Style| self.width.letters() / if style.large { 2 } else { 1 };
        Some(match row {
            Row::Text(text, style) => {
                let room = room(*style);
                let lines = wrapped(&encode(text)?, room);
                let placed = |line: Vec<u8>| {
                    let before = if style.centred {
                        (room - line.len()) / 2
                    } else {
                        0
                    };
                    [vec![b' '; before], line].concat()
                };
                (lines.into_iter().map(placed).collect(), *style)
            }
            Row::Pair(left, right, style) => {
                let room = room(*style);
                let right = encode(right)?;
                let beside = room.saturating_sub(right.len() + 1);
                let mut lines = wrapped(
                    &encode(left)?,
                    if beside < room / 3 { room } else { beside },
                );
                let fits = lines
                    .last()
                    .is_some_and(|last| last.len() + right.len() < room);
                if !fits {
                    lines.push(Vec::new());
                }
                if let Some(last) = lines.last_mut() {
                    last.resize(room.saturating_sub(right.len()), b' ');
                    last.extend(right);
                }
                (lines, *style)
            }
            Row::Cells(cells, style) => {
                let wide = room(*style) / cells.len().max(1);
                let mut line = Vec::new();
                for (at, cell) in cells.iter().enumerate() {
                    let cell = encode(cell)?;
                    let white = wide.saturating_sub(cell.len());
                    if at == 0 {
                        line.extend(cell);
                        line.extend(vec![b' '; white]);
                    } else {
                        line.extend(vec![b' '; white]);
                        line.extend(cell);
                    }
                }
                (vec![line], *style)
            }
            Row::Rule | Row::Qr(_) => return None,
        })
    }

    fn line(&mut self, line: &[u8], style: Style) {
        if style.bold {
            self.bytes.extend([ESC, b'E', 1]);
        }
        if style.large {
            self.bytes.extend([GS, b'!', 0x11]);
        }
        self.bytes.extend(line);
        self.bytes.push(b'\n');
        if style.large {
            self.bytes.extend([GS, b'!', 0]);
        }
        if style.bold {
            self.bytes.extend([ESC, b'E', 0]);
        }
    }

    /// A row as dots.
    fn drawn(&mut self, row: &Row) -> Result<(), FontsMissing> {
        let Some(fonts) = self.fonts else {
            let text = match row {
                Row::Text(text, _) => text.clone(),
                Row::Pair(left, right, _) => format!("{left} {right}"),
                Row::Cells(cells, _) => cells.join(" "),
                Row::Rule | Row::Qr(_) => String::new(),
            };
            return Err(FontsMissing { text });
        };
        let wide = self.width.dots();
        let width = i64::try_from(wide).unwrap_or(i64::MAX) * 1000;
        let dots = |thousandths: Length| (thousandths + 999) / 1000;
        for line in lay(fonts, row, width, SIZE) {
            let (up, down) = (dots(line.up), dots(line.down));
            let height = usize::try_from(up + down).unwrap_or(MOST_LINES).max(1);
            let mut drawn = Dots::new(wide, height);
            for (x, runs) in &line.parts {
                drawn.text(fonts, x / 1000, up, runs, line.size);
            }
            self.dots(&drawn);
        }
        Ok(())
    }

    fn dots(&mut self, dots: &Dots) {
        for lines in dots.bytes.chunks(dots.stride.max(1) * MOST_LINES) {
            let height = lines.len() / dots.stride.max(1);
            self.bytes.extend([GS, b'v', b'0', 0]);
            for number in [dots.stride, height] {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                self.bytes.extend(number.to_le_bytes());
            }
            self.bytes.extend(lines);
        }
    }

    fn qr(&mut self, text: &str) {
        let Some(code) = Qr::new(text) else {
            return;
        };
        let side = code.width + 2 * QUIET;
        let module = (self.width.dots() * 2 / 3 / side).clamp(2, 8);
        if self.options.qr == QrBy::Dots {
            let left = (self.width.dots().saturating_sub(side * module)) / 2;
            let mut dots = Dots::new(self.width.dots(), side * module);
            for (column, row, run) in code.runs() {
                for y in 0..module {
                    for x in 0..run * module {
                        let (column, row) = (column + QUIET, row + QUIET);
                        dots.set(left + column * module + x, row * module + y);
                    }
                }
            }
            self.dots(&dots);
            return;
        }
        let data = text.as_bytes();
        let length = u16::try_from(data.len() + 3).unwrap_or(u16::MAX);
        let module = u8::try_from(module).unwrap_or(4);
        // Centred; model 2, size, correction M, the data, print; to the left again.
        self.bytes.extend([ESC, b'a', 1]);
        self.bytes.extend([GS, b'(', b'k', 4, 0, 49, 65, 50, 0]);
        self.bytes.extend([GS, b'(', b'k', 3, 0, 49, 67, module]);
        self.bytes.extend([GS, b'(', b'k', 3, 0, 49, 69, 49]);
        self.bytes.extend([GS, b'(', b'k']);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend([49, 80, 48]);
        self.bytes.extend(data);
        self.bytes.extend([GS, b'(', b'k', 3, 0, 49, 81, 48]);
        self.bytes.extend([b'\n', ESC, b'a', 0]);
    }
}

/// Lines of at most `room` letters, broken at spaces where there are any; the spaces that a text begins with stay.
fn wrapped(text: &[u8], room: usize) -> Vec<Vec<u8>> {
    let room = room.max(1);
    let mut lines = Vec::new();
    let mut rest = text.trim_ascii_end();
    while rest.len() > room {
        let space = rest
            .get(..=room)
            .and_then(|part| part.iter().rposition(|b| *b == b' '));
        let at = space.filter(|at| !rest.get(..*at).unwrap_or_default().trim_ascii().is_empty());
        let (line, after) = rest.split_at(at.unwrap_or(room));
        lines.push(line.trim_ascii_end().to_vec());
        rest = after.trim_ascii_start();
    }
    lines.push(rest.to_vec());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_have_their_letters_in_their_places() {
        assert_eq!(PC437.chars().count(), 128);
        assert_eq!(WPC1252.chars().count(), 32);
        assert_eq!(CodePage::Pc437.encode("é½ß"), Some(vec![0x82, 0xab, 0xe1]));
        assert_eq!(
            CodePage::Wpc1252.encode("é€’"),
            Some(vec![0xe9, 0x80, 0x92])
        );
        for text in ["₹", "क", "\u{81}", "\n", "Ł"] {
            assert_eq!(CodePage::Pc437.encode(text), None, "{text:?}");
            assert_eq!(CodePage::Wpc1252.encode(text), None, "{text:?}");
        }
    }

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        let lines = |text: &str, room| {
            let lines = wrapped(text.as_bytes(), room).into_iter();
            lines
                .map(|line| String::from_utf8(line).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(lines(" a bc", 4), [" a", "bc"]);
        assert_eq!(lines("", 4), [""]);
    }
}
