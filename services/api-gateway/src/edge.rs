//! The rules of the edge: paths, headers in and out, CORS.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use bahi_http::{Fault, Problem};
use bahi_service::Connection;

use crate::{
    Gateway,
    config::Network,
    held::{self, Holding},
};

/// The path to route by. Refuses paths that two parsers might read differently, so that what we authorise is what the
/// service serves.
pub fn path_of(req: &HttpRequest) -> Result<Cow<'_, str>, Fault> {
    let host = req.headers().get(header::HOST).map(HeaderValue::as_bytes);
    if !host.is_none_or(is_host) {
        return Err(Fault::Malformed("the host is none".into()));
    }
    // An absolute-form target names a host of its own; it must be the one of the Host header.
    if let Some(authority) = req.uri().authority()
        && host != Some(authority.as_str().as_bytes())
    {
        return Err(Fault::Malformed("the target names another host".into()));
    }
    plain(req.uri().path()).ok_or_else(|| Fault::Malformed("the path is ambiguous".into()))
}

/// Whether a Host is a name or an address, perhaps with a port: nothing that another parser might look for a path or a user in.
fn is_host(host: &[u8]) -> bool {
    host.iter()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(b))
}

/// The path as services read it, if there is only one way to: no empty or dot segments, nothing encoded that needs no
/// encoding, no separators or control characters in disguise, nothing but UTF-8.
fn plain(path: &str) -> Option<Cow<'_, str>> {
    let bytes = path.as_bytes();
    let mut colon = false;
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'/' => {
                let rest = &bytes[at + 1..];
                let segment = rest
                    .iter()
                    .take(3)
                    .position(|b| *b == b'/')
                    .map_or(rest, |end| &rest[..end]);
                let empty = segment.is_empty() && !rest.is_empty();
                if empty || segment == b"." || segment == b".." {
                    return None;
                }
            }
            b'%' => {
                let digits = path
                    .get(at + 1..at + 3)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                let byte = u8::from_str_radix(digits, 16).ok()?;
                if byte.is_ascii_alphanumeric()
                    || byte.is_ascii_control()
                    || b"-._~/\\".contains(&byte)
                {
                    return None;
                }
                colon |= byte == b':';
                decoded.push(byte);
                at += 3;
                continue;
            }
            b'\\' | 0..=b' ' | 0x7f.. => return None,
            _ => {}
        }
        if !decoded.is_empty() {
            decoded.push(bytes[at]);
        }
        at += 1;
    }
    std::str::from_utf8(&decoded).ok()?;
    // A colon begins a verb, and routes end at it; some clients encode it.
    Some(if colon {
        Cow::Owned(path.replace("%3A", ":").replace("%3a", ":"))
    } else {
        Cow::Borrowed(path)
    })
}

/// Whose address a request counts as: the peer's, or the one that a load balancer of ours reports.
pub fn client(req: &HttpRequest, proxies: &[Network]) -> IpAddr {
    let peer = req
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    let ours = |ip: IpAddr| proxies.iter().any(|network| network.contains(ip));
    if !ours(peer) {
        return peer;
    }
    let lines: Vec<&HeaderValue> = req.headers().get_all("x-forwarded-for").collect();
    let hops = lines.into_iter().rev();
    reported(
        peer,
        hops.flat_map(|line| line.as_bytes().rsplit(|b| *b == b',')),
        ours,
    )
}

/// From the last hop to the first: each was added by the one after it, so whose word is not ours ends the tale, and nobody
/// knows what stands before a hop that is no address.
fn reported<'a>(
    peer: IpAddr,
    hops: impl Iterator<Item = &'a [u8]>,
    ours: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut known = peer;
    for hop in hops.map_while(address) {
        known = hop;
        if !ours(known) {
            break;
        }
    }
    known
}

/// The address of a hop, which some write with its port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let with_port = || hop.parse().map(|socket: SocketAddr| socket.ip());
    bare.unwrap_or(hop).parse().or_else(|_| with_port()).ok()
}

