//! The configuration file: looked at before it is used, taken over while the gateway serves, or refused whole.

use std::{path::Path, process::Command};

use bahi_testkit::{Reply, eventually};
use serde_json::json;

use crate::support::{Fleet, Gateway, assert_problem};

const BRANDS: &str = "/api/v1/brands";

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

async fn configz(gateway: &Gateway) -> Reply {
    gateway.operator().get("/configz").await.expect(200)
}

/// The page, once it shows this number.
async fn generation(gateway: &Gateway, number: u64) -> Reply {
    eventually(|| async {
        let page = configz(gateway).await;
        (page.body["generation"] == number).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_taken_over_and_a_bad_one_refused_whole() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    write(&file, "[classes.normal]\nbody = '1KiB'");
    let settings = [
        ("BAHI_CONFIG_FILE", file.to_str().unwrap()),
        ("BAHI_BODY_POS", "77"),
        ("BAHI_REDIS", "redis://:hidden@127.0.0.1:1/0"),
    ];
    let gateway = fleet.gateway(&settings).await;
    let user = gateway.user(&["*"]);
    let long = json!({ "name": "x".repeat(3_000) });
    assert_problem(&user.post(BRANDS, long.clone()).await, 413, "TOO_LARGE");
    let page = configz(&gateway).await;
    assert_eq!(page.body["generation"], 1);
    assert_eq!(
        page.body["configuration"]["classes"]["normal"]["body"],
        1024
    );
    assert!(!page.text.contains("hidden"), "{}", page.text);

    // What the environment says comes before the file.
    write(&file, "[classes]\nnormal.body = '8KiB'\npos.body = '1GiB'");
    let page = generation(&gateway, 2).await;
    assert_eq!(page.body["configuration"]["classes"]["pos"]["body"], 77);
    user.post(BRANDS, long.clone()).await.expect(201);

    // One word is wrong: nothing of the file is taken over.
    write(
        &file,
        "[classes.normal]\nbody = '1KiB'\n[upstreams.sales.breaker]\nopne = '1s'",
    );
    let page = eventually(|| async {
        let page = configz(&gateway).await;
        (!page.body["refused"].is_null()).then_some(page)
    })
    .await;
    assert_eq!(page.body["generation"], 2);
    let reason = page.body["refused"]["reason"].as_str().unwrap();
    assert!(reason.contains("opne"), "{reason}");
    user.post(BRANDS, long.clone()).await.expect(201);
    let metrics = gateway.operator().get("/metrics").await.text;
    assert!(metrics.contains("gateway_config_changes_total{result=\"refused\"}"));

    // All that is wrong is named at once.
    write(
        &file,
        "[upstreams.salse]\n[upstreams.sales]\nmax_inflight = 0\n[edge]\norigins = ['https://*']",
    );
    let page = eventually(|| async {
        let page = configz(&gateway).await;
        let reason = page.body["refused"]["reason"].as_str().unwrap_or_default();
        reason.contains("salse").then_some(page)
    })
    .await;
    let reason = page.body["refused"]["reason"].as_str().unwrap();
    assert!(reason.contains("upstreams.sales.max_inflight"), "{reason}");
    assert!(reason.contains("https://*"), "{reason}");

    write(&file, "");
    let page = generation(&gateway, 3).await;
    assert!(page.body["refused"].is_null());
    user.post(BRANDS, json!({ "name": "x".repeat(100_000) }))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_needs_no_restart() {
    let fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let register = folder.path().join("services.toml");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml");
    let text = std::fs::read_to_string(here).unwrap();
    write(&register, &text);
    let settings = [("BAHI_REGISTER", register.to_str().unwrap())];
    let gateway = fleet.gateway(&settings).await;
    let user = gateway.user(&["*"]);
    user.get("/api/v1/shades").await.expect(404);
    let route = "{ path = \"/api/v1/brands\",";
    assert!(text.contains(route));
    let more = format!("{{ path = \"/api/v1/shades\" }},\n  {route}");
    write(&register, &text.replacen(route, &more, 1));
    generation(&gateway, 2).await;
    user.get("/api/v1/shades").await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_those_who_run_the_gateway_is_not_behind_the_door() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway(&[]).await;
    for page in ["/configz", "/metrics"] {
        for anybody in [gateway.stranger(), gateway.user(&["*"])] {
            assert_problem(&anybody.get(page).await, 404, "NOT_FOUND");
        }
        gateway.operator().get(page).await.expect(200);
    }
    let write = gateway.operator().post("/configz", json!({})).await;
    assert_eq!(write.status, 405);
    // And the door is not there.
    assert_eq!(gateway.operator().get(BRANDS).await.status, 404);
    gateway.operator().get("/readyz").await.expect(200);
}

#[test]
fn a_file_is_looked_at_without_serving_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let check = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-gateway"));
        command.current_dir(root).env_clear();
        let done = command.args(["--check-config", file]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            done.status.code().unwrap(),
            text(done.stdout),
            text(done.stderr),
        )
    };
    let (code, out, err) = check("deploy/gateway.toml");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("services") && out.contains("routes"), "{out}");
    for (text, word) in [
        ("[upstreams.sales]\nurl = 'http://a'", "url"),
        ("[upstreams.nobody]", "nobody"),
        ("[upstreams.sales]\nurls = ['https://a']", "http://"),
        ("[graph]\nsupergraph = '/nowhere'", "/nowhere"),
        ("[redis]\nurl = 'mysql://a'", "BAHI_REDIS"),
        ("[redis]\nurl = '${NO_SUCH_NAME}'", "NO_SUCH_NAME"),
    ] {
        write(&file, text);
        let (code, _, err) = check(file.to_str().unwrap());
        assert_eq!(code, 1, "{text}");
        assert!(err.contains(word), "{text}: {err}");
    }
    assert_eq!(check("/nowhere.toml").0, 1);
}
