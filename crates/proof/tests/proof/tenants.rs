//! Two shops with the same SKUs on one fleet: no identifier of one ever appears in an answer to the other.

use std::collections::{BTreeMap, BTreeSet};

use bahi_proof::{Business, Fleet, How, Unfiltered};
use bahi_testkit::{Client, Reply, eventually};
use bahi_types::TenantId;
use futures::{StreamExt, stream};
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const SERVICES: [&str; 4] = ["identity", "product", "inventory", "sales"];

/// A path of a service, as its OpenAPI document has it.
#[derive(Clone, Debug)]
struct Place {
    service: &'static str,
    method: Method,
    path: String,
    /// Query parameters that name something by its id.
    filters: Vec<String>,
}

struct Town {
    fleet: Fleet,
    urls: BTreeMap<&'static str, String>,
    places: Vec<Place>,
}

impl Town {
    fn client(&self, service: &str, tenant: TenantId) -> Client {
        Client::of(self.urls[service].clone(), tenant, &["*"])
    }

    fn places(&self, wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        self.places.iter().filter(|p| wanted(p)).cloned().collect()
    }

    /// Every list, as `tenant` gets it from the services.
    async fn lists(&self, tenant: TenantId) -> BTreeMap<String, String> {
        let places = self.places(|p| p.method == Method::GET && !p.path.contains('{'));
        stream::iter(places)
            .map(|p| async move {
                let reply = self.client(p.service, tenant).get(&p.path).await;
                assert!(reply.status < 500, "{}: {}", p.path, reply.text);
                (p.path, lasting(&reply))
            })
            .buffer_unordered(8)
            .collect()
            .await
    }

    /// The lists once nothing moves any more.
    async fn settled(&self, tenant: TenantId) -> BTreeMap<String, String> {
        eventually(|| async {
            let (before, after) = (self.lists(tenant).await, self.lists(tenant).await);
            (before == after && sold(&after)).then_some(after)
        })
        .await
    }

    /// All that `tenant` can ask with these foreign ids: (what was asked, status, answer).
    async fn asked(&self, tenant: TenantId, ids: &[String]) -> Vec<(String, u16, String)> {
        let mut questions = Vec::new();
        for place in &self.places {
            for id in ids {
                if place.path.contains('{') {
                    let path = substitute(&place.path, id);
                    questions.push((place.service, place.method.clone(), path, id));
                } else if place.method == Method::GET {
                    for filter in &place.filters {
                        let path = format!("{}?{filter}={id}", place.path);
                        questions.push((place.service, Method::GET, path, id));
                    }
                }
            }
        }
        stream::iter(questions)
            .map(|(service, method, path, id)| async move {
                let client = self.client(service, tenant);
                let mut request = client.request(method.clone(), &path);
                if method != Method::GET {
                    request = request
                        .header("Idempotency-Key", Uuid::now_v7().to_string())
                        .header("If-Match", "\"1\"")
                        .json(&json!({}));
                }
                let reply = client.send(request).await;
                assert!(reply.status < 500, "{method} {path}: {}", reply.text);
                let text = lasting(&reply).replace(id.as_str(), "");
                (format!("{method} {path}"), reply.status, text)
            })
            .buffer_unordered(8)
            .collect()
            .await
    }
}

fn substitute(path: &str, id: &str) -> String {
    let parts = path.split('{').map(|part| match part.split_once('}') {
        Some((_, rest)) => format!("{id}{rest}"),
        None => part.to_owned(),
    });
    parts.collect()
}

/// The answer without what is new in each.
fn lasting(reply: &Reply) -> String {
    let mut text = reply.text.clone();
    for name in ["request_id", "checked_at", "as_of", "since"] {
        if let Some(new) = reply.body[name].as_str() {
            text = text.replace(new, "");
        }
    }
    text
}

/// The sale, the return and the correction have reached the stock.
fn sold(lists: &BTreeMap<String, String>) -> bool {
    lists["/api/v1/inventory/ledger"]
        .matches("\"source_line\"")
        .count()
        == 8
}

fn ids(lists: &BTreeMap<String, String>) -> BTreeSet<String> {
    let id = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
        .expect("a pattern");
    let nobody = Uuid::nil().to_string();
    lists
        .values()
        .flat_map(|text| id.find_iter(text).map(|m| m.as_str().to_owned()))
        .filter(|id| *id != nobody)
        .collect()
}

/// At most four ids of each list: every kind of thing is among them.
fn some_ids(lists: &BTreeMap<String, String>) -> Vec<String> {
    let mut some = BTreeSet::new();
    for (path, text) in lists {
        let of_list = ids(&BTreeMap::from([(path.clone(), text.clone())]));
        some.extend(of_list.into_iter().take(4));
    }
    some.into_iter().collect()
}

/// Where something of the other shop shows.
fn leaks<'a>(
    answers: impl IntoIterator<Item = (&'a String, &'a String)>,
    foreign: &BTreeSet<String>,
) -> Vec<String> {
    let shows = |text: &String| foreign.iter().any(|id| text.contains(id.as_str()));
    let leaky = answers.into_iter().filter(|(_, text)| shows(text));
    leaky.map(|(what, _)| what.clone()).collect()
}