/// The headers of a client that go on to the service. Who the client is travels in the signed token alone, and whatever
/// else looks like a claim of it stays here.
const FORWARDED: [&str; 18] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "prefer",
    "range",
    "tracestate",
    "user-agent",
];

/// The headers that a page of another origin may send: what goes on to the service and is not the browser's own affair, and
/// what the gateway reads itself.
const OF_PAGES: &str = "authorization, content-disposition, content-encoding, content-type, idempotency-key, if-match, \
                        if-modified-since, if-none-match, if-range, if-unmodified-since, last-event-id, prefer, range, \
                        traceparent, tracestate, x-request-id";

/// Whether a client's header goes on to the service; `connection` is its `Connection` header.
pub fn forwards(name: &HeaderName, connection: &str) -> bool {
    FORWARDED.contains(&name.as_str()) && !named(connection, name.as_str())
}

/// Headers of an answer that are about one connection, or that the gateway says itself.
const KEPT: [&str; 12] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Whether a service's header goes back to the client; `connection` is its `Connection` header.
pub fn returns(name: &str, connection: &str) -> bool {
    !KEPT.contains(&name) && !name.starts_with("access-control-") && !named(connection, name)
}

fn named(connection: &str, name: &str) -> bool {
    !connection.is_empty()
        && connection
            .split(',')
            .any(|n| n.trim().eq_ignore_ascii_case(name))
}

/// The methods there are.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Longest target and headers, in bytes.
const HEAD: usize = 32 * 1024;

fn length_of(req: &ServiceRequest) -> usize {
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let target = req.uri().path_and_query().map_or(0, |p| p.as_str().len());
    target + req.headers().iter().map(line).sum::<usize>()
}

/// Middleware: answers CORS preflights and adds the security headers to every answer.
///
/// # Errors
/// Whatever the handler answers.
pub async fn headers<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let state = req.app_data::<web::Data<Gateway>>().map(|g| g.now());
    if let (Some(state), Some(connection)) = (&state, Connection::of(req.request())) {
        connection.patience(state.0.config.stream_idle);
    }
    let origin = req.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|o| {
        let known = state
            .as_ref()
            .map(|s| s.0.config.origins.as_slice())
            .unwrap_or_default();
        o.to_str().is_ok_and(|o| known.iter().any(|k| k == o))
    });
    let wants_upgrade = req.head().upgrade();
    let body = held::hold(&mut req);
    let mut unread = false;
    let mut response = if req.method() == Method::OPTIONS {
        let mut answer = HttpResponse::NoContent();
        answer.insert_header((header::ALLOW, METHODS));
        if allowed.is_some() {
            answer
                .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, OF_PAGES))
                .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"));
        }
        unread = !held::read_away(&mut req).await;
        req.into_response(answer.finish()).map_into_right_body()
    } else if length_of(&req) > HEAD {
        unread = true;
        let refused = Problem::from(crate::error::Error::HeadTooLong(HEAD)).error_response();
        req.into_response(refused).map_into_right_body()
    } else {
        next.call(req).await?.map_into_left_body()
    };
    if let Some(origin) = allowed {
        let out = response.headers_mut();
        out.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        out.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "etag, idempotency-hit, location, retry-after, x-request-id, ratelimit-limit, ratelimit-remaining, \
                 ratelimit-reset",
            ),
        );
    }
    // Whoever is still sending a body that nobody reads may not go on for ever, nor be taken for sending requests.
    let given_up = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::BAD_GATEWAY,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    // The server reads whatever follows an upgrade as the other protocol's: say that nothing may follow.
    let refused = wants_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
    unread |= given_up.contains(&response.status());
    if refused || unread {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    if let Some(body) = body {
        response = response.map_body(|_, answer| EitherBody::right(Holding::body(answer, body)));
    }
    let hsts = state.is_some_and(|s| s.0.config.hsts);
    secure(response.headers_mut(), hsts);
    Ok(response)
}

