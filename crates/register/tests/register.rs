//! What a register may say, and that the repository's own files follow from it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

use bahi_register::{Class, Error, Network, Register, Site, generated};

const SMALL: &str = r#"
[topics]
partitions = 12
retention_days = 14
names = ["inventory.events.v1", "billing.events.v1"]

[[service]]
name = "inventory"
http = 8002
grpc = 9002
database = "bahi_inventory"
says = ["inventory.events.v1"]
hears = ["billing.events.v1"]
route = [{ path = "/api/v1/inventory", read = "inventory.stock.read", write = "inventory.stock.write" }]

[[service]]
name = "sales"
http = 8003
grpc = 9003
database = "bahi_sales"
says = ["billing.events.v1"]
calls = ["inventory/Reserve"]
route = [
  { path = "/api/v1/sales", class = "pos" },
  { path = "/api/v1/sales/public", public = true, class = "strict" },
]
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "`{from}` is not in the example");
    match Register::parse(&SMALL.replacen(from, to, 1)) {
        Ok(_) => panic!("`{to}` was accepted"),
        Err(error) => error.to_string(),
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn reads_a_register() {
    let register = Register::parse(SMALL).unwrap();
    assert_eq!(register.services().len(), 2);
    assert_eq!(register.service("sales").unwrap().http, 8003);
    assert!(matches!(
        register.service("finance"),
        Err(Error::Unknown(_))
    ));
    let databases: Vec<_> = register.databases().map(|(_, database)| database).collect();
    assert_eq!(databases, ["bahi_inventory", "bahi_sales"]);
}

#[test]
fn refuses_what_stands_twice() {
    assert!(
        refused("\"sales\"\nhttp", "\"inventory\"\nhttp").contains("name `inventory` stands twice")
    );
    assert!(refused("8003\ngrpc = 9003", "8002\ngrpc = 9002").contains("port `8002` stands twice"));
    assert!(refused("8003\ngrpc = 9003", "9002").contains("port `9002` stands twice"));
    assert!(
        refused("/api/v1/sales/public", "/api/v1/inventory")
            .contains("path `/api/v1/inventory` stands twice")
    );
    assert!(
        refused("\"billing.events.v1\"]\n\n", "\"inventory.events.v1\"]\n\n")
            .contains("stands twice")
    );
}

#[test]
fn a_search_names_a_kind_a_path_and_a_permission_of_its_own_service() {
    let with = |search: &str| {
        let text = SMALL.replacen(
            "\n[[service]]\nname = \"sales\"",
            &format!("search = [{search}]\n\n[[service]]\nname = \"sales\""),
            1,
        );
        Register::parse(&text)
    };
    let good = r#"{ kind = "batch", path = "/internal/v1/search/batches", read = "inventory.stock.read" }"#;
    let register = with(good).unwrap();
    let found: Vec<_> = register
        .searches()
        .map(|(service, s)| (service.name.as_str(), s.kind.as_str()))
        .collect();
    assert_eq!(found, [("inventory", "batch")]);
    for (from, to, why) in [
        ("\"batch\"", "\"Batch\"", "is not the name of a kind"),
        (
            "/internal/v1/search/batches",
            "/api/v1/batches",
            "is not a path below",
        ),
        (
            "/internal/v1/search/batches",
            "/internal/v1/search/",
            "is not a path below",
        ),
        (
            "/internal/v1/search/batches",
            "/internal/v1/search/../x",
            "is not a path below",
        ),
        (
            "/internal/v1/search/batches",
            "/internal/v1/search/a?b",
            "is not a path below",
        ),
        (
            "inventory.stock.read",
            "sales.stock.read",
            "is not inventory.<noun>.<verb>",
        ),
    ] {
        let error = with(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(why), "{to}: {error}");
    }
    let error = with(&format!("{good}, {good}")).unwrap_err().to_string();
    assert!(error.contains("kind `batch` stands twice"), "{error}");
    let routeless = SMALL
        .replacen("route = [{ path = \"/api/v1/inventory\", read = \"inventory.stock.read\", write = \"inventory.stock.write\" }]", &format!("search = [{good}]"), 1);
    let error = Register::parse(&routeless).unwrap_err().to_string();
    assert!(error.contains("the gateway has no way to it"), "{error}");
}

#[test]
fn refuses_a_grpc_port_that_is_not_http_plus_1000() {
    assert!(refused("9003", "9103").contains("sales: gRPC listens on http + 1000, not on 9103"));
}

#[test]
fn refuses_an_unknown_topic() {
    assert!(
        refused("says = [\"billing", "says = [\"bills")
            .contains("sales: unknown topic `bills.events.v1`")
    );
    assert!(refused("hears = [\"billing", "hears = [\"bills").contains("inventory: unknown topic"));
    assert!(
        refused(
            "retention_days = 14",
            "retention_days = 14\nkeep_for_ever = [\"x.events.v1\"]"
        )
        .contains("is not a topic")
    );
}

#[test]
fn refuses_a_foreign_database_and_an_outbox_without_one() {
    assert!(refused("bahi_sales", "bahi_inventory").contains("its database bears its name"));
    assert!(refused("database = \"bahi_sales\"\n", "").contains("need a database"));
}

#[test]
fn a_bucket_is_one_services_own_and_its_secret_goes_to_that_service_alone() {
    assert!(
        refused(
            "hears = [\"billing",
            "bucket = \"Bad_Name\"\nhears = [\"billing"
        )
        .contains("`Bad_Name` is not the name of a bucket")
    );
    let twice = SMALL.replace("grpc = ", "bucket = \"things\"\ngrpc = ");
    let Err(error) = Register::parse(&twice) else {
        panic!("one bucket of two services was accepted");
    };
    assert!(error.to_string().contains("bucket `things` stands twice"));

    let text = SMALL.replacen("grpc = ", "bucket = \"things\"\ngrpc = ", 1);
    let register = Register::parse(&text).unwrap();
    let site = Site::containers();
    let env = |name: &str| {
        let service = register.service(name).unwrap();
        site.run_env(&register, service).unwrap()
    };
    assert!(env("inventory").contains(&("BAHI_S3_BUCKET".into(), "things".into())));
    assert!(env("sales").iter().all(|(name, _)| !name.contains("S3")));
}

#[test]
fn refuses_a_call_that_nobody_answers() {
    assert!(
        refused("inventory/Reserve", "finance/Reserve").contains("not another service with gRPC")
    );
    assert!(
        refused("inventory/Reserve", "sales/Reserve").contains("not another service with gRPC")
    );
    assert!(refused("inventory/Reserve", "inventory/reserve").contains("not the name of an RPC"));
    assert!(refused("inventory/Reserve", "inventory").contains("not <service>/<Rpc>"));
}

#[test]
fn refuses_routes_that_say_two_things() {
    assert!(
        refused(
            "public = true",
            "public = true, read = \"sales.invoice.read\""
        )
        .contains("is public and asks")
    );
    assert!(
        refused("inventory.stock.write", "sales.stock.write")
            .contains("is not inventory.<noun>.<verb>")
    );
    assert!(
        refused("inventory.stock.write", "inventory.write")
            .contains("is not inventory.<noun>.<verb>")
    );
    assert!(
        refused("\"/api/v1/sales\"", "\"/api/v1/sales/\"").contains("without a trailing slash")
    );
}

#[test]
fn refuses_fields_it_does_not_know() {
    assert!(refused("database", "databse").contains("unknown field"));
    assert!(refused("class = \"pos\"", "clas = \"pos\"").contains("unknown field"));
    assert!(refused("class = \"pos\"", "class = \"till\"").contains("unknown variant"));
}

#[test]
fn lists_every_problem_at_once() {
    let text = refused(
        "says = [\"billing.events.v1\"]\ncalls = [\"inventory/",
        "says = [\"bills.events.v1\"]\ncalls = [\"finance/",
    );
    assert!(
        text.contains("unknown topic") && text.contains("not another service"),
        "{text}"
    );
}

#[test]
fn the_longest_route_that_ends_at_a_segment_wins() {
    let register = Register::parse(SMALL).unwrap();
    let class = |path: &str| {
        register
            .routes()
            .into_iter()
            .find(|(_, route)| route.covers(path))
            .map(|(_, route)| route.class)
    };
    assert_eq!(class("/api/v1/sales/public/x"), Some(Class::Strict));
    assert_eq!(class("/api/v1/sales/publicity"), Some(Class::Pos));
    assert_eq!(class("/api/v1/sales:close"), Some(Class::Pos));
    assert_eq!(class("/api/v1/salesforce"), None);
}

#[test]
fn only_listed_calls_are_allowed() {
    let register = Register::parse(SMALL).unwrap();
    assert!(register.may_call("sales", "inventory", "Reserve"));
    assert!(!register.may_call("sales", "inventory", "Release"));
    assert!(!register.may_call("inventory", "sales", "Reserve"));
}

#[test]
fn a_running_service_never_gets_the_owners_password() {
    let register = Register::parse(SMALL).unwrap();
    let mut site = Site::containers();
    site.network = Network::Loopback;
    site.password = |name| Ok(name.to_lowercase());
    let sales = register.service("sales").unwrap();
    let run = site.run_env(&register, sales).unwrap();
    assert!(run.contains(&("BAHI_GRPC_LISTEN".into(), "127.0.0.1:9003".into())));
    assert!(run.contains(&("BAHI_INVENTORY_GRPC".into(), "http://127.0.0.1:9002".into())));
    assert!(run.contains(&(
        "BAHI_DATABASE_URL".into(),
        "postgres://bahi_sales_app:pg_password_bahi_sales_app@postgres:5432/bahi_sales".into()
    )));
    assert!(
        run.iter().all(|(_, value)| !value.contains("owner")),
        "{run:?}"
    );
    let migrate = site.migrate_env(&register, sales).unwrap();
    assert!(
        migrate
            .iter()
            .any(|(name, value)| name == "BAHI_MIGRATE_URL" && value.contains("bahi_sales_owner"))
    );
}

#[test]
fn the_repositorys_register_is_valid_and_its_files_follow_from_it() {
    let register = Register::load(repository().join("deploy/services.toml")).unwrap();
    for file in generated(&register).unwrap() {
        let current = fs::read_to_string(repository().join(file.path)).unwrap_or_default();
        let wanted = file
            .applied_to(&current)
            .unwrap_or_else(|| panic!("{} has no markers", file.path));
        assert!(
            current == wanted,
            "{} is not what the register says: run `cargo run -p bahi-register -- write`",
            file.path
        );
    }
}

#[test]
fn services_and_infrastructure_share_no_port() {
    let register = Register::load(repository().join("deploy/services.toml")).unwrap();
    let ports = fs::read_to_string(repository().join("infra/ports.env")).unwrap();
    let mut taken: Vec<u16> = ports
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(_, port)| port.parse().unwrap())
        .collect();
    taken.extend(
        register
            .services()
            .iter()
            .flat_map(|service| [Some(service.http), service.grpc])
            .flatten(),
    );
    let all = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(
        taken.len(),
        all,
        "a port stands in both infra/ports.env and deploy/services.toml, or twice"
    );
}
