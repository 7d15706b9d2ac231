//! Poppler: an independent reader of PDFs.

use std::{path::Path, process::Command};

/// A page in shades of grey.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub bytes: Vec<u8>,
}

impl Picture {
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && self.bytes[y * self.width + x] < 128
    }
}

fn run(tool: &str, arguments: &[&str], file: &Path) -> Vec<u8> {
    let folders =
        std::env::var("BAHI_TEST_POPPLER").expect("BAHI_TEST_POPPLER: scripts/infra test env");
    let (tools, libraries) = folders.split_once(':').unwrap_or((&folders, ""));
    let output = Command::new(Path::new(tools).join(tool))
        .env("LD_LIBRARY_PATH", libraries)
        .args(&arguments[..arguments.len() - 1])
        .arg(file)
        .arg(arguments[arguments.len() - 1])
        .output()
        .expect("poppler runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && !said.contains("Error"),
        "{tool}: {said}"
    );
    output.stdout
}

fn with_file<T>(pdf: &[u8], f: impl FnOnce(&Path) -> T) -> T {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pdf).unwrap();
    f(file.path())
}

/// The text as a reader copies it; `mode` is `-layout` or `-raw`.
pub fn text(pdf: &[u8], mode: &str) -> String {
    let bytes = with_file(pdf, |file| run("pdftotext", &[mode, "-"], file));
    String::from_utf8(bytes).unwrap()
}

/// The first page, a dot for each point.
pub fn picture(pdf: &[u8]) -> Picture {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("page");
    let root = root.to_str().unwrap();
    let arguments = ["-r", "72", "-gray", "-singlefile", root];
    with_file(pdf, |file| run("pdftoppm", &arguments, file));
    let bytes = std::fs::read(format!("{root}.pgm")).unwrap();
    // P5, width, height, 255, each followed by white space.
    let mut head = bytes.splitn(4, |b| b.is_ascii_whitespace());
    let number = |part: Option<&[u8]>| -> usize {
        std::str::from_utf8(part.unwrap()).unwrap().parse().unwrap()
    };
    assert_eq!(head.next().unwrap(), b"P5");
    let (width, height) = (number(head.next()), number(head.next()));
    let body = head.next().unwrap();
    let body = &body[body.iter().position(u8::is_ascii_whitespace).unwrap() + 1..];
    assert_eq!(body.len(), width * height);
    Picture {
        width,
        height,
        bytes: body.to_vec(),
    }
}
