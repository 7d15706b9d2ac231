//! Requests to servers that a business has named: bounded in time and size, and kept out of our own network.
//!
//! * `https` alone, with the roots of the system. No redirect is followed and no proxy of the environment is used.
//! * Addresses that are not public are refused after the name was resolved, by the connection itself: a name that
//!   resolves otherwise a moment later gains nothing.
//! * Where private addresses are allowed, by a setting for development and for providers inside the company's own
//!   network, plain `http` is too, and to this machine alone.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
    http::request::Builder,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, builderstates::WantsSchemes};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use tower_service::Service;
use url::{Host, Url};

/// Longest answer that is read, in bytes.
const LONGEST: usize = 256 * 1024;

/// Why there is no answer. It is told to administrators, so it says nothing of what else is in our network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The address is none that we call.
    #[error("the address is not a public https address")]
    Address,
    /// No connection, no answer in time, or one that breaks off.
    #[error("it cannot be reached, or does not answer in time")]
    Unreachable,
    /// It sends us elsewhere.
    #[error("it answers with a redirect, which is not followed")]
    Redirect,
    /// Another status than 200.
    #[error("it answers with status {0}")]
    Status(u16),
    /// The answer does not end.
    #[error("its answer is longer than 256 KiB")]
    TooLong,
}

type Connector = HttpsConnector<HttpConnector<Resolver>>;
type ConnectorBuilder = HttpsConnectorBuilder<WantsSchemes>;

/// A client for such servers. Clones share its connections.
#[derive(Clone)]
pub struct Egress {
    /// None where the system has no roots: then only plain `http` to this machine works.
    client: Option<Client<Connector, Full<Bytes>>>,
    private: bool,
    patience: Duration,
}

impl Egress {
    /// A client that waits so long for a whole answer; `private` addresses are allowed or not.
    pub fn new(private: bool, patience: Duration) -> Self {
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        if let Err(error) = &roots {
            tracing::warn!(%error, "no root certificates: identity providers cannot be reached");
        }
        Self::over(roots.ok(), private, patience)
    }

    fn over(tls: Option<ConnectorBuilder>, private: bool, patience: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver { private });
        http.enforce_http(false);
        http.set_connect_timeout(Some(patience));
        let client = tls.map(|tls| {
            let connector = tls.https_or_http().enable_http1().wrap_connector(http);
            Client::builder(TokioExecutor::new()).build(connector)
        });
        Self {
            client,
            private,
            patience,
        }
    }

    /// Reads an address that we call: absolute, without credentials or fragment, and not one of a network of ours. What
    /// its name resolves to is looked at when it is called.
    ///
    /// # Errors
    /// [`Failed::Address`].
    pub fn address(&self, text: &str) -> Result<Url, Failed> {
        let url = Url::parse(text).map_err(|_| Failed::Address)?;
        let plain =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let host = url.host().ok_or(Failed::Address)?;
        let scheme = match url.scheme() {
            "https" => true,
            "http" => self.private && is_here(&host),
            _ => false,
        };
        let address = match host {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            Host::Domain(_) => None,
        };
        let reachable = self.private || address.is_none_or(is_public);
        if plain && scheme && reachable {
            Ok(url)
        } else {
            Err(Failed::Address)
        }
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn get(&self, address: &str) -> Result<Bytes, Failed> {
        let url = self.address(address)?;
        let request = Request::get(url.as_str());
        match self.send(request, Bytes::new()).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(Failed::Status(status.as_u16())),
        }
    }

    /// POSTs a form, with the credentials of a client where it has some; status and body.
    ///
    /// # Errors
    /// [`Failed`]; a status is none.
    pub async fn post(
        &self,
        address: &str,
        credentials: Option<(&str, &str)>,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes), Failed> {
        let url = self.address(address)?;
        let mut request =
            Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some((id, secret)) = credentials {
            // RFC 6749, 2.3.1: each is encoded as in a form first.
            let pair = format!("{}:{}", encoded(id), encoded(secret));
            request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        self.send(request, form.into()).await
    }

    async fn send(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Bytes), Failed> {
        let client = self.client.as_ref().ok_or(Failed::Unreachable)?;
        let request = request
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "Bahi")
            .body(Full::new(body))
            .map_err(|_| Failed::Address)?;
        let exchange = async {
            let answer = client.request(request).await.map_err(|error| {
                tracing::info!(%error, "an identity provider cannot be reached");
                Failed::Unreachable
            })?;
            let status = answer.status();
            if status.is_redirection() {
                return Err(Failed::Redirect);
            }
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    Failed::TooLong
                } else {
                    Failed::Unreachable
                }
            })?;
            Ok((status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(self.patience, exchange).await;
        answered.unwrap_or(Err(Failed::Unreachable))
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Whether a host is this machine.
fn is_here(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(v4) => v4.is_loopback(),
        Host::Ipv6(v6) => v6.is_loopback(),
    }
}

/// Whether an address is one of the public network.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || a == 0
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // behind a carrier's translation
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || (a == 192 && b == 0 && c == 0);
    !special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // An IPv4 address in another dress: mapped, translated (64:ff9b::/96), or 6to4.
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(v4(segments[6], segments[7]));
    }
    if segments[0] == 0x2002 {
        return is_public_v4(v4(segments[1], segments[2]));
    }
    // What is in use of the public network begins with 001; of that, 2001:0::/23 is special and 2001:db8::/32 for documents.
    let global = segments[0] & 0xe000 == 0x2000;
    let special = segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8);
    global && !special
}

