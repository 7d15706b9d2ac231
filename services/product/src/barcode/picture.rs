//! Pictures of barcodes, as SVG and PNG, with their quiet zones and the text that people read.

use std::fmt::Write as _;

use barcoders::sym::{code128::Code128, ean8::EAN8, ean13::EAN13, tf::TF};
use chrono::NaiveDate;
use datamatrix::{DataMatrix, SymbolList};
use font8x8::{BASIC_FONTS, UnicodeFonts};
use qrcode::{Color, QrCode};

use crate::{barcode::model::Gtin, scan, text::words};

/// The longest text in a picture, in bytes.
pub const LONGEST: usize = 512;
/// The longest text in a row of bars; more does not fit a label, nor a scanner's view.
const LONGEST_ROW: usize = 80;
/// Modules between the bars and the text, and the text's own height.
const TEXT: usize = 9;

words! {
    /// How a code is drawn.
    pub enum Symbology {
        /// Code 128, sets B and C.
        Code128 = "code128",
        /// Code 128 with GS1 elements, whose identifiers stand in brackets.
        Gs1128 = "gs1_128",
        /// EAN-13.
        Ean13 = "ean13",
        /// EAN-8.
        Ean8 = "ean8",
        /// UPC-A.
        UpcA = "upca",
        /// ITF-14, for cartons.
        Itf14 = "itf14",
        /// QR code.
        Qr = "qr",
        /// Data Matrix.
        DataMatrix = "datamatrix",
        /// Data Matrix with GS1 elements, whose identifiers stand in brackets.
        Gs1DataMatrix = "gs1_datamatrix",
    }
}

impl Symbology {
    /// The usual one for a code.
    pub fn of(code: &str) -> Self {
        match (code.len(), code.parse::<Gtin>()) {
            (8, Ok(_)) => Self::Ean8,
            (12, Ok(_)) => Self::UpcA,
            (13, Ok(_)) => Self::Ean13,
            (14, Ok(_)) => Self::Itf14,
            _ if code.starts_with('(') => Self::Gs1128,
            _ => Self::Code128,
        }
    }
}

/// A code as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A row of bars.
    Row(Row),
    /// A square of squares.
    Matrix(Matrix),
}

/// A row of bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// True is a bar, one module wide.
    pub modules: Vec<bool>,
    /// White modules that must stand before and behind (GS1 General Specifications, 5.2.3.4 and 5.4.7).
    pub quiet: (usize, usize),
    /// What people read.
    pub text: String,
}

/// A matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Modules of a line.
    pub width: usize,
    /// Line by line; true is dark.
    pub modules: Vec<bool>,
    /// White modules that must stand around.
    pub quiet: usize,
}

impl Row {
    /// Modules with the quiet zones.
    pub fn width(&self) -> usize {
        self.quiet.0 + self.modules.len() + self.quiet.1
    }

    /// Where each bar begins, the quiet zone counted, and how wide it is, in modules.
    pub fn bars(&self) -> Vec<(usize, usize)> {
        runs(&self.modules, self.quiet.0)
    }
}

fn runs(modules: &[bool], from: usize) -> Vec<(usize, usize)> {
    let mut bars: Vec<(usize, usize)> = Vec::new();
    for (at, _) in modules.iter().enumerate().filter(|(_, dark)| **dark) {
        match bars.last_mut() {
            Some((start, width)) if *start + *width == from + at => *width += 1,
            _ => bars.push((from + at, 1)),
        }
    }
    bars
}