async fn places(urls: &BTreeMap<&'static str, String>) -> Vec<Place> {
    let mut places = Vec::new();
    for (service, url) in urls {
        let document = reqwest::get(format!("{url}/openapi.json"))
            .await
            .expect("document");
        let document: Value =
            serde_json::from_str(&document.text().await.expect("text")).expect("JSON");
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let Ok(method) = method.to_uppercase().parse() else {
                    continue;
                };
                let parameters = operation["parameters"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let by_id =
                    |p: &Value| p["in"] == "query" && p["schema"].to_string().contains("uuid");
                let filters = parameters.iter().filter(|p| by_id(p));
                let filters = filters
                    .filter_map(|p| Some(p["name"].as_str()?.to_owned()))
                    .collect();
                places.push(Place {
                    service,
                    method,
                    path: path.clone(),
                    filters,
                });
            }
        }
    }
    places
}

/// B asks for everything, by list and by each of A's ids; nothing of A shows, and A's books are as before.
async fn nothing_shows(town: &Town, a: &Business, b: &Business) {
    let (of_a, of_b) = (town.settled(a.tenant).await, town.settled(b.tenant).await);
    let (ids_a, ids_b) = (ids(&of_a), ids(&of_b));
    assert!(
        ids_a.len() > 30 && ids_b.len() > 30,
        "both have much: {}, {}",
        ids_a.len(),
        ids_b.len()
    );
    assert_eq!(leaks(&of_b, &ids_a), Vec::<String>::new(), "lists of B");
    assert_eq!(leaks(&of_a, &ids_b), Vec::<String>::new(), "lists of A");
    for (path, text) in &of_b {
        assert!(
            !text.contains("alpha"),
            "{path} names the other shop: {text}"
        );
    }
    let answers = town.asked(b.tenant, &some_ids(&of_a)).await;
    assert!(answers.len() > 1000, "{} questions", answers.len());
    for (what, status, text) in &answers {
        let shown = leaks([(what, text)], &ids_a);
        assert!(
            shown.is_empty() && !text.contains("alpha"),
            "{what}: {status} {text}"
        );
        // A list filtered by a foreign id is empty; a thing of that id is not there and cannot be changed. Giving up a
        // sale that B never made closes that id for B alone. A picture of a code is drawn from the path, from nothing else.
        let harmless = what.contains('?')
            || what.ends_with(":abandon")
            || what.starts_with("GET /api/v1/barcodes/");
        assert!(harmless || *status >= 400, "{what}: {status} {text}");
    }
    assert_eq!(town.settled(a.tenant).await, of_a, "A's books");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_with_the_same_skus_never_see_each_other() {
    let (fleet, mut processes) = Fleet::whole().await;
    let urls: BTreeMap<_, _> = SERVICES.map(|name| (name, fleet.url(name))).into();
    let town = Town {
        places: places(&urls).await,
        urls,
        fleet,
    };
    let gateway = town.fleet.url("api-gateway");
    let (a, b) = tokio::join!(
        Business::open(&gateway, "alpha"),
        Business::open(&gateway, "bravo")
    );
    nothing_shows(&town, &a, &b).await;

    // The same through the gateway, with the tokens that users have.
    let ids_a = ids(&town.settled(a.tenant).await);
    for place in town.places(|p| p.method == Method::GET && !p.path.contains('{')) {
        let Ok(answer) = b.owner.get(&place.path).await else {
            continue;
        };
        assert_eq!(
            leaks([(&place.path, &answer.to_string())], &ids_a),
            Vec::<String>::new()
        );
    }

    // Row-level security alone, the application's own filters taken out of every statement.
    processes.retain(|name, _| !SERVICES.contains(name));
    let mut ways = Vec::new();
    for service in SERVICES {
        let way = Unfiltered::to(&town.fleet.database(service).url()).await;
        let how = How {
            database: Some(way.url()),
            ..How::default()
        };
        processes.insert(service, town.fleet.start(service, how).await);
        ways.push(way);
    }
    nothing_shows(&town, &a, &b).await;
    for (service, way) in SERVICES.iter().zip(&ways) {
        assert!(
            way.taken() > 10,
            "{service}: {} filters taken out",
            way.taken()
        );
    }

    // And the proof can fail: without row-level security as well, every service shows A's things to B.
    for (_, database) in town.fleet.databases() {
        let open = "do $$ declare t regclass; begin
                      for t in select oid from pg_class where relrowsecurity loop
                        execute format('alter table %s disable row level security', t);
                      end loop; end $$";
        database
            .admin()
            .await
            .batch_execute(open)
            .await
            .expect("opened");
    }
    let leaky = leaks(&town.lists(b.tenant).await, &ids_a);
    for service in SERVICES {
        let own = town.places(|p| p.service == service);
        assert!(
            leaky.iter().any(|path| own.iter().any(|p| p.path == *path)),
            "{service} in {leaky:?}"
        );
    }
}
