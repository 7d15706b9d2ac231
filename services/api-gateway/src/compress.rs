//! Answers made shorter on their way to a client that can read them so, where the service has not done it.
//!
//! Only reads by a signed-in user are: where a secret stands beside what a stranger has chosen, the length of an answer tells of
//! the secret (BREACH). Streams of events never are, nor what is compressed already, nor a version that a client will name
//! again with `If-Match`.

use std::{
    io::{self, Write},
    str::FromStr,
};

use bytes::Bytes;
use hyper::http::response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way of writing something shorter (RFC 9110, 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// Zstandard, RFC 8878.
    Zstd,
    /// Brotli, RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// As HTTP calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The one that a client would rather have; of several, the first of ours.
    pub fn wanted(accept: &str, ours: &[Self]) -> Option<Self> {
        let weight = |name: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let said = parts.next()?;
                let q = parts.find_map(|p| p.strip_prefix("q="));
                Some((said, q.map_or(1.0, |q| f32::from_str(q).unwrap_or(0.0))))
            });
            let named = |wanted: &str| {
                ranges
                    .clone()
                    .find(|(said, _)| said.eq_ignore_ascii_case(wanted))
            };
            named(name).or_else(|| named("*")).map_or(0.0, |(_, q)| q)
        };
        let mut best = (None, 0.0);
        for coding in ours {
            let q = weight(coding.name());
            if q > best.1 {
                best = (Some(*coding), q);
            }
        }
        best.0
    }
}

/// Whether an answer is of a kind that gets shorter, and may be written otherwise than the service has.
pub fn fits(answer: &response::Parts, length: Option<u64>, least: usize) -> bool {
    let headers = &answer.headers;
    let said = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let whole = answer.status.is_success() && answer.status.as_u16() != 206;
    let kept = ["content-encoding", "content-range", "set-cookie"];
    let version = said("etag").is_some_and(|tag| !tag.starts_with("W/"));
    let fixed = said("cache-control").is_some_and(|c| c.contains("no-transform"));
    let long = length.is_none_or(|length| length >= least as u64);
    let kind = said("content-type").is_some_and(shrinks);
    let kept = kept.iter().any(|name| headers.contains_key(*name));
    whole && long && kind && !kept && !version && !fixed
}

/// Whether things of a kind get shorter.
fn shrinks(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    match kind.split_once('/') {
        Some(("text", sub)) => sub != "event-stream",
        Some(("application", sub)) => {
            let known = ["json", "xml", "javascript", "x-ndjson", "sql", "yaml"];
            known.contains(&sub) || sub.ends_with("+json") || sub.ends_with("+xml")
        }
        Some(("image", sub)) => sub == "svg+xml",
        _ => false,
    }
}

/// Writes one answer.
pub enum Encoder {
    /// Zstandard.
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    /// Brotli.
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Gzip.
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// For one answer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 3)?;
                // RFC 9659: no browser takes more.
                encoder.window_log(21)?;
                Self::Zstd(Box::new(encoder))
            }
            Coding::Br => Self::Br(Box::new(brotli::CompressorWriter::new(out, 4096, 4, 20))),
            Coding::Gzip => {
                let level = flate2::Compression::new(5);
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(out, level)))
            }
        })
    }

    /// A piece, which the client can read at once.
    ///
    /// # Errors
    /// Never, into memory.
    pub fn piece(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        self.write(bytes)?;
        let out = match self {
            Self::Zstd(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Br(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Gzip(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Br(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// What is left.
    ///
    /// # Errors
    /// Never, into memory.
    pub fn end(self) -> io::Result<Bytes> {
        let out = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Br(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        };
        Ok(out.into())
    }

    /// All of an answer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn whole(coding: Coding, bytes: &[u8]) -> io::Result<Bytes> {
        let mut encoder = Self::new(coding)?;
        encoder.write(bytes)?;
        encoder.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    #[test]
    fn a_client_gets_what_it_would_rather_have() {
        let of = |accept| Coding::wanted(accept, &OURS).map(Coding::name);
        assert_eq!(of("gzip, deflate, br, zstd"), Some("zstd"));
        assert_eq!(of("gzip, br"), Some("br"));
        assert_eq!(of("GZIP"), Some("gzip"));
        assert_eq!(of("gzip;q=1.0, br;q=0.5, zstd;q=0"), Some("gzip"));
        assert_eq!(of("*"), Some("zstd"));
        assert_eq!(of("*;q=0.1, zstd;q=0"), Some("br"));
        for none in ["", "identity", "gzip;q=0", "gzip;q=x", "gzipped", "*;q=0"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(Coding::wanted("br", &[Coding::Gzip]), None);
    }

    #[test]
    fn only_what_gets_shorter_and_is_nobody_s_secret_is_written_otherwise() {
        let answer = |headers: &[(&str, &str)], status: u16| {
            let mut answer = hyper::Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(*name, *value);
            }
            answer.body(()).unwrap().into_parts().0
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert!(fits(&answer(&[json], 200), Some(1024), 1024));
        assert!(fits(&answer(&[json, ("etag", "W/\"7\"")], 200), None, 1024));
        assert!(fits(
            &answer(&[("content-type", "text/csv")], 200),
            None,
            1024
        ));
        assert!(!fits(&answer(&[json], 200), Some(1023), 1024));
        assert!(!fits(&answer(&[], 200), None, 1024));
        for status in [206, 304, 404] {
            assert!(!fits(&answer(&[json], status), None, 1024), "{status}");
        }
        for other in [
            ("etag", "\"7\""),
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-1/9"),
            ("cache-control", "private, no-transform"),
            ("set-cookie", "a=b"),
        ] {
            assert!(!fits(&answer(&[json, other], 200), None, 1024), "{other:?}");
        }
        for kind in [
            "text/event-stream",
            "image/png",
            "application/zip",
            "video/mp4",
        ] {
            assert!(
                !fits(&answer(&[("content-type", kind)], 200), None, 1024),
                "{kind}"
            );
        }
    }

    fn read(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Zstd => zstd::stream::copy_decode(bytes, &mut out).unwrap(),
            Coding::Br => brotli::BrotliDecompress(&mut &*bytes, &mut out).unwrap(),
            Coding::Gzip => {
                let mut decoder = flate2::read::GzDecoder::new(bytes);
                io::copy(&mut decoder, &mut out).unwrap();
            }
        }
        out
    }

    #[test]
    fn what_is_written_is_read_as_the_same_and_every_piece_at_once() {
        let text: Vec<u8> = (0..50_000u32).flat_map(|n| (n / 9).to_be_bytes()).collect();
        for coding in OURS {
            let whole = Encoder::whole(coding, &text).unwrap();
            assert!(whole.len() < text.len() / 2, "{coding:?}: {}", whole.len());
            assert_eq!(read(coding, &whole), text);
            let (mut encoder, mut written) = (Encoder::new(coding).unwrap(), Vec::new());
            for piece in text.chunks(9_999) {
                let out = encoder.piece(piece).unwrap();
                assert!(!out.is_empty(), "{coding:?} keeps a piece to itself");
                written.extend(out);
            }
            written.extend(encoder.end().unwrap());
            assert_eq!(read(coding, &written), text);
        }
    }
}
