//! The real service where there is no database.

use bahi_service::{App, Env, Running};
use bahi_types::Clock;

use crate::test_env;

/// A running service without a database, its jobs running. It stops when the test's runtime ends.
pub struct TestEdge<S> {
    /// The running service.
    pub running: Running<S>,
}

impl<S: Clone + Send + Sync + 'static> TestEdge<S> {
    /// Starts the service with the real register and these settings.
    pub async fn start(app: App<S>, settings: &[(&str, &str)]) -> Self {
        Self::start_at(app, settings, Clock::System).await
    }

    /// The same with a clock of its own.
    pub async fn start_at(app: App<S>, settings: &[(&str, &str)], clock: Clock) -> Self {
        let keys = test_env("BAHI_TEST_KEYS");
        let defaults = [
            ("BAHI_TRUST_DIR", format!("{keys}/public")),
            (
                "BAHI_KEY_FILE",
                format!("{keys}/private/{}.pem", app.name()),
            ),
            ("BAHI_REDIS", test_env("BAHI_TEST_REDIS")),
            ("BAHI_JOBS", String::new()),
            ("BAHI_LISTEN", String::new()),
            ("BAHI_ADMIN_LISTEN", String::new()),
            (
                "BAHI_REGISTER",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml").to_owned(),
            ),
        ];
        let settings = settings.iter().map(|(n, v)| (*n, (*v).to_owned()));
        let env = Env::with(
            defaults
                .into_iter()
                .chain(settings)
                .map(|(n, v)| (n.to_owned(), v)),
        );
        let running = bahi_service::start(app, env, clock)
            .await
            .expect("the service starts");
        Self { running }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.http)
    }

    /// The same for those who run it.
    ///
    /// # Panics
    /// When the service has no pages for them.
    pub fn admin_url(&self) -> String {
        format!(
            "http://{}",
            self.running.admin.expect("pages for those who run it")
        )
    }
}
