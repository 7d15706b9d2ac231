//! Doors in front of PostgreSQL: one lets a COMMIT in and never lets its answer out, one takes the application's own
//! tenant filters out of its statements.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use bahi_testkit::eventually;
use regex::bytes::{Captures, Regex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes everything between a service and its database, until a connection that has sent a statement with the marker
/// sends COMMIT: the database gets it, and from then on the service hears nothing on any connection.
pub struct Gate {
    url: String,
    shut: watch::Receiver<bool>,
}

impl Gate {
    /// A gate to the database of `url`, armed for the transaction that says `marker`.
    pub async fn to(url: &str, marker: &'static str) -> Self {
        let (shutter, shut) = watch::channel(false);
        let shutter = Arc::new(shutter);
        let url = door(url, move |service, postgres| {
            pass(service, postgres, marker, shutter.clone())
        })
        .await;
        Self { url, shut }
    }

    /// The database's URL, through this gate.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the COMMIT has gone in and `done` sees what it wrote.
    pub async fn committed<F: Future<Output = bool>>(&self, done: impl Fn() -> F) {
        let done = &done;
        eventually(|| async { (*self.shut.borrow() && done().await).then_some(()) }).await;
    }
}

/// Listens in the place of the database of `url`; returns the URL that leads there.
async fn door<F>(url: &str, pass: impl Fn(TcpStream, TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("a port").to_string();
    let rest = url.split_once('@').expect("a user").1;
    let database = rest.split_once('/').expect("a database").0.to_owned();
    let through = url.replacen(&database, &own, 1);
    tokio::spawn(async move {
        while let Ok((service, _)) = listener.accept().await {
            let Ok(postgres) = TcpStream::connect(&database).await else {
                continue;
            };
            service.set_nodelay(true).ok();
            postgres.set_nodelay(true).ok();
            tokio::spawn(pass(service, postgres));
        }
    });
    through
}

/// Takes the filters on the tenant out of a service's statements on the wire: what still keeps tenants apart is
/// row-level security alone.
pub struct Unfiltered {
    url: String,
    taken: Arc<AtomicUsize>,
}

impl Unfiltered {
    /// A way to the database of `url`.
    pub async fn to(url: &str) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let url = door(url, move |service, postgres| {
            unfiltered(service, postgres, count.clone())
        })
        .await;
        Self { url, taken }
    }

    /// The database's URL, through this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many filters were taken out.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn unfiltered(service: TcpStream, postgres: TcpStream, taken: Arc<AtomicUsize>) {
    static FILTER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?:"?[a-z_]+"?\.)?"?tenant_id"? = (\$[0-9]+)"#).expect("a pattern")
    });
    let (mut from_service, mut to_service) = service.into_split();
    let (mut from_postgres, mut to_postgres) = postgres.into_split();
    let inward = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_service.read(&mut buffer).await {
            let sent = FILTER.replace_all(&buffer[..length], |found: &Captures<'_>| {
                taken.fetch_add(1, Ordering::Relaxed);
                // As long as before, because the message says its length.
                let mut always = [&found[1], b" is not null"].concat();
                always.resize(found[0].len(), b' ');
                always
            });
            if to_postgres.write_all(&sent).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        _ = tokio::io::copy(&mut from_postgres, &mut to_service) => {}
    }
}

async fn pass(
    service: TcpStream,
    postgres: TcpStream,
    marker: &str,
    shutter: Arc<watch::Sender<bool>>,
) {
    let (mut from_service, mut to_service) = service.into_split();
    let (mut from_postgres, mut to_postgres) = postgres.into_split();
    let mut shut = shutter.subscribe();
    let inward = async {
        let (mut buffer, mut marked, mut seen) = (vec![0; 1 << 16], false, Vec::new());
        while let Ok(length @ 1..) = from_service.read(&mut buffer).await {
            let sent = &buffer[..length];
            // What is looked for may come in two pieces.
            seen.drain(..seen.len().saturating_sub(64));
            seen.extend_from_slice(sent);
            let says = |text: &[u8]| {
                let mut places = seen.windows(text.len());
                places.any(|w| w.eq_ignore_ascii_case(text))
            };
            marked |= says(marker.as_bytes());
            // The message Query, whole: the word alone is also in statements.
            if marked && says(b"Q\0\0\0\x0bCOMMIT\0") {
                shutter.send_replace(true);
            }
            if to_postgres.write_all(sent).await.is_err() {
                return;
            }
        }
    };
    let outward = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_postgres.read(&mut buffer).await {
            if *shut.borrow_and_update() {
                std::future::pending::<()>().await;
            }
            if to_service.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}
