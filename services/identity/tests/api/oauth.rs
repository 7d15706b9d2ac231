//! Access tokens for partners.

use bahi_testkit::Reply;
use bahi_types::Clock;
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "/api/v1/auth/token";

struct Partner {
    id: String,
    secret: String,
    made: Reply,
}

impl Partner {
    async fn of(app: &App, shop: &Shop, permissions: &[&str]) -> Self {
        let end = app.clock.now() + TimeDelta::days(30);
        let body = json!({ "name": "Partner", "permissions": permissions, "expires_at": end, "requests_per_minute": 60 });
        let made = shop.owner.post("/api/v1/api-keys", body).await.expect(201);
        let key = made.text_at("key");
        Self {
            id: key[5..13].to_owned(),
            secret: key[14..].to_owned(),
            made,
        }
    }

    /// The form with the secret in it.
    fn form<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
        ];
        own.into_iter().chain(more.iter().copied()).collect()
    }
}

async fn ask(app: &App, form: &[(&str, &str)], basic: Option<(&str, &str)>) -> Reply {
    let body = form
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")));
    let http = reqwest::Client::new().request(Method::POST, format!("{}{PATH}", app.url()));
    let mut request = http
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.collect::<Vec<_>>().join("&"));
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    nobody(app).send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_gets_a_token_of_five_minutes_for_his_key() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let partner = Partner::of(&app, &shop, &["sales.order.*", "product.product.read"]).await;
    let in_form = ask(&app, &partner.form(&[]), None).await.expect(200);
    assert_eq!(in_form.header("cache-control"), Some("no-store"));
    assert_eq!(
        (
            &in_form.body["token_type"],
            &in_form.body["expires_in"],
            &in_form.body["scope"]
        ),
        (
            &json!("Bearer"),
            &json!(300),
            &json!("product.product.read sales.order.*")
        )
    );
    assert!(in_form.body.get("refresh_token").is_none());
    let token = claims(&in_form.text_at("access_token"));
    assert_eq!(token.sub, format!("key:{}", partner.made.text_at("id")));
    assert_eq!(
        (token.tid, token.sid, token.rate),
        (shop.owner.tenant, None, Some(60))
    );
    assert_eq!(token.exp - token.iat, 300);

    let basic = Some((partner.id.as_str(), partner.secret.as_str()));
    let part = [
        ("grant_type", "client_credentials"),
        ("scope", "sales.order.read"),
    ];
    let part = ask(&app, &part, basic).await.expect(200);
    assert_eq!(
        claims(&part.text_at("access_token")).perms,
        ["sales.order.read"]
    );

    // It is void as soon as the key is.
    let revoke = format!("/api/v1/api-keys/{}:revoke", partner.made.text_at("id"));
    shop.owner.post(&revoke, json!({})).await.expect(200);
    let feed = revocations(&app).await;
    let void = feed["users"].as_array().unwrap().iter().any(|u| {
        u["user_id"] == partner.made.body["id"] && token.iat < u["not_before"].as_i64().unwrap()
    });
    assert!(void, "{feed}");
    let refused = ask(&app, &partner.form(&[]), None).await.expect(401);
    assert_eq!(refused.body, json!({ "error": "invalid_client" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_of_the_standard() {
    let app = start_fixed().await;
    let shop = Shop::open(&app).await;
    let partner = Partner::of(&app, &shop, &["sales.order.read"]).await;
    let other = Partner::of(&app, &shop, &["sales.order.read"]).await;
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (partner.id.as_str(), partner.secret.as_str());
    let cases = [
        (vec![], Some((id, secret)), 400, "invalid_request"),
        (
            vec![("grant_type", "password")],
            Some((id, secret)),
            400,
            "unsupported_grant_type",
        ),
        (vec![grant], None, 401, "invalid_client"),
        (
            vec![grant, ("client_secret", secret)],
            None,
            400,
            "invalid_request",
        ),
        (
            vec![grant],
            Some((id, other.secret.as_str())),
            401,
            "invalid_client",
        ),
        (vec![grant], Some((id, "short")), 401, "invalid_client"),
        (vec![grant], Some(("", "")), 401, "invalid_client"),
        (
            partner.form(&[]),
            Some((id, secret)),
            400,
            "invalid_request",
        ),
        (
            vec![grant, ("client_id", other.id.as_str())],
            Some((id, secret)),
            400,
            "invalid_request",
        ),
        (
            vec![grant, grant],
            Some((id, secret)),
            400,
            "invalid_request",
        ),
        (
            partner.form(&[("scope", "sales.order.read sales.order.write")]),
            None,
            400,
            "invalid_scope",
        ),
        (partner.form(&[("scope", "*")]), None, 400, "invalid_scope"),
        (partner.form(&[("scope", " ")]), None, 400, "invalid_scope"),
    ];
    for (form, basic, status, error) in cases {
        let refused = ask(&app, &form, basic).await;
        assert_eq!(
            (refused.status, &refused.body),
            (status, &json!({ "error": error })),
            "{form:?}"
        );
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        let asks = refused.header("www-authenticate");
        assert_eq!(asks.is_some_and(|a| a.starts_with("Basic")), status == 401);
    }
    let json = post(&app, PATH, json!({ "grant_type": "client_credentials" })).await;
    assert_eq!(
        (json.status, &json.body["error"]),
        (400, &json!("invalid_request"))
    );
    // What the standard does not know is ignored.
    ask(&app, &partner.form(&[("audience", "x")]), None)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_say_what_is_true_where_the_address_is_known() {
    let documents = ["oauth-authorization-server", "openid-configuration"];
    let unknown = start().await;
    for document in documents {
        nobody(&unknown)
            .get(&format!("/.well-known/{document}"))
            .await
            .expect(404);
    }
    let settings = [("BAHI_PUBLIC_URL", "https://erp.example.in/")];
    let app = App::start_with(identity::app(), &settings, Clock::System).await;
    for document in documents {
        let said = nobody(&app)
            .get(&format!("/.well-known/{document}"))
            .await
            .expect(200)
            .body;
        let path = |name: &str| {
            let url = said[name].as_str().unwrap();
            url.strip_prefix("https://erp.example.in")
                .unwrap()
                .to_owned()
        };
        assert_eq!(said["issuer"], "https://erp.example.in");
        // Both endpoints are there.
        nobody(&app).get(&path("jwks_uri")).await.expect(200);
        assert_eq!(
            post(&app, &path("token_endpoint"), json!({})).await.status,
            400
        );
        assert_eq!(said["grant_types_supported"], json!(["client_credentials"]));
        for not_there in [
            "authorization_endpoint",
            "userinfo_endpoint",
            "id_token_signing_alg_values_supported",
        ] {
            assert_eq!(said[not_there], Value::Null);
        }
    }
}
