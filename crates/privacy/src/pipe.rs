//! From files as they are written to a zip in the store, in flat memory: a thread compresses, and what it has made goes
//! up in parts.

use std::io::{Error as IoError, Write};

use bahi_objects::{Objects, Upload};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::Error;

/// Bytes of a part. A store takes ten thousand parts.
const PART: usize = 8 << 20;
/// What may wait on its way to the thread.
const AHEAD: usize = 4;

/// Something for the archive.
enum Piece {
    /// A file begins; one that is compressed already is stored as it is.
    Begin { name: String, packed: bool },
    /// More of it, with so many rows in it.
    More { bytes: Bytes, rows: i64 },
    /// The archive ends with a manifest, of which this is the head.
    End(Value),
}

/// A file of the archive.
#[derive(Debug, Default, Serialize)]
struct Entry {
    file: String,
    rows: i64,
    bytes: u64,
    sha256: String,
}

/// The way into an archive.
#[derive(Clone)]
pub(crate) struct Pipe(mpsc::Sender<Piece>);

impl Pipe {
    /// Begins a file.
    pub(crate) async fn begin(&self, name: String, packed: bool) -> Result<(), Error> {
        self.send(Piece::Begin { name, packed }).await
    }

    /// Goes on with it.
    pub(crate) async fn more(&self, bytes: Bytes, rows: i64) -> Result<(), Error> {
        self.send(Piece::More { bytes, rows }).await
    }

    /// Ends the archive.
    pub(crate) async fn end(self, head: Value) -> Result<(), Error> {
        self.send(Piece::End(head)).await
    }

    async fn send(&self, piece: Piece) -> Result<(), Error> {
        // Why the thread gave up is its own to say.
        let closed = |_| Error::Archive("it was given up".into());
        self.0.send(piece).await.map_err(closed)
    }
}

/// An archive that is in the store.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub rows: i64,
    pub bytes: i64,
    pub sha256: String,
}

/// Puts what `fill` sends into an archive under `key`. Nothing lies there unless all went well.
pub(crate) async fn pack<F>(
    store: &Objects,
    key: &str,
    fill: impl FnOnce(Pipe) -> F,
) -> Result<Stored, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let (pieces, taken) = mpsc::channel(AHEAD);
    let (parts, mut ready) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking(move || compress(taken, parts));
    let mut upload = store.begin(key, "application/zip").await?;
    let send = async {
        while let Some(part) = ready.recv().await {
            upload.part(part).await?;
        }
        // Dropping `ready` on the way out stops the thread, and that the filling.
        Ok::<Upload, Error>(upload)
    };
    let (filled, sent) = tokio::join!(fill(Pipe(pieces)), send);
    let upload = sent?;
    let packed = thread.await;
    let packed = packed.map_err(|error| Error::Archive(error.to_string()));
    match filled.and(packed.and_then(|packed| packed)) {
        Ok(stored) => {
            upload.complete().await?;
            Ok(stored)
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

fn compress(
    mut pieces: mpsc::Receiver<Piece>,
    parts: mpsc::Sender<Bytes>,
) -> Result<Stored, Error> {
    let broken = |error: &dyn std::fmt::Display| Error::Archive(error.to_string());
    let mut zip = ZipWriter::new_stream(Parts::new(parts));
    let mut entries: Vec<Entry> = Vec::new();
    let mut sum = Sha256::new();
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Begin { name, packed } => {
                close(&mut entries, &mut sum);
                zip.start_file(&name, how(packed)).map_err(|e| broken(&e))?;
                entries.push(Entry {
                    file: name,
                    ..Entry::default()
                });
            }
            Piece::More { bytes, rows } => {
                sum.update(&bytes);
                zip.write_all(&bytes).map_err(|e| broken(&e))?;
                if let Some(entry) = entries.last_mut() {
                    entry.rows += rows;
                    entry.bytes += bytes.len() as u64;
                }
            }
            Piece::End(head) => {
                close(&mut entries, &mut sum);
                let rows = entries.iter().map(|entry| entry.rows).sum();
                let manifest = json!({ "export": head, "files": entries });
                zip.start_file("manifest.json", how(false))
                    .map_err(|e| broken(&e))?;
                serde_json::to_writer_pretty(&mut zip, &manifest).map_err(|e| broken(&e))?;
                let parts = zip.finish().map_err(|e| broken(&e))?.into_inner();
                let (bytes, sha256) = parts.end().map_err(|e| broken(&e))?;
                return Ok(Stored {
                    rows,
                    bytes,
                    sha256,
                });
            }
        }
    }
    Err(Error::Archive("it broke off".into()))
}

fn how(packed: bool) -> SimpleFileOptions {
    let method = if packed {
        CompressionMethod::Stored
    } else {
        CompressionMethod::Deflated
    };
    SimpleFileOptions::default()
        .compression_method(method)
        .large_file(true)
}

fn close(entries: &mut [Entry], sum: &mut Sha256) {
    if let Some(entry) = entries.last_mut() {
        entry.sha256 = hex::encode(sum.finalize_reset());
    }
}

/// Cuts a stream into parts, and sums it up.
struct Parts {
    to: mpsc::Sender<Bytes>,
    part: Vec<u8>,
    sum: Sha256,
    bytes: i64,
}

impl Parts {
    fn new(to: mpsc::Sender<Bytes>) -> Self {
        let part = Vec::with_capacity(PART);
        Self {
            to,
            part,
            sum: Sha256::new(),
            bytes: 0,
        }
    }

    fn pass(&mut self) -> std::io::Result<()> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        self.sum.update(&part);
        self.bytes += part.len() as i64;
        let gone = |_| IoError::other("nobody takes the parts");
        self.to.blocking_send(part.into()).map_err(gone)
    }

    fn end(mut self) -> std::io::Result<(i64, String)> {
        self.pass()?;
        Ok((self.bytes, hex::encode(self.sum.finalize())))
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let some = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..some]);
        if self.part.len() == PART {
            self.pass()?;
        }
        Ok(some)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
