//! The bytes of a text file as UTF-8, whatever spreadsheets save: UTF-8 or UTF-16, with or without a byte order mark.

/// A byte that no UTF-8 has: what cannot be decoded becomes it, and its cell a flaw.
const BROKEN: u8 = 0xff;

/// How the file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Encoding {
    /// Not known before its first bytes are here.
    #[default]
    Unknown,
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// A decoder that is fed piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    encoding: Encoding,
    /// Bytes that wait for those that follow: the first of the file, or half a unit.
    held: Vec<u8>,
    /// The first half of a character that takes two units.
    high: Option<u16>,
}

impl Decoder {
    /// Takes the next bytes; UTF-8 goes through as it is.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.encoding == Encoding::Unknown {
            self.held.extend_from_slice(bytes);
            // A mark of three bytes is the longest.
            if self.held.len() >= 3 {
                self.begin(out);
            }
            return;
        }
        self.read(bytes, out);
    }

    /// Ends the file.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.encoding == Encoding::Unknown {
            self.begin(out);
        }
        if self.high.take().is_some() || !self.held.is_empty() {
            self.held.clear();
            out.push(BROKEN);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        let head = std::mem::take(&mut self.held);
        // A header begins with a letter that is a byte in UTF-8; of its two bytes in UTF-16 one is zero.
        let (encoding, mark) = match head.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
            [first, 0, ..] if *first != 0 => (Encoding::Utf16Le, 0),
            [0, second, ..] if *second != 0 => (Encoding::Utf16Be, 0),
            _ => (Encoding::Utf8, 0),
        };
        self.encoding = encoding;
        self.read(&head[mark..], out);
    }

    fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let unit: fn([u8; 2]) -> u16 = match self.encoding {
            Encoding::Utf16Le => u16::from_le_bytes,
            Encoding::Utf16Be => u16::from_be_bytes,
            Encoding::Unknown | Encoding::Utf8 => return out.extend_from_slice(bytes),
        };
        let mut bytes = bytes;
        if let (Some(first), Some((second, rest))) = (self.held.pop(), bytes.split_first()) {
            self.unit(unit([first, *second]), out);
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks::<2>();
        for pair in pairs {
            self.unit(unit(*pair), out);
        }
        self.held.extend_from_slice(rest);
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        let mut put = |character: Option<char>| match character {
            Some(character) => {
                let mut bytes = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
            None => out.push(BROKEN),
        };
        let pair = self.high.take();
        match (pair, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                return put(char::decode_utf16([high, unit]).next().and_then(Result::ok));
            }
            (Some(_), _) => put(None),
            (None, _) => {}
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            0xdc00..=0xdfff => put(None),
            _ => put(char::from_u32(u32::from(unit))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(file: &[u8]) -> Vec<u8> {
        let whole = |piece: usize| {
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            file.chunks(piece)
                .for_each(|bytes| decoder.feed(bytes, &mut out));
            decoder.finish(&mut out);
            out
        };
        let all = whole(file.len().max(1));
        for piece in [1, 2, 3, 5] {
            assert_eq!(whole(piece), all, "pieces of {piece}");
        }
        all
    }

    fn utf16(text: &str, mark: bool, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter()
            .chain(text.encode_utf16())
            .flat_map(unit)
            .collect()
    }

    #[test]
    fn every_encoding_of_a_spreadsheet_is_the_same_text() {
        let text = "sku,name\nA,चाय 🍵\n";
        assert_eq!(decoded(text.as_bytes()), text.as_bytes());
        assert_eq!(
            decoded(format!("\u{feff}{text}").as_bytes()),
            text.as_bytes()
        );
        for mark in [true, false] {
            assert_eq!(
                decoded(&utf16(text, mark, u16::to_le_bytes)),
                text.as_bytes()
            );
            assert_eq!(
                decoded(&utf16(text, mark, u16::to_be_bytes)),
                text.as_bytes()
            );
        }
        assert_eq!(decoded(b""), b"");
        assert_eq!(decoded(b"a"), b"a");
    }

    #[test]
    fn half_a_character_is_broken_and_the_rest_is_not() {
        let mut file = utf16("a", true, u16::to_le_bytes);
        file.extend([0x00, 0xd8]);
        file.extend(utf16("b", false, u16::to_le_bytes));
        file.extend([0x00, 0xdc, b'c']);
        assert_eq!(decoded(&file), [b'a', BROKEN, b'b', BROKEN, BROKEN]);
    }
}
