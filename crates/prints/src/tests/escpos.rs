//! The bytes that go to a thermal printer, read as a printer reads them.

use super::{FONTS, scenario_1};
use crate::{
    Mark,
    receipt::{self, CodePage, FontsMissing, Options, QrBy, Width, escpos},
};

const FIRST: Mark = Mark {
    before: 0,
    cancelled: false,
};

/// What a printer does with the bytes.
#[derive(Debug, Default)]
struct Paper {
    page: u8,
    /// Lines of letters, with the columns that each letter takes.
    lines: Vec<(Vec<u8>, usize)>,
    /// Pictures: bytes of a line, and the bytes.
    pictures: Vec<(usize, Vec<u8>)>,
    codes: Vec<Vec<u8>>,
    drawer: usize,
    cuts: usize,
}

/// Reads the commands; one that is not known is an error, as it is on paper.
fn read(bytes: &[u8]) -> Paper {
    let (mut paper, mut at, mut line, mut wide) = (Paper::default(), 0, Vec::new(), 1);
    while at < bytes.len() {
        match bytes[at..] {
            [0x1b, b'@', ..] => at += 2,
            [0x1b, b't', page, ..] => (paper.page, at) = (page, at + 3),
            [0x1b, b'E', 0 | 1, ..] | [0x1b, b'a', 0..=2, ..] => at += 3,
            [0x1b, b'p', 0, _, _, ..] => (paper.drawer, at) = (paper.drawer + 1, at + 5),
            [0x1d, b'!', size, ..] => (wide, at) = (usize::from(size >> 4) + 1, at + 3),
            [0x1d, b'V', 66, _, ..] => (paper.cuts, at) = (paper.cuts + 1, at + 4),
            [0x1d, b'v', b'0', 0, xl, xh, yl, yh, ..] => {
                let stride = usize::from(u16::from_le_bytes([xl, xh]));
                let length = stride * usize::from(u16::from_le_bytes([yl, yh]));
                paper
                    .pictures
                    .push((stride, bytes[at + 8..at + 8 + length].to_vec()));
                at += 8 + length;
            }
            [0x1d, b'(', b'k', l, h, 49, function, ..] => {
                let length = usize::from(u16::from_le_bytes([l, h]));
                let body = &bytes[at + 5..at + 5 + length];
                if function == 80 {
                    paper.codes.push(body[3..].to_vec());
                }
                at += 5 + length;
            }
            [b'\n', ..] => {
                paper.lines.push((std::mem::take(&mut line), wide));
                at += 1;
            }
            [letter, ..] => {
                assert!(letter >= b' ', "a stray {letter:#x} at {at}");
                line.push(letter);
                at += 1;
            }
            [] => unreachable!(),
        }
    }
    assert!(line.is_empty(), "the last line is not printed");
    paper
}

fn printed(width: Width, options: Options) -> Paper {
    read(&escpos(&scenario_1(), FIRST, width, options, None).unwrap())
}

#[test]
fn a_receipt_fits_its_paper_and_ends_with_a_cut() {
    for (width, letters) in [(Width::Mm58, 32), (Width::Mm80, 48)] {
        let paper = printed(width, Options::default());
        for (line, wide) in &paper.lines {
            let text = String::from_utf8_lossy(line);
            assert!(line.len() * wide <= letters, "{text:?} is too wide");
        }
        let said: Vec<_> = paper
            .lines
            .iter()
            .map(|(line, _)| String::from_utf8_lossy(line).trim().to_owned())
            .collect();
        let has = |part: &str| {
            assert!(
                said.iter().any(|line| line.contains(part)),
                "no {part}: {said:#?}"
            )
        };
        for part in [
            "GSTIN 27AAPFU0939F1ZV",
            "MH/26-27/0001",
            "Charger 20W",
            "2,201.32",
            "Rs 4,621.00",
        ] {
            has(part);
        }
        assert_eq!((paper.cuts, paper.drawer, paper.page), (1, 0, 0));
        assert_eq!(paper.codes, [scenario_1().qr.unwrap().into_bytes()]);
        assert!(paper.pictures.is_empty());
    }
}

