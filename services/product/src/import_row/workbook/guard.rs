//! What a workbook's archive holds, looked through part by part without keeping any of it.
//!
//! A reader of workbooks keeps the texts, the formats and the names of the sheets in memory, and reads tags and texts
//! whole. So what is counted is: bytes, the longest tag or text, the longest cell, and how many of the things there are
//! that are kept. What a part says of its own size or number is never believed.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
};

use zip::ZipArchive;

use super::Unreadable;

/// Most parts of a workbook.
const PARTS: usize = 2000;
/// Most bytes of all parts together, expanded.
const EXPANDED: u64 = 512 * 1024 * 1024;
/// Most bytes of a part that is not XML, and of the table of texts.
const PART: u64 = 64 * 1024 * 1024;
/// Longest tag, text or comment in bytes.
const TOKEN: usize = 128 * 1024;
/// Longest cell or shared text in bytes, with all its markup.
const CELL: usize = 512 * 1024;
/// Most shared texts.
const TEXTS: u64 = 1_000_000;
/// Most formats, sheets, names and relations.
const KEPT: usize = 250_000;

/// Counts the parts that an archive can have, while its bytes go by: the headers of its directory. Whichever directory
/// a reader finds, it has no more entries than there are headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directory {
    last: [u8; 3],
    headers: usize,
}

impl Directory {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When there are too many headers.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        for byte in bytes {
            if self.last == *b"PK\x01" && *byte == 2 {
                self.headers += 1;
            }
            self.last = [self.last[1], self.last[2], *byte];
        }
        if self.headers > PARTS {
            return Err(Unreadable::file(format!("has more than {PARTS} parts")));
        }
        Ok(())
    }
}

/// Looks through all parts.
///
/// # Errors
/// When the file is no archive, or holds what is too much.
pub fn check(file: &mut File) -> Result<(), Unreadable> {
    file.rewind().map_err(broken)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let mut left = EXPANDED;
    let mut kept = 0;
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).map_err(broken)?;
        let name = part.name().map_err(broken)?.to_ascii_lowercase();
        let is_xml = name.ends_with(".xml") || name.ends_with(".rels");
        let said = part.size();
        if said > left {
            return Err(too_large());
        }
        let mut scan = is_xml.then(Scan::default);
        let mut piece = vec![0; 64 * 1024];
        let mut found = 0_u64;
        loop {
            let read = part.read(&mut piece).map_err(broken)?;
            if read == 0 {
                break;
            }
            found += u64::try_from(read).unwrap_or(u64::MAX);
            // A part that is longer than it says would be read all the same.
            if found > said || found > left {
                return Err(too_large());
            }
            let whole = scan.as_ref().is_none_or(|scan| scan.keeps_all);
            if whole && found > PART {
                return Err(too_large());
            }
            if let Some(scan) = &mut scan {
                scan.feed(&piece[..read])?;
            }
        }
        left -= found;
        kept += scan.map_or(0, |scan| scan.kept);
        if kept > KEPT {
            return Err(Unreadable::file(format!(
                "has more than {KEPT} formats, sheets and names"
            )));
        }
    }
    Ok(())
}

fn broken(error: impl std::error::Error) -> Unreadable {
    Unreadable::file(format!("is not an XLSX workbook ({error})"))
}

fn too_large() -> Unreadable {
    Unreadable::file(format!(
        "expands to more than {} MiB, or to more than it says",
        EXPANDED / 1024 / 1024
    ))
}

/// Where in the markup of a part the scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Text,
    /// Right after `<`.
    Opened,
    Tag,
    Quoted(u8),
    /// `<?` to `?>`.
    Instruction,
    /// `<!--` to `-->`.
    Comment,
    /// `<![CDATA[` to `]]>`.
    Data,
}

/// A scan of one part's markup, byte by byte, with no more memory than this.
#[derive(Clone, Debug, Default)]
struct Scan {
    at: At,
    /// Bytes of the tag, text or comment so far.
    token: usize,
    /// The name of the tag, with its slash; what is longer than this is no name that matters.
    name: [u8; 32],
    named: usize,
    naming: bool,
    last: [u8; 2],
    /// Bytes of the cell or shared text so far, inside of those that are read whole.
    cell: usize,
    inside: bool,
    /// Inside the tag of the table of texts: it says how many there are, and is believed.
    table: bool,
    number: u64,
    texts: u64,
    /// The table of texts is kept as a whole.
    keeps_all: bool,
    kept: usize,
}

