//! Pictures of products, in the store of the tests.

use std::io::Cursor;

use bahi_testkit::{Reply, TestStore, eventually};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use uuid::Uuid;

use crate::support::*;

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut out = Vec::new();
    let shade = |x: u32, y: u32| Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 99]);
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, shade))
        .write_to(&mut Cursor::new(&mut out), format)
        .unwrap();
    out
}

/// A product that is to have pictures.
struct Album {
    shop: Shop,
    path: String,
}

impl Album {
    async fn open(app: &App) -> Self {
        let shop = Shop::open(app).await;
        let id = shop.add("A-1", json!({})).await.expect(201).text_at("id");
        let path = format!("/api/v1/products/{id}/images");
        Self { shop, path }
    }

    async fn announce(&self, content_type: &str, size: usize) -> Reply {
        let body = json!({ "content_type": content_type, "size": size });
        self.shop.owner.post(&self.path, body).await
    }

    async fn complete(&self, image: &Value) -> Reply {
        let path = format!("{}/{}:complete", self.path, image["id"].as_str().unwrap());
        self.shop.owner.post(&path, json!({})).await
    }

    /// Announces a file and sends it; what the announcement answered.
    async fn send(&self, content_type: &str, file: &[u8]) -> Value {
        let image = self
            .announce(content_type, file.len())
            .await
            .expect(201)
            .body;
        assert_eq!(put(&image, content_type, file.to_vec()).await, 200);
        image
    }

    async fn add(&self, file: &[u8]) -> Value {
        let image = self.send("image/png", file).await;
        self.complete(&image).await.expect(200).body
    }

    async fn ids(&self) -> Vec<String> {
        column(&self.shop.owner.get(&self.path).await.expect(200), "id")
    }
}

/// Sends a file to the URL of an announcement; the status.
async fn put(image: &Value, content_type: &str, file: Vec<u8>) -> u16 {
    let request = reqwest::Client::new().put(image["upload"]["url"].as_str().unwrap());
    let request = request.header("content-type", content_type).body(file);
    request.send().await.unwrap().status().as_u16()
}

