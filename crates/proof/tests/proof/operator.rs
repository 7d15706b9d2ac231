//! What an operator of a consumer does, with the shipped binaries.

use std::process::Output;

use bahi_proof::{Fleet, How, send};
use bahi_testkit::eventually;
use serde_json::Value;

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_tried_again_and_given_up() {
    // Sales wants to know where inventory is, though nothing here asks it.
    let fleet = Fleet::of(&["sales", "inventory"]).await;
    let _sales = fleet.start("sales", How::default()).await;
    let dlq = |line: &str| {
        let args: Vec<&str> = ["consumer", "dlq"]
            .into_iter()
            .chain(line.split_whitespace())
            .collect();
        fleet.command("sales", &args)
    };
    let listed = || {
        let out = dlq("list --json");
        assert!(out.status.success(), "{:?}", text(&out));
        let rows: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        rows.as_array().cloned().expect("rows")
    };
    send(
        &fleet.topic("products"),
        "p-1",
        &["{ this is no JSON", "nor is this"],
    );
    let rows = eventually(|| async { Some(listed()).filter(|rows| rows.len() == 2) }).await;
    let (first, second) = (&rows[0], &rows[1]);
    assert_eq!(
        (&first["state"], &first["followers"]),
        (&"rejected".into(), &1.into())
    );
    assert_eq!(second["state"], "waiting");
    let id = first["id"].to_string();

    let (table, _) = text(&dlq("list --topic products.events.v1"));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("ID") && lines[0].ends_with("SINCE"),
        "{table}"
    );
    assert!(
        lines[1].starts_with(&id) && lines[1].contains("rejected"),
        "{table}"
    );
    assert!(text(&dlq("list --key p-2")).0.lines().count() == 1);

    let (shown, _) = text(&dlq(&format!("show {id}")));
    for part in [
        "{ this is no JSON",
        "key        p-1",
        "behind it wait 1",
        &fleet.topic("products"),
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // Without a yes it says what it would do, and does not.
    let out = dlq(&format!("drop {id}"));
    let (said, hint) = text(&out);
    assert_eq!(out.status.code(), Some(3), "{said}{hint}");
    assert!(
        said.starts_with("Would give up") && hint.contains("--yes"),
        "{said}{hint}"
    );
    assert_eq!(listed().len(), 2);

    let out = dlq(&format!("retry {id}"));
    assert_eq!(out.status.code(), Some(0), "{:?}", text(&out));
    eventually(|| async {
        let rows = listed();
        (rows[0]["state"] == "rejected"
            && rows[0]["attempts"].as_i64() > first["attempts"].as_i64())
        .then_some(())
    })
    .await;

    // One that waits is not given up before what it waits for.
    let out = dlq(&format!("drop {} --yes", second["id"]));
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out).1.contains("waiting"), "{:?}", text(&out));

    let out = dlq(&format!("drop {id} --yes"));
    assert_eq!(out.status.code(), Some(0), "{:?}", text(&out));
    let rest = eventually(|| async {
        let rows = listed();
        (rows.len() == 1 && rows[0]["state"] == "rejected").then_some(rows)
    })
    .await;
    assert_eq!(rest[0]["id"], second["id"]);
    assert_eq!(dlq(&format!("drop {id} --yes")).status.code(), Some(1));
    assert_eq!(dlq("retry").status.code(), Some(2));

    let sales = fleet.database("sales").admin().await;
    let done =
        "select count(*) from inbox.command where cmd = 'dlq drop' and result ->> 'done' = 'true'";
    let row = sales.query_one(done, &[]).await.expect(done);
    assert_eq!(row.get::<_, i64>(0), 1);
}
