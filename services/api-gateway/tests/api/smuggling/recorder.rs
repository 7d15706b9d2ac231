//! A service that reads requests as strictly as they can be read, and writes down what it has read.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as it was read.
#[derive(Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} with {} bytes",
            self.method,
            self.target,
            self.body.len()
        )
    }
}

#[derive(Default)]
struct Book {
    seen: Vec<Seen>,
    broken: Vec<String>,
}

/// The service.
pub struct Recorder {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let ours = book.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, ours.clone()));
            }
        });
        Self { address, book }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Requests whose targets hold a text, in the order in which they came.
    pub fn seen(&self, text: &str) -> Vec<Seen> {
        let book = self.book.lock();
        let seen = book.seen.iter().filter(|s| s.target.contains(text));
        seen.cloned().collect()
    }

    /// What could not be read.
    pub fn broken(&self) -> Vec<String> {
        self.book.lock().broken.clone()
    }
}

async fn serve(mut socket: TcpStream, book: Arc<Mutex<Book>>) {
    let mut bytes = Vec::new();
    loop {
        let read = read(&mut socket, &mut bytes).await;
        match read {
            Ok(Some(seen)) => {
                let body = format!("recorded {}", seen.target);
                book.lock().seen.push(seen);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                if socket.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(why) => {
                let shown = String::from_utf8_lossy(&bytes);
                book.lock().broken.push(format!("{why} in {shown:?}"));
                return;
            }
        }
    }
}

/// More bytes; false at the end.
async fn more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut piece = [0; 8192];
    match socket.read(&mut piece).await {
        Ok(length @ 1..) => {
            bytes.extend_from_slice(&piece[..length]);
            true
        }
        _ => false,
    }
}

/// The next request; nothing at the end. A request that is cut off counts as never sent.
async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<Option<Seen>, String> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if !more(socket, bytes).await {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).map_err(|_| "bytes beyond ASCII")?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("{first:?} begins no request"));
    };
    let token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if !token(method) || !target.starts_with('/') || target.bytes().any(|b| b <= b' ' || b >= 0x7f)
    {
        return Err(format!("{first:?} begins no request"));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        let pair = line.split_once(": ").filter(|(name, _)| token(name));
        let (name, value) = pair.ok_or_else(|| format!("{line:?} is no header"))?;
        if value.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err(format!("{line:?} is no header"));
        }
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let of = |name: &str| -> Vec<&str> {
        let own = headers.iter().filter(|(n, _)| n == name);
        own.map(|(_, v)| v.as_str()).collect()
    };
    let mut at = end + 4;
    let body = match (&of("content-length")[..], &of("transfer-encoding")[..]) {
        ([], []) => Vec::new(),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length beyond all bounds")?;
            while bytes.len() < at + length {
                if !more(socket, bytes).await {
                    return Ok(None);
                }
            }
            at += length;
            bytes[at - length..at].to_vec()
        }
        ([], ["chunked"]) => match chunks(socket, bytes, &mut at).await? {
            Some(body) => body,
            None => return Ok(None),
        },
        framing => return Err(format!("the framing {framing:?}")),
    };
    let seen = Seen {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body,
    };
    bytes.drain(..at);
    Ok(Some(seen))
}

async fn chunks(
    socket: &mut TcpStream,
    bytes: &mut Vec<u8>,
    at: &mut usize,
) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes[*at..].windows(2).position(|w| w == b"\r\n") {
                break *at + end;
            }
            if !more(socket, bytes).await {
                return Ok(None);
            }
        };
        let size = String::from_utf8_lossy(&bytes[*at..end]).into_owned();
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("{size:?} is no size of a chunk"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| "a chunk beyond all bounds")?;
        let next = end + 2 + size + 2;
        while bytes.len() < next {
            if !more(socket, bytes).await {
                return Ok(None);
            }
        }
        if &bytes[next - 2..next] != b"\r\n" {
            return Err("a chunk is longer than its size, or a trailer".to_owned());
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        *at = next;
        if size == 0 {
            return Ok(Some(body));
        }
    }
}