#[test]
fn options_open_the_drawer_choose_the_letters_and_draw_the_code() {
    let options = Options {
        code_page: CodePage::Wpc1252,
        qr: QrBy::Dots,
        drawer: true,
    };
    let paper = printed(Width::Mm58, options);
    assert_eq!((paper.drawer, paper.page, paper.codes.len()), (1, 16, 0));
    // 384 dots a line; put together the pictures are the code.
    let stride = 48;
    let mut luma = Vec::new();
    for (wide, bytes) in &paper.pictures {
        assert_eq!(*wide, stride);
        for byte in bytes {
            luma.extend((0..8).map(|bit| if byte & (0x80 >> bit) == 0 { 255 } else { 0 }));
        }
    }
    let height = luma.len() / (stride * 8);
    let read = rxing::helpers::detect_in_luma(
        luma,
        384,
        u32::try_from(height).unwrap(),
        Some(rxing::BarcodeFormat::QR_CODE),
    );
    assert_eq!(read.unwrap().getText(), scenario_1().qr.unwrap());
}

#[test]
fn what_the_printer_has_no_letters_for_is_drawn() {
    let mut sold = scenario_1();
    sold.lines[0].description = "शैम्पू क्षत्रिय".into();
    let made = escpos(&sold, FIRST, Width::Mm58, Options::default(), Some(&FONTS)).unwrap();
    let paper = read(&made);
    let [(stride, bytes)] = &paper.pictures[..] else {
        panic!("one line is drawn, not {}", paper.pictures.len());
    };
    assert_eq!(*stride, 48);
    let ink: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    assert!(ink > 500, "{ink} dots are black");
    // The rest goes as letters, and without fonts nothing is left out in silence.
    assert!(
        paper
            .lines
            .iter()
            .any(|(line, _)| line.ends_with(b"2,201.32"))
    );
    let refused = escpos(&sold, FIRST, Width::Mm58, Options::default(), None);
    let text = "शैम्पू क्षत्रिय".to_owned();
    assert_eq!(refused, Err(FontsMissing { text }));
}

#[test]
fn accents_go_by_the_code_page() {
    let mut sold = scenario_1();
    sold.lines[0].description = "Café".into();
    for (code_page, e) in [(CodePage::Pc437, 0x82), (CodePage::Wpc1252, 0xe9)] {
        let options = Options {
            code_page,
            ..Options::default()
        };
        let paper = read(&escpos(&sold, FIRST, Width::Mm80, options, None).unwrap());
        let expected = [b"Caf".as_slice(), &[e]].concat();
        assert!(paper.lines.iter().any(|(line, _)| *line == expected));
    }
}

#[test]
fn control_characters_of_a_name_do_not_reach_the_printer() {
    let mut sold = scenario_1();
    sold.lines[0].description = "Soap\x1bp\0\x19\x1dV\x42\0".into();
    let made = escpos(&sold, FIRST, Width::Mm80, Options::default(), None).unwrap();
    let paper = read(&made);
    assert_eq!((paper.drawer, paper.cuts), (0, 1));
}

#[test]
fn a_reprint_is_marked() {
    let twice = Mark {
        before: 1,
        cancelled: false,
    };
    let made = receipt::escpos(&scenario_1(), twice, Width::Mm80, Options::default(), None);
    let paper = read(&made.unwrap());
    let marked = |(line, _): &(Vec<u8>, usize)| line.trim_ascii() == b"DUPLICATE - REPRINT 1";
    assert!(paper.lines.iter().any(marked));
    let undone = |before| {
        Mark {
            before,
            cancelled: true,
        }
        .text()
        .unwrap()
    };
    assert_eq!(
        (undone(0).as_str(), undone(1).as_str()),
        ("CANCELLED", "CANCELLED - DUPLICATE - REPRINT 1")
    );
}
