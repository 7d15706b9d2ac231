//! Indian scripts are shaped, and the PDF shows and says what the text is.

use super::{FONTS, poppler};
use crate::{font::Weight, pdf::Canvas, raster::Dots};

/// A conjunct or a reordered vowel of each script, with how many clusters it is.
const WORDS: [(&str, &str, usize); 9] = [
    ("Devanagari", "क्ष", 1),
    ("Devanagari", "हिन्दी", 3),
    ("Bengali", "ক্ষ", 1),
    ("Gurmukhi", "ਪੰਜਾਬੀ", 3),
    ("Gujarati", "ક્ષ", 1),
    ("Tamil", "கொ", 1),
    ("Telugu", "క్ష", 1),
    ("Kannada", "ಕ್ಷ", 1),
    ("Malayalam", "ക്ഷ", 1),
];

fn page(text: &str) -> Vec<u8> {
    let mut canvas = Canvas::new(&FONTS);
    canvas.add_page(600_000, 200_000);
    let runs = FONTS.shape(text, Weight::Regular);
    canvas.text(0, 20_000, 120_000, &runs, 72_000);
    canvas.finish(text)
}

#[test]
fn a_conjunct_is_one_cluster_without_a_dotted_circle() {
    for (script, word, clusters) in WORDS {
        let runs = FONTS.shape(word, Weight::Regular);
        let [run] = &runs[..] else {
            panic!("{script}: {word} fell into {} runs", runs.len());
        };
        let circle = FONTS.shape(&format!("{word}\u{25cc}"), Weight::Regular);
        let circle = circle.last().unwrap().glyphs.last().unwrap().id;
        assert!(
            run.glyphs.iter().all(|g| g.id != 0 && g.id != circle),
            "{script}: {word} has a missing glyph or a dotted circle"
        );
        let mut starts: Vec<_> = run.glyphs.iter().map(|g| g.cluster).collect();
        starts.dedup();
        assert_eq!(starts.len(), clusters, "{script}: {word}");
    }
}

#[test]
fn the_short_i_stands_before_its_consonant() {
    // In memory ka and then i; on paper i and then ka.
    let runs = FONTS.shape("कि", Weight::Regular);
    let ka = FONTS.shape("क", Weight::Regular)[0].glyphs[0].id;
    let glyphs: Vec<_> = runs[0].glyphs.iter().map(|g| g.id).collect();
    assert_eq!(glyphs.len(), 2);
    assert_eq!(glyphs[1], ka, "{glyphs:?}");
}

#[test]
fn a_reader_copies_the_text_that_was_set() {
    for (script, word, _) in WORDS {
        let set = format!("{word} Amul 500 g");
        assert_eq!(poppler::text(&page(&set), "-raw").trim(), set, "{script}");
    }
    for plain in [
        "Naïve AVATAR",
        "Type fi ffl",
        "Łódź, Ελλάδα",
        "Київ",
        "₹ 1,23,456.00",
    ] {
        assert_eq!(poppler::text(&page(plain), "-raw").trim(), plain);
    }
}

/// How much of the dark dots of two pictures is dark in both, in per cent.
fn alike(text: &str) -> usize {
    let picture = poppler::picture(&page(text));
    let mut dots = Dots::new(600, 200);
    let runs = FONTS.shape(text, Weight::Regular);
    dots.text(&FONTS, 20, 120, &runs, 72_000);
    let (mut both, mut either) = (0, 0);
    for y in 0..200 {
        for x in 0..600 {
            let (a, b) = (picture.is_dark(x, y), dots.is_set(x, y));
            both += usize::from(a && b);
            either += usize::from(a || b);
        }
    }
    assert!(either > 200, "{text}: a blank page");
    both * 100 / either
}

#[test]
fn what_passes_an_edge_stays_away() {
    // Wider than the paper, and above the line: the one ligature of a whole sentence, and marks upon marks.
    for text in [
        "\u{fdfd}",
        "Zalgo \u{0a70}\u{0301}\u{0301}\u{0301}\u{0301}",
        "ॐ र्कीं",
    ] {
        let runs = FONTS.shape(text, Weight::Regular);
        let mut whole = Dots::new(2_400, 400);
        whole.text(&FONTS, 1_000, 200, &runs, 72_000);
        for (x, y) in [(-40, 20), (-3, 3), (80, 60), (99, -20)] {
            let mut part = Dots::new(104, 64);
            part.text(&FONTS, x, y, &runs, 72_000);
            for row in 0..64 {
                for column in 0..104 {
                    let there = (
                        usize::try_from(1_000 - x).unwrap() + column,
                        usize::try_from(200 - y).unwrap() + row,
                    );
                    assert_eq!(
                        part.is_set(column, row),
                        whole.is_set(there.0, there.1),
                        "{text} from {x}, {y} at {column}, {row}"
                    );
                }
            }
        }
    }
}

#[test]
fn poppler_draws_the_pdf_as_the_printer_draws_its_dots() {
    for (script, word, _) in WORDS {
        let alike = alike(word);
        assert!(alike > 85, "{script}: {word} is alike to {alike} %");
    }
    assert!(alike("AVATAR Tel. 12") > 80);
}

/// Width of what is dark.
fn ink(text: &str) -> usize {
    let picture = poppler::picture(&page(text));
    let dark = |x: &usize| (0..picture.height).any(|y| picture.is_dark(*x, y));
    let first = (0..picture.width).find(dark).unwrap();
    let last = (0..picture.width).rev().find(dark).unwrap();
    last - first
}

#[test]
fn on_the_page_a_conjunct_is_narrower_than_its_letters() {
    // The mutant is a text in which shaping is forbidden: a non-joiner leaves the letters apart.
    for (joined, apart) in [
        ("क्ष", "क्\u{200c}ष"),
        ("ক্ষ", "ক্\u{200c}ষ"),
        ("ક્ષ", "ક્\u{200c}ષ"),
    ] {
        let (joined, apart) = (ink(joined), ink(apart));
        assert!(joined * 5 < apart * 4, "{joined} dots, and apart {apart}");
    }
}

#[test]
fn lines_break_between_clusters_and_never_within() {
    let word = "क्षत्रियक्षत्रियक्षत्रियक्षत्रिय";
    let wide = FONTS.measure(word, Weight::Regular, 8_000);
    let lines = FONTS.wrap(word, Weight::Regular, 8_000, wide / 3);
    assert!(lines.len() > 2);
    assert_eq!(lines.concat(), word);
    for line in &lines {
        assert!(FONTS.measure(line, Weight::Regular, 8_000) <= wide / 3);
        // Half a cluster would begin with a mark, which gets a dotted circle.
        let first = line.chars().next().unwrap();
        assert!(('\u{0904}'..='\u{0939}').contains(&first), "{line:?}");
    }
    let lines = FONTS.wrap("one two\n three", Weight::Bold, 8_000, 1_000_000);
    assert_eq!(lines, ["one two", "three"]);
}