fn secure(out: &mut HeaderMap, hsts: bool) {
    out.append(header::VARY, HeaderValue::from_static("Origin"));
    let mut add = |name: &'static str, value: &'static str| {
        let name = HeaderName::from_static(name);
        if !out.contains_key(&name) {
            out.insert(name, HeaderValue::from_static(value));
        }
    };
    add("x-content-type-options", "nosniff");
    add("x-frame-options", "DENY");
    add("referrer-policy", "no-referrer");
    add(
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'",
    );
    add("cache-control", "no-store");
    if hsts {
        add(
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_that_are_no_claim_go_on() {
        let goes =
            |name: &'static str| forwards(&HeaderName::from_static(name), "keep-alive, If-Match");
        for stays in [
            "x-user-id",
            "x-tenant-id",
            "x-forwarded-for",
            "authorization",
            "te",
            "cookie",
            "if-match",
            "host",
        ] {
            assert!(!goes(stays), "{stays}");
        }
        for passes in ["content-type", "idempotency-key", "if-none-match", "accept"] {
            assert!(goes(passes), "{passes}");
        }
    }

    #[test]
    fn a_page_may_send_what_goes_on_to_the_service() {
        let may: Vec<&str> = OF_PAGES.split(", ").collect();
        // A browser sends these by itself, and asks nobody.
        let own = [
            "accept",
            "accept-encoding",
            "accept-language",
            "content-language",
            "user-agent",
        ];
        for name in FORWARDED.iter().filter(|name| !own.contains(name)) {
            assert!(may.contains(name), "{name}");
        }
    }

    #[test]
    fn an_answer_loses_what_is_about_its_connection() {
        for stays in [
            "connection",
            "transfer-encoding",
            "access-control-allow-origin",
            "server",
            "x-hop",
        ] {
            assert!(!returns(stays, "close, X-Hop"), "{stays}");
        }
        for passes in ["etag", "location", "content-type", "idempotency-hit"] {
            assert!(returns(passes, "close, X-Hop"), "{passes}");
        }
    }

    #[test]
    fn a_client_is_whom_the_last_proxy_of_ours_has_seen() {
        let ours = |ip: IpAddr| ip.to_string().starts_with("10.");
        let of = |said: &str| {
            let hops = said.as_bytes().rsplit(|b| *b == b',');
            reported("10.0.0.1".parse().unwrap(), hops, ours).to_string()
        };
        for (said, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("6.6.6.6, x, 203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, x, 10.1.1.1", "10.1.1.1"),
            ("6.6.6.6, \u{e9}", "10.0.0.1"),
            ("6.6.6.6,", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("6.6.6.6, 203.0.113.9:4711", "203.0.113.9"),
            ("6.6.6.6, [2001:db8::7]:4711", "2001:db8::7"),
            ("6.6.6.6, [2001:db8::7]", "2001:db8::7"),
            ("6.6.6.6, 2001:db8::7", "2001:db8::7"),
            ("6.6.6.6, [203.0.113.9", "10.0.0.1"),
        ] {
            assert_eq!((said, of(said).as_str()), (said, client));
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for good in ["", "shop.example", "shop:4000", "[::1]:4000", "10.0.0.1"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["x/api", "u@x", "x y", "x?y", "x#y", "x,y", "\u{e9}"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_path_has_one_reading_or_none() {
        for good in [
            "/",
            "/a",
            "/a/",
            "/a/b.c/..d/.e",
            "/a%20b",
            "/a:post",
            "/%E0%A4%95",
            "/100%25",
            "/...",
            "*",
            "",
        ] {
            assert_eq!(plain(good).as_deref(), Some(good));
        }
        assert_eq!(plain("/a%3Apost/b%3a").as_deref(), Some("/a:post/b:"));
        for bad in [
            "//",
            "/a//b",
            "/a/../b",
            "/a/..",
            "/./a",
            "/.",
            "/..",
            "/%2e%2e/a",
            "/a%2Fb",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/%61",
            "/%5F",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/\u{e9}",
            "/%c0%af",
            "/%E0%A4",
            "/%E0%A4/%95",
            "/a b",
        ] {
            assert_eq!(plain(bad), None, "{bad}");
        }
    }
}