impl Scan {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        for byte in bytes {
            self.byte(*byte)?;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) -> Result<(), Unreadable> {
        // Only UTF-16 has zeros, and in UTF-16 the tags would go by unseen.
        if byte == 0 {
            return Err(Unreadable::file("has a part that is not UTF-8"));
        }
        self.token += 1;
        if self.token > TOKEN {
            return Err(Unreadable::file(format!(
                "has a text of more than {TOKEN} bytes"
            )));
        }
        if self.inside {
            self.cell += 1;
            if self.cell > CELL {
                return Err(Unreadable::file(format!(
                    "has a cell of more than {CELL} bytes"
                )));
            }
        }
        match self.at {
            At::Text => {
                if byte == b'<' {
                    (self.at, self.token, self.named, self.naming) = (At::Opened, 0, 0, true);
                }
            }
            At::Opened if byte == b'?' => self.at = At::Instruction,
            At::Opened | At::Tag => self.tag(byte)?,
            At::Quoted(quote) => {
                self.digit(byte)?;
                if byte == quote {
                    self.at = At::Tag;
                }
            }
            At::Instruction if byte == b'>' && self.last[1] == b'?' => self.text(),
            At::Comment if byte == b'>' && self.last == *b"--" && self.token > 5 => self.text(),
            At::Data if byte == b'>' && self.last == *b"]]" => self.text(),
            At::Instruction | At::Comment | At::Data => {}
        }
        self.last = [self.last[1], byte];
        Ok(())
    }

    fn text(&mut self) {
        (self.at, self.token) = (At::Text, 0);
    }

    fn tag(&mut self, byte: u8) -> Result<(), Unreadable> {
        self.at = At::Tag;
        self.digit(byte)?;
        let ends =
            matches!(byte, b'>' | b' ' | b'\t' | b'\r' | b'\n') || byte == b'/' && self.named > 0;
        if self.naming && !ends {
            if let Some(place) = self.name.get_mut(self.named) {
                *place = byte;
            }
            self.named += 1;
            match &self.name[..self.named.min(self.name.len())] {
                b"!--" => self.at = At::Comment,
                b"![CDATA[" => self.at = At::Data,
                [b'!', next, ..] if !matches!(next, b'-' | b'[') => {
                    return Err(Unreadable::file("has a part with a document type"));
                }
                _ => {}
            }
            return Ok(());
        }
        if self.naming {
            self.naming = false;
            self.begun()?;
        }
        match byte {
            b'"' | b'\'' => self.at = At::Quoted(byte),
            b'>' => {
                self.table = false;
                self.text();
            }
            _ => {}
        }
        Ok(())
    }

    /// The name of a tag is here.
    fn begun(&mut self) -> Result<(), Unreadable> {
        let name = &self.name[..self.named.min(self.name.len())];
        let (closing, name) = match name {
            [b'/', name @ ..] => (true, name),
            name => (false, name),
        };
        let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
        match local {
            b"sst" => {
                (self.inside, self.cell) = (!closing, 0);
                self.table = !closing;
                self.number = 0;
                self.keeps_all = true;
            }
            b"sheetData" => (self.inside, self.cell) = (!closing, 0),
            b"c" | b"row" => self.cell = 0,
            b"si" => {
                self.cell = 0;
                self.texts += u64::from(!closing);
                if self.texts > TEXTS {
                    return Err(too_many_texts());
                }
            }
            b"xf" | b"font" | b"fill" | b"border" | b"numFmt" | b"dxf" | b"cellStyle"
            | b"sheet" | b"definedName" | b"Relationship" => self.kept += usize::from(!closing),
            _ => {}
        }
        Ok(())
    }

    /// A reader makes room for as many texts as the table says it has: no number there may be larger than could be.
    fn digit(&mut self, byte: u8) -> Result<(), Unreadable> {
        if !self.table {
            return Ok(());
        }
        self.number = match byte {
            b'0'..=b'9' => self
                .number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0')),
            _ => 0,
        };
        if self.number > TEXTS {
            return Err(too_many_texts());
        }
        Ok(())
    }
}

