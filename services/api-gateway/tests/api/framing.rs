//! Requests that two parsers might cut differently: each is refused, or reaches a service exactly once as one harmless
//! request.

use crate::support::{Fleet, Gateway};

/// Where the request that hides in another one would go.
const HIDDEN: &str = "GET /api/v1/brands/hidden HTTP/1.1\r\nHost: x\r\n\r\n";

/// Expands a request: `@` is the line break, `{auth}` the token, `{hidden}` the hidden request.
fn expand(gateway: &Gateway, text: &str) -> Vec<u8> {
    let token = gateway.user(&["*"]).token.unwrap();
    let auth = format!("Authorization: Bearer {token}");
    text.replace('@', "\r\n")
        .replace("{auth}", &auth)
        .replace("{hidden}", HIDDEN)
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_framing_is_refused() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let post = "POST /api/v1/brands HTTP/1.1@Host: x@{auth}@";
    for (what, rest) in [
        (
            "length and chunks",
            "Content-Length: 5@Transfer-Encoding: chunked@@0@@{hidden}",
        ),
        (
            "chunks and length",
            "Transfer-Encoding: chunked@Content-Length: 5@@0@@{hidden}",
        ),
        (
            "two lengths",
            "Content-Length: 0@Content-Length: 60@@{hidden}",
        ),
        (
            "two equal lengths",
            "Content-Length: 3@Content-Length: 3@@abc{hidden}",
        ),
        ("a list of lengths", "Content-Length: 3, 3@@abc{hidden}"),
        ("a signed length", "Content-Length: +3@@abc{hidden}"),
        ("a negative length", "Content-Length: -3@@abc{hidden}"),
        ("a hexadecimal length", "Content-Length: 0x3@@abc{hidden}"),
        (
            "an unknown coding",
            "Transfer-Encoding: xchunked@@0@@{hidden}",
        ),
        (
            "chunks, then identity",
            "Transfer-Encoding: chunked, identity@@0@@{hidden}",
        ),
        (
            "two codings",
            "Transfer-Encoding: chunked@Transfer-Encoding: identity@@0@@{hidden}",
        ),
        (
            "a space before the colon",
            "Content-Length : 3@@abc{hidden}",
        ),
        (
            "a space before the coding's colon",
            "Transfer-Encoding : chunked@@0@@{hidden}",
        ),
        ("a folded line", "Transfer-Encoding:@ chunked@@0@@{hidden}"),
        ("NUL in a value", "X: a\0b@Content-Length: 0@@{hidden}"),
        (
            "a bare CR in a value",
            "X: a\rTransfer-Encoding: chunked@Content-Length: 0@@{hidden}",
        ),
        ("a second host", "Host: y@Content-Length: 0@@{hidden}"),
        (
            "a bad chunk size",
            "Transfer-Encoding: chunked@@zz@abc@0@@{hidden}",
        ),
        (
            "an overflowing chunk size",
            "Transfer-Encoding: chunked@@fffffffffffffffff@abc@0@@{hidden}",
        ),
        (
            "a chunk longer than its size",
            "Transfer-Encoding: chunked@@1@abc@0@@{hidden}",
        ),
    ] {
        let answer = gateway
            .raw(&expand(&gateway, &format!("{post}{rest}")))
            .await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{what}: {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            usize::from(!answer.is_empty()),
            "{what}: {answer}"
        );
        assert!(fleet.seen().is_empty(), "{what}: {:#?}", fleet.seen());
    }
    for (what, request) in [
        ("no host", "GET /api/v1/brands HTTP/1.1@{auth}@@"),
        (
            "chunks in HTTP/1.0",
            "POST /api/v1/brands HTTP/1.0@Host: x@{auth}@Transfer-Encoding: chunked@@0@@{hidden}",
        ),
        (
            "an unknown version",
            "GET /api/v1/brands HTTP/3.7@Host: x@{auth}@@",
        ),
        (
            "a space in the target",
            "GET /api/v1/brands x HTTP/1.1@Host: x@{auth}@@",
        ),
    ] {
        let answer = gateway.raw(&expand(&gateway, request)).await;
        assert!(
            answer.is_empty() || answer.contains(" 400 "),
            "{what}: {answer}"
        );
        assert!(fleet.seen().is_empty(), "{what}: {:#?}", fleet.seen());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_but_unambiguous_framing_reaches_a_service_once_and_rebuilt() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    for (what, method, request, body) in [
        (
            "bare LF",
            "GET",
            "GET /api/v1/brands HTTP/1.1\nHost: x\n{auth}\nConnection: close\n\n",
            "",
        ),
        (
            "chunk extensions",
            "POST",
            "POST /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: close@Transfer-Encoding: chunked@@3;a=b@abc@0@@",
            "3",
        ),
        (
            "another case of the coding",
            "POST",
            "POST /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: close@Transfer-Encoding: CHUNKED@@3@abc@0@@",
            "3",
        ),
        (
            "an upgrade to something unknown",
            "GET",
            "GET /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: upgrade, close@Upgrade: foo@@",
            "",
        ),
        (
            "an upgrade to a web socket, which nobody serves",
            "GET",
            "GET /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: upgrade, close@Upgrade: websocket@@{hidden}",
            "",
        ),
        (
            "a length named as hop-by-hop",
            "POST",
            "POST /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: close, content-length@Content-Length: 3@@abc",
            "3",
        ),
        (
            "a hidden request as body",
            "POST",
            "POST /api/v1/brands HTTP/1.1@Host: x@{auth}@Connection: close@Content-Length: 47@@{hidden}",
            "47",
        ),
    ] {
        fleet.desk.seen.lock().clear();
        let answer = gateway.raw(&expand(&gateway, request)).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        let seen = fleet.only();
        assert_eq!(
            (what, seen.method.as_str(), seen.target.as_str()),
            (what, method, "/api/v1/brands")
        );
        assert_eq!((what, seen.header("content-length")), (what, body));
        for gone in ["transfer-encoding", "upgrade", "connection"] {
            assert_eq!((what, gone, seen.header(gone)), (what, gone, ""));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_body_with_broken_chunks_never_counts_as_whole() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let post = "POST /api/v1/products/bulk-import HTTP/1.1@Host: x@{auth}@Connection: close@Transfer-Encoding: chunked@@";
    for rest in [
        "3@abc@zz@{hidden}",
        "1@abc@0@@{hidden}",
        "fffffffffffffffff@abc",
    ] {
        let answer = gateway
            .raw(&expand(&gateway, &format!("{post}{rest}")))
            .await;
        assert!(!answer.contains("HTTP/1.1 20"), "{answer}");
        assert!(
            fleet.seen().iter().all(|s| !s.target.contains("hidden")),
            "{:#?}",
            fleet.seen()
        );
    }
    gateway.user(&["*"]).get("/api/v1/brands").await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_each_with_its_own_token() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let request = "GET /api/v1/brands/1 HTTP/1.1@Host: x@{auth}@@GET /api/v1/brands/2 HTTP/1.1@Host: x@Connection: close@@";
    let answer = gateway.raw(&expand(&gateway, request)).await;
    assert!(
        answer.starts_with("HTTP/1.1 201 ") && answer.contains("HTTP/1.1 401 "),
        "{answer}"
    );
    assert_eq!(fleet.only().target, "/api/v1/brands/1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_beyond_32_kib_is_refused_and_named() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let user = gateway.user(&["*"]);
    let with = async |length: usize| {
        let request = user.request(reqwest::Method::GET, "/api/v1/brands");
        crate::support::send(request.header("accept", "a".repeat(length))).await
    };
    with(31 * 1024).await.expect(201);
    let refused = with(32 * 1024).await;
    crate::support::assert_problem(&refused, 431, "HEADERS_TOO_LARGE");
    let query = "q".repeat(33 * 1024);
    let refused = user.get(&format!("/api/v1/brands?{query}")).await;
    crate::support::assert_problem(&refused, 431, "HEADERS_TOO_LARGE");
    fleet.only();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_heads_are_refused() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    let long = "a".repeat(200_000);
    let many: String = (0..500).map(|n| format!("X-{n}: 1\r\n")).collect();
    for head in [format!("X: {long}\r\n"), many] {
        let request =
            format!("GET /api/v1/brands HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert!(fleet.seen().is_empty());
}
