//! The structure of the workspace: dependencies run one way, and one name means one thing everywhere.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

fn packages() -> BTreeMap<String, (String, Vec<String>)> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("metadata");
    let root = metadata["workspace_root"].as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let folder = package["manifest_path"]
                .as_str()
                .unwrap()
                .trim_start_matches(&root)
                .trim_start_matches('/');
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            // A test may start another service; a service may not.
            let normal = dependencies
                .filter(|d| d["kind"].is_null())
                .map(|d| d["name"].as_str().unwrap().to_owned());
            let folder = folder.trim_end_matches("/Cargo.toml").to_owned();
            (
                package["name"].as_str().unwrap().to_owned(),
                (folder, normal.collect()),
            )
        })
        .collect()
}

/// Who may use whom: a crate may depend on crates of a lower rank only.
fn rank(name: &str, folder: &str) -> u32 {
    match name {
        "bahi-types" | "bahi-register" => 0,
        "bahi-events" | "bahi-gst" | "bahi-proto-messages" => 1,
        "bahi-db" | "bahi-pricing" | "bahi-prints" => 2,
        "bahi-kafka" | "bahi-http" => 3,
        "bahi-graphql" => 4,
        "bahi-proto" | "bahi-service" => 5,
        "bahi-objects" => 6,
        "bahi-privacy" => 7,
        "bahi-testkit" => 8,
        _ if folder.starts_with("services/") => 9,
        "bahi-demo" => 10,
        _ => 11,
    }
}

#[test]
fn dependencies_run_one_way() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, (folder, dependencies)) in &packages {
        for dependency in dependencies {
            if let Some((other, _)) = packages.get(dependency)
                && rank(dependency, other) >= rank(name, folder)
                && (name.as_str(), dependency.as_str()) != ("bahi-service", "bahi-proto")
                && (name.as_str(), dependency.as_str()) != ("bahi-proto", "bahi-service")
            {
                wrong.push(format!("{name} depends on {dependency}"));
            }
            let may_use = match dependency.as_str() {
                "rdkafka" => [
                    "bahi-kafka",
                    "outbox-worker",
                    "bahi-demo",
                    "bahi-proof",
                    "bahi-faults",
                    "bahi-bench",
                ]
                .contains(&name.as_str()),
                // The test kit plays somebody else's server: an identity provider.
                "actix-web" => {
                    ["bahi-http", "bahi-graphql", "bahi-service", "bahi-testkit"]
                        .contains(&name.as_str())
                        || folder.starts_with("services/")
                }
                "diesel" => !["bahi-http", "bahi-gst", "bahi-pricing"].contains(&name.as_str()),
                _ => true,
            };
            if !may_use {
                wrong.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_service_is_called_as_its_folder() {
    for (name, (folder, _)) in packages() {
        if let Some(service) = folder.strip_prefix("services/") {
            assert_eq!(name, service);
        }
    }
}