fn too_many_texts() -> Unreadable {
    Unreadable::file(format!("has more than {TEXTS} texts, or says so"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let mut zip = ZipWriter::new(&mut out);
        for (name, bytes) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        out.into_inner()
    }

    fn checked(bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        check(&mut file).map_err(|error| error.rule)
    }

    fn refused(parts: &[(&str, &[u8])]) -> String {
        checked(&archive(parts)).unwrap_err()
    }

    /// The archive, its directory saying that each part expands to so many bytes.
    fn saying(mut bytes: Vec<u8>, size: u32) -> Vec<u8> {
        let headers: Vec<usize> = (0..bytes.len() - 4)
            .filter(|at| bytes[*at..].starts_with(b"PK\x01\x02"))
            .collect();
        for at in headers {
            bytes[at + 24..at + 28].copy_from_slice(&size.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn an_ordinary_workbook_is_none_the_worse() {
        let sheet = b"<?xml version=\"1.0\"?><!-- > made by hand --><x:sheetData a='>'><x:c><v><![CDATA[<]]></v></x:c></x:sheetData>";
        let texts = b"<sst count=\"200\" uniqueCount=\"100000\"><si><t>a</t></si><si/></sst>";
        assert_eq!(
            checked(&archive(&[
                ("xl/sheet.xml", sheet),
                ("xl/sharedStrings.xml", texts),
                ("a.png", b"\0<!\0")
            ])),
            Ok(())
        );
        assert!(checked(b"PK no archive").is_err());
        assert!(checked(b"").is_err());
    }

    #[test]
    fn a_bomb_is_refused_whether_it_says_so_or_not() {
        let honest = saying(archive(&[("xl/sheet.xml", b"<a/>")]), 3_000_000_000);
        assert!(checked(&honest).unwrap_err().starts_with("expands to more"));
        let zeros = vec![b' '; 1 << 20];
        let lying = saying(archive(&[("a.bin", &zeros)]), 1000);
        // The archive's reader or the count, whichever is first.
        let rule = checked(&lying).unwrap_err();
        assert!(
            rule.contains("than it says") || rule.contains("declared"),
            "{rule}"
        );
    }

    #[test]
    fn endless_texts_tags_and_cells_are_refused() {
        let text = format!(
            "<sheetData><c><v>{}</v></c></sheetData>",
            "x".repeat(TOKEN + 1)
        );
        assert!(refused(&[("a.xml", text.as_bytes())]).starts_with("has a text of"));
        let tag = format!("<c a=\"{}\"/>", ">".repeat(TOKEN + 1));
        assert!(refused(&[("a.xml", tag.as_bytes())]).starts_with("has a text of"));
        let comment = format!("<!--{}-->", "<a>".repeat(TOKEN));
        assert!(refused(&[("a.xml", comment.as_bytes())]).starts_with("has a text of"));
        let runs = format!(
            "<sheetData><c><is>{}</is></c></sheetData>",
            "<r><t>xxxx</t></r>".repeat(CELL / 16)
        );
        assert!(refused(&[("a.xml", runs.as_bytes())]).starts_with("has a cell of"));
        let runs = format!(
            "<sst><si>{}</si></sst>",
            "<r><t>xxxx</t></r>".repeat(CELL / 16)
        );
        assert!(refused(&[("a.xml", runs.as_bytes())]).starts_with("has a cell of"));
    }

    #[test]
    fn a_number_of_texts_is_not_believed() {
        for says in [
            "<sst uniqueCount=\"99999999999999\">",
            "<x:sst\tuniqueCount='+1000001' >",
        ] {
            assert!(
                refused(&[("a.xml", says.as_bytes())]).starts_with("has more than 1000000 texts")
            );
        }
        let many = "<si/>".repeat(1_000_001);
        assert!(
            refused(&[("a.xml", format!("<sst>{many}</sst>").as_bytes())])
                .starts_with("has more than 1000000 texts")
        );
        let formats = format!("<cellXfs>{}</cellXfs>", "<xf/>".repeat(KEPT + 1));
        assert!(
            refused(&[("xl/styles.xml", formats.as_bytes())])
                .starts_with("has more than 250000 formats")
        );
    }

    #[test]
    fn what_would_hide_the_tags_is_refused() {
        let utf16: Vec<u8> = "<sst uniqueCount=\"9999999999\">"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(
            refused(&[("xl/sharedStrings.xml", &utf16)]),
            "has a part that is not UTF-8"
        );
        let entity = b"<!DOCTYPE a [<!ENTITY b \"c\">]><a/>";
        assert_eq!(
            refused(&[("a.xml", entity)]),
            "has a part with a document type"
        );
    }

    #[test]
    fn parts_are_counted_as_they_go_by() {
        let mut directory = Directory::default();
        let header = b"PK\x01\x02";
        for _ in 0..PARTS {
            header
                .iter()
                .for_each(|byte| directory.feed(&[*byte]).unwrap());
        }
        assert!(directory.feed(header).is_err());
    }
}