/// Draws a code. `today` tells the century of dates in GS1 elements, which are checked.
///
/// # Errors
/// Why the symbology cannot carry it.
pub fn draw(code: &str, symbology: Symbology, today: NaiveDate) -> Result<Symbol, String> {
    if code.is_empty() || code.len() > LONGEST {
        return Err(format!("must have 1 to {LONGEST} bytes"));
    }
    let gtin = |digits: usize| -> Result<Gtin, String> {
        let code: Gtin = code.parse().map_err(|error| format!("{error}"))?;
        if code.as_str().len() == digits {
            Ok(code)
        } else {
            Err(format!("needs {digits} digits"))
        }
    };
    let carry = |_| format!("does not fit {}", symbology.word());
    let row = |bars: Vec<u8>, quiet, text: &str| {
        Symbol::Row(Row {
            modules: bars.into_iter().map(|bar| bar == 1).collect(),
            quiet,
            text: text.to_owned(),
        })
    };
    Ok(match symbology {
        Symbology::Ean13 => {
            gtin(13)?;
            row(EAN13::new(code).map_err(carry)?.encode(), (11, 7), code)
        }
        Symbology::UpcA => {
            gtin(12)?;
            let full = format!("0{code}");
            row(EAN13::new(full).map_err(carry)?.encode(), (9, 9), code)
        }
        Symbology::Ean8 => {
            gtin(8)?;
            row(EAN8::new(code).map_err(carry)?.encode(), (7, 7), code)
        }
        Symbology::Itf14 => {
            gtin(14)?;
            row(
                TF::interleaved(code).map_err(carry)?.encode(),
                (10, 10),
                code,
            )
        }
        Symbology::Code128 => {
            let sets = sets(code)?;
            row(Code128::new(sets).map_err(carry)?.encode(), (10, 10), code)
        }
        Symbology::Gs1128 => {
            let raw = scan::gs1_raw(code, today)?;
            let sets = sets(&format!("{FNC1}{raw}"))?;
            row(Code128::new(sets).map_err(carry)?.encode(), (10, 10), code)
        }
        Symbology::Qr => {
            let drawn = QrCode::new(code).map_err(|_| "does not fit qr".to_owned())?;
            let modules = drawn.to_colors().into_iter();
            Symbol::Matrix(Matrix {
                width: drawn.width(),
                modules: modules.map(|color| color == Color::Dark).collect(),
                quiet: 4,
            })
        }
        Symbology::DataMatrix => {
            let shapes = SymbolList::default().enforce_square();
            squares(DataMatrix::encode_str(code, shapes).map_err(|_| "does not fit datamatrix")?)
        }
        Symbology::Gs1DataMatrix => {
            let raw = scan::gs1_raw(code, today)?;
            let shapes = SymbolList::default().enforce_square();
            squares(
                DataMatrix::encode_gs1(raw.as_bytes(), shapes)
                    .map_err(|_| "does not fit gs1_datamatrix")?,
            )
        }
    })
}

fn squares(drawn: DataMatrix) -> Symbol {
    let bitmap = drawn.bitmap();
    Symbol::Matrix(Matrix {
        width: bitmap.width(),
        modules: bitmap.bits().to_vec(),
        quiet: 2,
    })
}

/// FNC1 in a text.
const FNC1: char = '\u{1d}';

/// A text with the code sets of Code 128 that make it short, as barcoders takes it: C for runs of four digits and more,
/// B for all else.
fn sets(text: &str) -> Result<String, String> {
    const B: char = '\u{181}';
    const C: char = '\u{106}';
    const FUNCTION: char = '\u{179}';
    if text.len() > LONGEST_ROW {
        return Err(format!(
            "must have at most {LONGEST_ROW} characters in a row of bars"
        ));
    }
    if !text.chars().all(|c| c == FNC1 || matches!(c, ' '..='~')) {
        return Err("must have printable ASCII characters only in a row of bars".to_owned());
    }
    let (mut out, mut set, mut rest) = (String::new(), None, text);
    // A function says nothing of the set: it goes with what follows.
    while let Some(first) = rest.chars().next() {
        let ahead = rest.trim_start_matches(FNC1);
        let digits = ahead.bytes().take_while(u8::is_ascii_digit).count();
        let pairs = digits / 2;
        let wanted = match set {
            Some(C) if pairs > 0 || (first == FNC1 && ahead.is_empty()) => C,
            // An odd digit goes first, so that the rest is pairs.
            _ if digits >= 4 && (digits % 2 == 0 || set.is_none()) => C,
            _ => B,
        };
        if set != Some(wanted) {
            out.push(wanted);
            set = Some(wanted);
        }
        if first == FNC1 {
            out.push(FUNCTION);
            rest = &rest[FNC1.len_utf8()..];
        } else if wanted == C {
            out.push_str(&rest[..2 * pairs]);
            rest = &rest[2 * pairs..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(out)
}

/// How large a picture is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Pixels of a module.
    pub scale: usize,
    /// Modules of a bar's height.
    pub height: usize,
    /// With the text that people read.
    pub text: bool,
}

impl Symbol {
    /// Width and height in modules, all included.
    fn extent(&self, size: Size) -> (usize, usize) {
        match self {
            Self::Row(row) => (row.width(), size.height + if size.text { TEXT } else { 0 }),
            Self::Matrix(matrix) => {
                let lines = matrix.modules.len() / matrix.width.max(1);
                (matrix.width + 2 * matrix.quiet, lines + 2 * matrix.quiet)
            }
        }
    }

    /// Where dark bars begin on each line, and their width and height, in modules.
    fn bars(&self, size: Size) -> Vec<(usize, usize, usize, usize)> {
        match self {
            Self::Row(row) => row
                .bars()
                .into_iter()
                .map(|(x, width)| (x, 0, width, size.height))
                .collect(),
            Self::Matrix(matrix) => {
                let lines = matrix.modules.chunks(matrix.width.max(1)).enumerate();
                let bars = lines.flat_map(|(y, line)| {
                    let runs = runs(line, matrix.quiet).into_iter();
                    runs.map(move |(x, width)| (x, y + matrix.quiet, width, 1))
                });
                bars.collect()
            }
        }
    }

    fn text(&self, size: Size) -> Option<&str> {
        match self {
            Self::Row(row) if size.text => Some(&row.text),
            _ => None,
        }
    }

    /// As SVG.
    pub fn svg(&self, size: Size) -> String {
        let (width, height) = self.extent(size);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
             shape-rendering=\"crispEdges\"><rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/><path d=\"",
            width * size.scale,
            height * size.scale
        );
        for (x, y, width, height) in self.bars(size) {
            // Writing to a string cannot fail.
            let _ = write!(out, "M{x} {y}h{width}v{height}h-{width}z");
        }
        out.push_str("\" fill=\"#000\"/>");
        if let Some(text) = self.text(size) {
            let (middle, base) = (width / 2, height - 1);
            let _ = write!(
                out,
                "<text x=\"{middle}\" y=\"{base}\" font-family=\"monospace\" font-size=\"8\" text-anchor=\"middle\">{}</text>",
                escaped(text)
            );
        }
        out.push_str("</svg>");
        out
    }

    /// As PNG of one bit a pixel.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn png(&self, size: Size) -> Result<Vec<u8>, png::EncodingError> {
        let (width, height) = self.extent(size);
        let mut canvas = Canvas::new(width * size.scale, height * size.scale);
        for (x, y, width, height) in self.bars(size) {
            let s = size.scale;
            canvas.fill(x * s, y * s, width * s, height * s);
        }
        if let Some(text) = self.text(size) {
            let most = width * size.scale / (8 * text.chars().count().max(1));
            canvas.write(text, most.min(size.scale), (size.height + 1) * size.scale);
        }
        canvas.png()
    }
}

