//! The worker's own settings.

use std::time::Duration;

use anyhow::Context;
use bahi_register::Register;
use bahi_service::Env;

use crate::metrics::Metrics;

/// Settings of the worker.
#[derive(Clone)]
pub struct Config {
    /// Kafka's bootstrap servers.
    pub kafka: String,
    /// This process, as `outbox.shard` shows it.
    pub owner: String,
    /// The databases that it relays.
    pub databases: Vec<Database>,
    /// How long published rows stay in the outbox.
    pub retention: Duration,
}

/// A database to relay.
#[derive(Clone)]
pub struct Database {
    /// The service that owns it.
    pub service: String,
    /// Where it is, with the role `bahi_relay`.
    pub url: String,
}

impl Config {
    /// Reads the settings: for each database of the register `BAHI_RELAY_<SERVICE>_URL`, else `BAHI_RELAY_URL` with
    /// `{database}` in the place of its name. One that neither gives is another worker's; that nobody relays it shows
    /// in `outbox_lease_owned`.
    ///
    /// # Errors
    /// When a setting is wrong, or no database is given.
    pub fn from_env(env: &Env) -> anyhow::Result<Self> {
        let register = env
            .optional("BAHI_REGISTER")
            .unwrap_or_else(|| "deploy/services.toml".into());
        let register =
            Register::load(&register).with_context(|| format!("BAHI_REGISTER={register}"))?;
        let kafka = env.required("BAHI_KAFKA");
        let template = env.optional("BAHI_RELAY_URL");
        let mut databases = Vec::new();
        for (service, database) in register.databases() {
            let any = || Some(template.as_ref()?.replace("{database}", database));
            let own = env.optional(&format!("BAHI_RELAY_{}_URL", service.env_name()));
            match own.or_else(any) {
                Some(url) => databases.push(Database {
                    service: service.name.clone(),
                    url,
                }),
                None => {
                    Metrics::of(&service.name, 0).lease_owned.set(0);
                    tracing::warn!(
                        db = service.name,
                        "no URL is given: not relayed by this worker"
                    );
                }
            }
        }
        let hours = env.parse("BAHI_RELAY_RETENTION_HOURS", 15u64);
        let owner = env
            .optional("HOSTNAME")
            .unwrap_or_else(|| "localhost".into());
        anyhow::ensure!(env.problems().is_empty(), "{}", env.problems().join("; "));
        anyhow::ensure!(
            !databases.is_empty(),
            "no database to relay: BAHI_RELAY_<SERVICE>_URL is not set for any"
        );
        Ok(Self {
            kafka: kafka?,
            owner: format!("{owner}/{}", std::process::id()),
            databases,
            retention: Duration::from_secs(hours? * 3600),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> anyhow::Result<Config> {
        let register = (
            "BAHI_REGISTER",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.toml"),
        );
        let settings = settings
            .iter()
            .chain([&register])
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_env(&Env::with(settings))
    }

    #[test]
    fn relays_the_databases_that_it_is_given() {
        let given = [
            ("BAHI_KAFKA", "k:9092"),
            ("BAHI_RELAY_SALES_URL", "postgres://s"),
            ("BAHI_RELAY_IDENTITY_URL", "postgres://i"),
        ];
        let services: Vec<String> = config(&given)
            .unwrap()
            .databases
            .into_iter()
            .map(|database| database.service)
            .collect();
        assert_eq!(services, ["identity", "sales"]);
    }

    #[test]
    fn relays_every_database_of_the_register_by_one_setting() {
        let given = [
            ("BAHI_KAFKA", "k:9092"),
            ("BAHI_RELAY_URL", "postgres://relay@h/{database}"),
            ("BAHI_RELAY_SALES_URL", "postgres://elsewhere/s"),
        ];
        let databases = config(&given).unwrap().databases;
        let url = |service: &str| {
            let found = databases.iter().find(|d| d.service == service);
            found.unwrap().url.clone()
        };
        assert_eq!(url("identity"), "postgres://relay@h/bahi_identity");
        assert_eq!(url("sales"), "postgres://elsewhere/s");
    }

    #[test]
    fn refuses_to_start_with_nothing_to_do() {
        assert!(config(&[("BAHI_KAFKA", "k:9092")]).is_err());
        assert!(config(&[("BAHI_RELAY_SALES_URL", "postgres://s")]).is_err());
    }
}
