//! Passwords that are known from breaches: a short list in the program, and a long one on disk where there is one.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, LazyLock},
};

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::Error;

/// The most common ones, in lower case.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("breached.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// Knows breached passwords.
#[derive(Clone, Debug, Default)]
pub struct Breached(Option<Arc<Sorted>>);

impl Breached {
    /// With the file of Have I Been Pwned, ordered by hash, where one is named.
    ///
    /// # Errors
    /// When the file cannot be read, or is another.
    pub fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            Sorted::open(path)
                .with_context(|| format!("BAHI_BREACHED_PASSWORDS={}", path.display()))
        };
        Ok(Self(file.map(open).transpose()?.map(Arc::new)))
    }

    /// Whether a password is known. Case does not make a common one better.
    ///
    /// # Errors
    /// [`Error::BreachedList`] when the file cannot be read any more.
    pub async fn holds(&self, password: &str) -> Result<bool, Error> {
        if COMMON.contains(password.to_lowercase().as_str()) {
            return Ok(true);
        }
        let Some(file) = self.0.clone() else {
            return Ok(false);
        };
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let hash = hex::encode_upper(hash);
        let looked = tokio::task::spawn_blocking(move || file.holds(hash.as_bytes()));
        looked
            .await
            .map_err(|_| Error::Busy)?
            .map_err(Error::BreachedList)
    }
}

/// A file of lines `<SHA-1 in capitals>:<count>`, in order. It is some forty gigabytes, so it is searched where it lies:
/// thirty short reads, most of them of pages that the system keeps.
#[derive(Debug)]
struct Sorted {
    file: File,
    length: u64,
}

/// Characters of a hash.
const HASH: usize = 40;
/// Longer than any line.
const PIECE: usize = 128;

impl Sorted {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let sorted = Self { file, length };
        let first = sorted.line_at(0)?.context("it is empty")?;
        let is_hash = first.iter().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        ensure!(is_hash, "its lines are not <SHA-1 in capitals>:<count>");
        Ok(sorted)
    }

    /// Bisects: `low` and `high` are places between which the line must begin.
    fn holds(&self, hash: &[u8]) -> io::Result<bool> {
        let (mut low, mut high) = (0, self.length);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.line_from(middle)? {
                Some((_, found)) if found == hash => return Ok(true),
                Some((start, found)) if found.as_slice() < hash => low = start + 1,
                _ => high = middle,
            }
        }
        Ok(false)
    }

    /// The first line that begins at a place or after it: where, and its hash.
    fn line_from(&self, place: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let start = if place == 0 {
            0
        } else {
            // Where the line before ends; a line that begins right here counts.
            let piece = self.read(place - 1)?;
            let Some(end) = piece.iter().position(|b| *b == b'\n') else {
                return Ok(None);
            };
            place + end as u64
        };
        Ok(self.line_at(start)?.map(|hash| (start, hash)))
    }

    fn line_at(&self, start: u64) -> io::Result<Option<Vec<u8>>> {
        let mut piece = self.read(start)?;
        let whole = piece.get(HASH) == Some(&b':');
        piece.truncate(HASH);
        Ok(whole.then_some(piece))
    }

    fn read(&self, place: u64) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < PIECE {
            match self
                .file
                .read_at(&mut piece[filled..], place + filled as u64)
            {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(filled);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha1(text: &str) -> String {
        hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
    }

    fn file(name: &str, hashes: &[String], end: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("bahi-breached-{}-{name}", std::process::id()));
        // Counts of every length, as there are.
        let lines = hashes
            .iter()
            .enumerate()
            .map(|(n, hash)| format!("{hash}:{}{end}", n * n * n));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        path
    }

    #[test]
    fn the_list_in_the_program_holds_what_everybody_tries() {
        assert!(COMMON.len() > 2000, "{}", COMMON.len());
        assert!(COMMON.contains("1234567890") && COMMON.contains("qwertyuiop"));
        for line in COMMON.iter() {
            assert!(
                line.chars().count() >= 10 && *line == line.to_lowercase(),
                "{line}"
            );
        }
    }

    #[test]
    fn finds_every_line_of_a_file_and_nothing_else() {
        for (name, end) in [("unix", "\n"), ("dos", "\r\n")] {
            for count in [1, 2, 3, 10, 500] {
                let mut hashes: Vec<_> =
                    (0..count).map(|n| sha1(&format!("password {n}"))).collect();
                hashes.sort();
                let path = file(name, &hashes, end);
                let sorted = Sorted::open(&path).unwrap();
                for hash in &hashes {
                    assert!(sorted.holds(hash.as_bytes()).unwrap(), "{count} {hash}");
                }
                for n in 0..500 {
                    let other = sha1(&format!("another {n}"));
                    assert!(!sorted.holds(other.as_bytes()).unwrap(), "{count} {other}");
                }
                for edge in ["0".repeat(HASH), "F".repeat(HASH)] {
                    assert!(!sorted.holds(edge.as_bytes()).unwrap());
                }
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    #[test]
    fn refuses_a_file_that_is_none() {
        let path = file("none", &["not a hash".to_owned()], "\n");
        assert!(Breached::new(Some(&path)).is_err());
        std::fs::write(&path, "").unwrap();
        assert!(Breached::new(Some(&path)).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(Breached::new(Some(&path)).is_err());
        assert!(Breached::new(None).is_ok());
    }

    #[tokio::test]
    async fn a_file_is_asked_for_the_password_as_it_is() {
        let path = file("asked", &[sha1("Long and breached")], "\r\n");
        let breached = Breached::new(Some(&path)).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(breached.holds("Long and breached").await.unwrap());
        assert!(!breached.holds("long and breached").await.unwrap());
        assert!(
            breached.holds("QwertyUiop").await.unwrap(),
            "the short list as well"
        );
        assert!(!breached.holds("correct horse battery").await.unwrap());
    }
}
