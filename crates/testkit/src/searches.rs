//! What the register says that a search through everything finds in a service, and whether the service answers it.

use bahi_http::search::Hits;
use bahi_register::Register;

use crate::Client;

/// Asserts that a service answers every search that the register names for it: with the registered permission and no other,
/// by the contract of `bahi_http::search`.
///
/// # Panics
/// When it does not.
pub async fn assert_searches(service: &str, client: &Client) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml");
    let register = Register::load(file).expect("the register");
    let searches = &register.service(service).expect("a service").search;
    assert!(!searches.is_empty(), "{service} finds nothing");
    for search in searches {
        let path = |query: &str| format!("{}?{query}", search.path);
        let reader = client.with_permissions(&[&search.read]);
        let found = reader.get(&path("q=xyzzy&limit=10")).await.expect(200);
        let hits: Hits = serde_json::from_str(&found.text).expect("the contract");
        assert!(hits.items.is_empty() && !hits.more, "{}", found.text);
        for wrong in [
            "limit=10",
            "q=&limit=10",
            "q=a%00b&limit=10",
            "q=a%0Ab&limit=10",
            "q=a&limit=0",
            "q=a&limit=51",
            "q=a&limit=1&offset=1001",
            "q=a&limit=1&more=1",
        ] {
            reader.get(&path(wrong)).await.expect(400);
        }
        // What means something to a pattern or a query language means nothing here.
        for odd in [
            "%25",
            "_",
            "%27",
            "%5C",
            "%2A%3A",
            "%21%26%7C%28%29",
            "%F0%9F%8D%9A",
        ] {
            reader
                .get(&path(&format!("q={odd}&limit=1")))
                .await
                .expect(200);
        }
        let stranger = client.with_permissions(&["nothing.nothing.read"]);
        let refused = stranger.get(&path("q=a&limit=1")).await.expect(403);
        assert_eq!(refused.body["permission"], search.read.as_str());
        client
            .with_token("none")
            .get(&path("q=a&limit=1"))
            .await
            .expect(401);
    }
}