/// The characters that mean something in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Black on white, one bit a pixel, lines of whole bytes.
struct Canvas {
    width: usize,
    height: usize,
    bits: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let bits = vec![0xff; width.div_ceil(8) * height];
        Self {
            width,
            height,
            bits,
        }
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize) {
        let line = self.width.div_ceil(8);
        for y in y..(y + height).min(self.height) {
            for x in x..(x + width).min(self.width) {
                self.bits[y * line + x / 8] &= !(0x80 >> (x % 8));
            }
        }
    }

    /// Writes a line in the middle, each dot of its letters `scale` pixels wide; nothing where there is no room.
    fn write(&mut self, text: &str, scale: usize, top: usize) {
        if scale == 0 {
            return;
        }
        let left = self.width.saturating_sub(text.chars().count() * 8 * scale) / 2;
        for (at, c) in text.chars().enumerate() {
            let Some(glyph) = BASIC_FONTS.get(c) else {
                continue;
            };
            for (y, line) in glyph.iter().enumerate() {
                for x in (0..8).filter(|x| line >> x & 1 == 1) {
                    self.fill(left + (at * 8 + x) * scale, top + y * scale, scale, scale);
                }
            }
        }
    }

    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, side(self.width), side(self.height));
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header()?.write_image_data(&self.bits)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rxing::{BarcodeFormat, DecodeHints, helpers::detect_in_luma_with_hints};

    use super::*;

    fn today() -> NaiveDate {
        "2026-11-21".parse().unwrap()
    }

    const SIZE: Size = Size {
        scale: 3,
        height: 40,
        text: true,
    };

    /// What an independent reader finds in a PNG.
    fn seen(picture: &[u8], format: BarcodeFormat, gs1: bool) -> Option<String> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture))
            .read_info()
            .unwrap();
        let (width, height) = (reader.info().width, reader.info().height);
        let mut bits = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bits).unwrap();
        let mut hints = DecodeHints {
            AssumeGs1: Some(gs1),
            ..DecodeHints::default()
        };
        let line = (width as usize).div_ceil(8);
        let luma = (0..height as usize).flat_map(|y| {
            let bits = &bits;
            (0..width as usize).map(move |x| {
                if bits[y * line + x / 8] >> (7 - x % 8) & 1 == 1 {
                    255
                } else {
                    0
                }
            })
        });
        let found =
            detect_in_luma_with_hints(luma.collect(), width, height, Some(format), &mut hints)
                .ok()?;
        Some(found.getText().to_owned())
    }

    fn format(symbology: Symbology) -> BarcodeFormat {
        match symbology {
            Symbology::Code128 | Symbology::Gs1128 => BarcodeFormat::CODE_128,
            Symbology::Ean13 => BarcodeFormat::EAN_13,
            Symbology::Ean8 => BarcodeFormat::EAN_8,
            Symbology::UpcA => BarcodeFormat::UPC_A,
            Symbology::Itf14 => BarcodeFormat::ITF,
            Symbology::Qr => BarcodeFormat::QR_CODE,
            Symbology::DataMatrix | Symbology::Gs1DataMatrix => BarcodeFormat::DATA_MATRIX,
        }
    }

    fn back(code: &str, symbology: Symbology) -> Option<String> {
        let drawn = draw(code, symbology, today()).unwrap();
        let gs1 = symbology == Symbology::Gs1128;
        seen(&drawn.png(SIZE).unwrap(), format(symbology), gs1)
    }

    #[test]
    fn an_independent_reader_reads_every_symbology() {
        for (code, symbology) in [
            ("4006381333931", Symbology::Ean13),
            ("2112345015002", Symbology::Ean13),
            ("02345673", Symbology::Ean8),
            ("416000336108", Symbology::UpcA),
            ("20012345678909", Symbology::Itf14),
            ("TEA-250/G <&>", Symbology::Code128),
            ("1234567", Symbology::Code128),
            ("AB12345678C9", Symbology::Code128),
            (
                "upi://pay?pa=bahi@bank&pn=Bahi&am=120.50&cu=INR",
                Symbology::Qr,
            ),
            ("मसाला चाय", Symbology::Qr),
            ("TEA-250", Symbology::DataMatrix),
        ] {
            assert_eq!(
                back(code, symbology).as_deref(),
                Some(code),
                "{symbology:?}"
            );
            assert_eq!(Symbology::of("4006381333931"), Symbology::Ean13);
        }
    }

    #[test]
    fn elements_are_carried_with_their_separators() {
        let code = "(01)09501101530003(10)AB-17(17)270131(3103)001750";
        let raw = "010950110153000310AB-17\u{1d}172701313103001750";
        for symbology in [Symbology::Gs1128, Symbology::Gs1DataMatrix] {
            let found = back(code, symbology).unwrap();
            let found = found
                .trim_start_matches("]C1")
                .trim_start_matches("]d2")
                .trim_start_matches('\u{1d}');
            assert_eq!(found, raw, "{symbology:?}");
        }
    }

    #[test]
    fn a_picture_without_its_quiet_zone_is_not_one() {
        // What the zones are there for: the same bars with dark on both sides.
        let Ok(Symbol::Row(mut row)) = draw("4006381333931", Symbology::Ean13, today()) else {
            panic!("a row");
        };
        assert_eq!(
            (row.modules.len(), row.quiet, row.width()),
            (95, (11, 7), 113)
        );
        row.modules.splice(0..0, [true; 4]);
        row.modules.extend([true; 4]);
        row.quiet = (0, 0);
        let picture = Symbol::Row(row).png(SIZE).unwrap();
        assert_eq!(seen(&picture, BarcodeFormat::EAN_13, false), None);
    }

    #[test]
    fn an_svg_has_the_bars_of_the_png_and_the_text_escaped() {
        let drawn = draw("A<&>\"", Symbology::Code128, today()).unwrap();
        let svg = drawn.svg(SIZE);
        assert!(svg.contains(">A&lt;&amp;&gt;&quot;</text>"), "{svg}");
        let Symbol::Row(row) = &drawn else {
            panic!("a row")
        };
        assert_eq!(svg.matches('M').count(), row.bars().len());
        assert!(
            svg.contains("M10 0h2v40h-2z"),
            "a bar of two modules after ten of white: {svg}"
        );
        assert!(
            !drawn
                .svg(Size {
                    text: false,
                    ..SIZE
                })
                .contains("<text")
        );
    }

    #[test]
    fn says_what_a_symbology_cannot_carry() {
        let says = |code: &str, symbology| draw(code, symbology, today()).unwrap_err();
        assert!(says("4006381333932", Symbology::Ean13).contains("end in 1"));
        assert!(says("02345673", Symbology::Ean13).contains("13 digits"));
        assert!(says("चाय", Symbology::Code128).contains("ASCII"));
        assert!(says(&"1".repeat(81), Symbology::Code128).contains("80"));
        assert!(says(&"1".repeat(513), Symbology::Qr).contains("512"));
        assert!(says("(01)1", Symbology::Gs1128).contains("14 digits"));
        assert!(says("", Symbology::Qr).contains('1'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_row_of_ascii_is_read_back(text in "[0-9]{0,9}[ -~]{1,12}[0-9]{0,9}") {
            prop_assume!(text.trim() == text);
            prop_assert_eq!(back(&text, Symbology::Code128), Some(text));
        }

        #[test]
        fn no_code_panics(code in "\\PC{0,90}") {
            for symbology in [Symbology::Code128, Symbology::Gs1128, Symbology::Ean13, Symbology::Itf14, Symbology::Qr,
                Symbology::DataMatrix, Symbology::Gs1DataMatrix] {
                if let Ok(drawn) = draw(&code, symbology, today()) {
                    prop_assert!(drawn.png(SIZE).is_ok());
                    let _ = drawn.svg(SIZE);
                }
            }
        }
    }
}