/// Resolves names to addresses that we call.
#[derive(Clone)]
struct Resolver {
    private: bool,
}

type Resolved = Result<std::vec::IntoIter<SocketAddr>, std::io::Error>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Resolved> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Vec<_> = all.filter(|a| private || is_public(a.ip())).collect();
            if kept.is_empty() {
                return Err(std::io::Error::other("no public address"));
            }
            Ok(kept.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ClientConfig, RootCertStore, ServerConfig},
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Serves `{}` over TLS at a port of `localhost`, with a certificate for `name` that ends on the first day of `until`.
    async fn provider(authority: &Authority, name: &str, until: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, authority).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!(
            "https://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let mut stream = acceptor.accept(stream).await?;
            let _ = stream.read(&mut [0; 1024]).await?;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer).await?;
            stream.shutdown().await
        });
        address
    }

    /// A client that trusts one authority and no other.
    fn trusting(authority: &Authority) -> Egress {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = HttpsConnectorBuilder::new().with_tls_config(config);
        Egress::over(Some(tls), true, Duration::from_secs(20))
    }

    #[tokio::test]
    async fn a_certificate_is_good_from_a_trusted_authority_for_the_name_and_in_its_time() {
        let (ours, other) = (authority(), authority());
        let client = trusting(&ours);
        let good = provider(&ours, "localhost", 4000).await;
        assert_eq!(client.get(&good).await.unwrap(), "{}");
        for (who, name, until) in [
            (&other, "localhost", 4000),
            (&ours, "id.example.com", 4000),
            (&ours, "localhost", 2020),
        ] {
            let wrong = provider(who, name, until).await;
            let refused = client.get(&wrong).await;
            assert_eq!(refused, Err(Failed::Unreachable), "{name} {until}");
        }
        // Nor do the roots of the system speak for it.
        let good = provider(&ours, "localhost", 4000).await;
        let system = Egress::new(true, Duration::from_secs(20));
        assert_eq!(system.get(&good).await, Err(Failed::Unreachable));
    }

    #[test]
    fn knows_what_is_not_public() {
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "8.8.8.8",
            "100.63.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "::ffff:8.8.8.8",
            "2001:4860::8888",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn calls_https_outside_and_plain_http_at_home_alone() {
        let out = Egress::new(false, Duration::from_secs(1));
        for good in [
            "https://id.example.com",
            "https://id.example.com:8443/realms/a",
            "https://8.8.8.8/",
        ] {
            assert!(out.address(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://id.example.com",
            "http://127.0.0.1:1/",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user:pw@id.example.com/",
            "https://id.example.com/#a",
            "file:///etc/passwd",
            "ftp://id.example.com",
            "id.example.com",
            "",
        ] {
            assert_eq!(out.address(wrong), Err(Failed::Address), "{wrong}");
        }
        let home = Egress::new(true, Duration::from_secs(1));
        for good in [
            "http://127.0.0.1:1/",
            "http://localhost:1/",
            "http://[::1]/",
            "https://10.0.0.1/",
        ] {
            assert!(home.address(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://10.0.0.1/",
            "http://id.example.com/",
            "http://localhost.example.com/",
        ] {
            assert!(home.address(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_by_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let out = Egress::new(false, Duration::from_secs(20));
        let url = format!("https://localhost:{port}/");
        // The address is fine as a text; nothing reaches the listener.
        assert!(out.address(&url).is_ok());
        assert_eq!(out.get(&url).await, Err(Failed::Unreachable));
        let reached = tokio::time::timeout(Duration::from_millis(50), listener.accept());
        assert!(reached.await.is_err(), "somebody called");
        // The same call without the guard does arrive: the guard it is that keeps it out.
        let home = Egress::new(true, Duration::from_secs(20));
        let (_, arrived) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(5), home.get(&url)),
            async {
                let arrived = listener.accept().await;
                drop(listener);
                arrived
            }
        );
        assert!(arrived.is_ok());
    }
}