async fn fetch(url: &Value) -> (u16, String, Vec<u8>) {
    let answer = reqwest::get(url.as_str().unwrap()).await.unwrap();
    let content_type = answer.headers().get("content-type");
    let content_type = content_type.map(|v| v.to_str().unwrap().to_owned());
    (
        answer.status().as_u16(),
        content_type.unwrap_or_default(),
        answer.bytes().await.unwrap().to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_sent_checked_and_made_small() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let file = picture(1500, 600, ImageFormat::Png);
    let image = album
        .announce("image/png", file.len())
        .await
        .expect(201)
        .body;
    assert_eq!(
        (&image["status"], &image["upload"]["method"], &image["url"]),
        (&json!("pending"), &json!("PUT"), &Value::Null)
    );
    // Nothing was sent yet.
    let early = album.complete(&image).await.expect(409);
    assert_eq!(early.code(), "IMAGE_NOT_SENT");
    assert!(album.ids().await.is_empty());
    assert_eq!(put(&image, "image/png", file.clone()).await, 200);
    let ready = album.complete(&image).await.expect(200).body;
    assert_eq!(
        (
            &ready["status"],
            &ready["position"],
            &ready["width"],
            &ready["height"],
            &ready["upload"]
        ),
        (
            &json!("ready"),
            &json!(1),
            &json!(1500),
            &json!(600),
            &Value::Null
        )
    );
    let (status, content_type, bytes) = fetch(&ready["url"]).await;
    assert_eq!(
        (status, content_type.as_str(), bytes),
        (200, "image/png", file.clone())
    );
    for (thumbnail, size) in ready["thumbnails"]
        .as_array()
        .unwrap()
        .iter()
        .zip([(256, 102), (1024, 410)])
    {
        let (status, content_type, bytes) = fetch(&thumbnail["url"]).await;
        assert_eq!((status, content_type.as_str()), (200, "image/jpeg"));
        let small = image::load_from_memory(&bytes).unwrap();
        assert_eq!((small.width(), small.height()), size);
    }
    // What is kept is what was checked: the URL for sending writes elsewhere.
    let other = picture(1500, 600, ImageFormat::Png)
        .iter()
        .rev()
        .copied()
        .collect::<Vec<u8>>();
    put(&image, "image/png", other).await;
    assert_eq!(fetch(&ready["url"]).await.2, file);
    // Once more is no more.
    assert_eq!(
        album.complete(&image).await.expect(200).body["version"],
        ready["version"]
    );
    assert_eq!(album.ids().await, [image["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_takes_only_what_was_announced() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let file = picture(20, 20, ImageFormat::Png);
    let image = album
        .announce("image/png", file.len())
        .await
        .expect(201)
        .body;
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(put(&image, "image/png", longer).await, 403);
    assert_eq!(put(&image, "image/jpeg", file.clone()).await, 403);
    let mut elsewhere = image.clone();
    let url = image["upload"]["url"]
        .as_str()
        .unwrap()
        .replace("/upload?", "/original?");
    elsewhere["upload"]["url"] = json!(url);
    assert_eq!(put(&elsewhere, "image/png", file.clone()).await, 403);
    let later = image["upload"]["url"]
        .as_str()
        .unwrap()
        .replace("X-Amz-Expires=", "X-Amz-Expires=9");
    elsewhere["upload"]["url"] = json!(later);
    assert_eq!(put(&elsewhere, "image/png", file.clone()).await, 403);
    assert_eq!(put(&image, "image/png", file).await, 200);
    for (body, field) in [
        (
            json!({ "content_type": "image/gif", "size": 10 }),
            "content_type",
        ),
        (json!({ "content_type": "image/png", "size": 0 }), "size"),
        (
            json!({ "content_type": "image/png", "size": 10_485_761 }),
            "size",
        ),
    ] {
        let refused = album.shop.owner.post(&album.path, body).await.expect(400);
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_is_refused_and_removed() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let png = picture(20, 20, ImageFormat::Png);
    // Its header says 60,000 by 60,000; whether its checksum fits is nobody's concern before that.
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    for (content_type, file, codes, field) in [
        (
            "image/jpeg",
            png.clone(),
            &["IMAGE_TYPE_MISMATCH"][..],
            "content_type",
        ),
        (
            "image/png",
            b"<svg onload=alert(1)/>".to_vec(),
            &["IMAGE_NO_PICTURE"],
            "file",
        ),
        (
            "image/png",
            png[..png.len() - 20].to_vec(),
            &["IMAGE_BROKEN"],
            "file",
        ),
        (
            "image/png",
            bomb,
            &["IMAGE_BROKEN", "IMAGE_TOO_MANY_PIXELS"],
            "file",
        ),
    ] {
        let image = album.send(content_type, &file).await;
        let refused = album.complete(&image).await.expect(422);
        assert!(codes.contains(&refused.code()), "{}", refused.text);
        assert_eq!(refused.body["field"], field);
        album.complete(&image).await.expect(404);
    }
    assert!(album.ids().await.is_empty());
    // The objects go with the next sweep, and the rows with them.
    let admin = app.admin().await;
    run_job(&app.running.state, "clear_images").await;
    assert!(
        admin
            .query("select 1 from product_image", &[])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(objects(&album).await.is_empty());
}

/// Keys in the store that are this tenant's.
async fn objects(album: &Album) -> Vec<String> {
    let store = TestStore::of_env();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .endpoint_url(store.endpoint)
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            store.access_key,
            store.secret_key,
            None,
            None,
            "tests",
        ))
        .force_path_style(true)
        .build();
    let list = aws_sdk_s3::Client::from_conf(config)
        .list_objects_v2()
        .bucket("products")
        .prefix(format!("{}/", album.shop.owner.tenant))
        .send()
        .await
        .unwrap();
    list.contents()
        .iter()
        .map(|object| object.key().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_have_an_order_and_an_end() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let owner = &album.shop.owner;
    let mut images = Vec::new();
    for n in 1..=3 {
        images.push(album.add(&picture(10 * n, 10, ImageFormat::Png)).await);
    }
    let ids: Vec<String> = images
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(album.ids().await, ids);
    let order = format!("{}:reorder", album.path);
    let turned = json!({ "image_ids": [ids[2], ids[0], ids[1]] });
    owner.post(&order, turned).await.expect(204);
    assert_eq!(album.ids().await, [&*ids[2], &*ids[0], &*ids[1]]);
    for wrong in [
        json!([ids[0]]),
        json!([ids[0], ids[1], ids[1]]),
        json!([ids[0], ids[1], Uuid::now_v7()]),
    ] {
        let refused = owner
            .post(&order, json!({ "image_ids": wrong }))
            .await
            .expect(422);
        assert_eq!(
            (refused.code(), &refused.body["field"]),
            ("IMAGE_ORDER", &json!("image_ids"))
        );
    }
    // The middle one goes; a new one comes last.
    let one = format!("{}/{}", album.path, ids[0]);
    owner.delete(&one, 1).await.expect(412);
    let version = owner.get(&album.path).await.body["items"][1]["version"]
        .as_i64()
        .unwrap();
    owner.delete(&one, version).await.expect(204);
    owner.delete(&one, version).await.expect(404);
    let last = album.add(&picture(7, 7, ImageFormat::Png)).await;
    assert_eq!(
        album.ids().await,
        [&*ids[2], &*ids[1], last["id"].as_str().unwrap()]
    );
    let page = owner
        .get(&format!("{}?limit=2", album.path))
        .await
        .expect(200)
        .body;
    let path = format!(
        "{}?limit=2&cursor={}",
        album.path,
        page["next_cursor"].as_str().unwrap()
    );
    assert_eq!(
        (
            page["total"].as_i64(),
            column(&owner.get(&path).await.expect(200), "id").len()
        ),
        (Some(3), 1)
    );
    // Others neither see nor touch them.
    let stranger = app.tenant();
    stranger.get(&album.path).await.expect(404);
    stranger
        .delete(&format!("{}/{}", album.path, ids[1]), 1)
        .await
        .expect(404);
    stranger
        .post(&order, json!({ "image_ids": [] }))
        .await
        .expect(404);
    stranger
        .post(&format!("{}/{}:complete", album.path, ids[1]), json!({}))
        .await
        .expect(404);
    stranger
        .post(
            &album.path,
            json!({ "content_type": "image/png", "size": 5 }),
        )
        .await
        .expect(404);
    let reader = owner.with_permissions(&["product.product.read"]);
    reader.get(&album.path).await.expect(200);
    reader
        .post(
            &album.path,
            json!({ "content_type": "image/png", "size": 5 }),
        )
        .await
        .expect(403);
    // With the product its pictures go.
    let product = album.path.trim_end_matches("/images");
    owner.delete(product, 1).await.expect(204);
    run_job(&app.running.state, "clear_images").await;
    assert!(objects(&album).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_has_so_many_pictures_and_no_more() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let all = futures::future::join_all((0..25).map(|_| album.announce("image/png", 100))).await;
    let made = all.iter().filter(|answer| answer.status == 201).count();
    let refused = all
        .iter()
        .filter(|answer| answer.code() == "TOO_MANY_IMAGES")
        .count();
    assert_eq!((made, refused), (20, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_complete_one_picture_make_one() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let image = album
        .send("image/png", &picture(300, 300, ImageFormat::Png))
        .await;
    let all = futures::future::join_all((0..8).map(|_| album.complete(&image))).await;
    assert!(all.iter().any(|answer| answer.status == 200));
    assert!(
        all.iter()
            .all(|answer| answer.status == 200 || answer.code() == "IMAGE_BUSY"),
        "{all:?}"
    );
    let ready = album.complete(&image).await.expect(200).body;
    assert_eq!(
        (&ready["version"], &ready["position"]),
        (&json!(2), &json!(1))
    );
    // The key of a request has its own answer again.
    let path = format!("{}/{}:complete", album.path, image["id"].as_str().unwrap());
    let first = album
        .shop
        .owner
        .post_with_key(&path, json!({}), "k")
        .await
        .expect(200);
    let again = album
        .shop
        .owner
        .post_with_key(&path, json!({}), "k")
        .await
        .expect(200);
    assert_eq!(
        (
            first.header("idempotency-hit"),
            again.header("idempotency-hit")
        ),
        (None, Some("true"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_is_never_sent_is_forgotten() {
    let app = start_with_store(None).await;
    let album = Album::open(&app).await;
    let waiting = album.announce("image/png", 100).await.expect(201).body;
    let sent = album
        .send("image/png", &picture(9, 9, ImageFormat::Png))
        .await;
    let admin = app.admin().await;
    let rows = async || {
        admin
            .query("select 1 from product_image", &[])
            .await
            .unwrap()
            .len()
    };
    run_job(&app.running.state, "clear_images").await;
    assert_eq!(rows().await, 2, "neither has had its time");
    let forget = "update product_image set upload_until = now() - interval '2 hours'";
    admin.batch_execute(forget).await.unwrap();
    // Somebody works on one of them.
    admin
        .execute(
            "update product_image set lease_until = now() + interval '1 minute' where id = $1",
            &[&Uuid::parse_str(sent["id"].as_str().unwrap()).unwrap()],
        )
        .await
        .unwrap();
    run_job(&app.running.state, "clear_images").await;
    assert_eq!((rows().await, objects(&album).await.len()), (1, 1));
    album.complete(&waiting).await.expect(404);
    assert_eq!(album.complete(&sent).await.expect(409).code(), "IMAGE_BUSY");
    admin
        .batch_execute("update product_image set lease_until = now()")
        .await
        .unwrap();
    run_job(&app.running.state, "clear_images").await;
    assert_eq!((rows().await, objects(&album).await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_the_answer_is_to_come_back_and_nothing_is_half_done() {
    // A port at which nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let app = start_with_store(Some(&nowhere)).await;
    let album = Album::open(&app).await;
    // URLs are signed without asking the store, and what is sent goes to where it is.
    let image = album
        .send("image/png", &picture(30, 30, ImageFormat::Png))
        .await;
    let refused = album.complete(&image).await.expect(503);
    assert_eq!(
        (refused.code(), refused.header("retry-after")),
        ("STORE_UNAVAILABLE", Some("5"))
    );
    assert!(
        !refused.text.contains("127.0.0.1"),
        "the reason is for the log alone"
    );
    let admin = app.admin().await;
    let row = admin
        .query_one("select status, lease_until is null from product_image", &[])
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, bool>(1)),
        ("pending", true)
    );
    // It can be deleted all the same; its objects wait for the store.
    let one = format!("{}/{}", album.path, image["id"].as_str().unwrap());
    album.shop.owner.delete(&one, 1).await.expect(204);
    let jobs = product::jobs::table(&app.running.state);
    let clear = jobs
        .iter()
        .find(|job| job.name() == "clear_images")
        .unwrap();
    assert!(clear.once().await.is_err());
    assert_eq!(
        admin
            .query("select 1 from product_image", &[])
            .await
            .unwrap()
            .len(),
        1
    );
    // A service that has no store says so.
    let bare = start().await;
    let album = Album::open(&bare).await;
    assert_eq!(
        album.announce("image/png", 5).await.expect(503).code(),
        "STORE_UNAVAILABLE"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_halfway_is_asked_again_later() {
    // Passes requests on to the store, but answers 500 to each that writes, until it is told otherwise.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (well, failing) = tokio::sync::watch::channel(true);
    let endpoint = TestStore::of_env().endpoint;
    let real = endpoint.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (failing, real) = (failing.clone(), real.clone());
            tokio::spawn(async move {
                let mut head = vec![0; 64 * 1024];
                let read = client.read(&mut head).await.unwrap();
                if *failing.borrow() && head.starts_with(b"PUT") {
                    let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    client.write_all(answer).await.ok();
                    return;
                }
                let mut store = tokio::net::TcpStream::connect(&real).await.unwrap();
                store.write_all(&head[..read]).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut store)
                    .await
                    .ok();
            });
        }
    });
    let app = start_with_store(Some(&format!("http://{address}"))).await;
    let album = Album::open(&app).await;
    let image = album
        .send("image/png", &picture(40, 40, ImageFormat::Png))
        .await;
    // The signature covers the host that the service asks, so a store that checks it may refuse what is passed on;
    // either way the answer is to come back.
    assert_eq!(
        album.complete(&image).await.expect(503).code(),
        "STORE_UNAVAILABLE"
    );
    assert!(album.ids().await.is_empty());
    well.send(false).unwrap();
    let ready = eventually(async || {
        let answer = album.complete(&image).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(
        (&ready["status"], &ready["position"]),
        (&json!("ready"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_picture_that_cannot_be_cleared_stops_no_others() {
    let app = start_with_store(None).await;
    let (album, other) = (Album::open(&app).await, Album::open(&app).await);
    let bad = album.announce("image/png", 5).await.expect(201);
    other.announce("image/png", 5).await.expect(201);
    let admin = app.admin().await;
    let spoil = format!(
        "update product_image set upload_until = now() - interval '2 hours';
         create function spoil() returns trigger language plpgsql as $$ begin raise exception 'spoilt'; end $$;
         create trigger spoil before update or delete on product_image for each row when (old.id = '{}')
         execute function spoil()",
        bad.text_at("id")
    );
    admin.batch_execute(&spoil).await.unwrap();
    let jobs = product::jobs::table(&app.running.state);
    let clear = jobs
        .iter()
        .find(|job| job.name() == "clear_images")
        .unwrap();
    assert!(clear.once().await.is_err(), "it is reported");
    let left = "select id::text from product_image";
    let left: Vec<String> = admin
        .query(left, &[])
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert_eq!(left, [bad.text_at("id")]);
}
