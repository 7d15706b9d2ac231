//! The environment of a service at one site: this machine, or the containers of compose.

use crate::{Error, Register, Service, env_name};

/// Variables of a process, in a fixed order.
pub type Env = Vec<(String, String)>;

/// Where the fleet runs and what it finds there.
#[derive(Clone, Debug)]
pub struct Site {
    /// PostgreSQL, `host:port`.
    pub postgres: String,
    /// Kafka, `host:port`.
    pub kafka: String,
    /// Redis, `host:port`.
    pub redis: String,
    /// The object store (S3), a URL.
    pub s3: String,
    /// The same as a browser reaches it, where that differs.
    pub s3_public: Option<String>,
    /// Folder of the keys, with `private` and `public` in it.
    pub keys: String,
    /// The register's own file.
    pub register: String,
    /// Where traces go.
    pub otlp: Option<String>,
    /// Where a service listens and how others reach it.
    pub network: Network,
    /// What is logged.
    pub log: String,
    /// How a password, known by the name of its variable, is found.
    pub password: fn(&str) -> Result<String, Error>,
}

/// How services reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// All on the loopback interface of one machine.
    Loopback,
    /// Each in a container that bears its name.
    Containers,
}

impl Network {
    fn listen(self) -> &'static str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Containers => "0.0.0.0",
        }
    }

    fn host(self, service: &Service) -> &str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Containers => &service.name,
        }
    }
}

/// The name by which the fleet knows itself to the object store; `S3_SECRET_KEY` is its password.
const S3_ACCESS_KEY: &str = "bahi";

/// The variable that holds a role's password.
pub(crate) fn password_name(role: &str) -> String {
    format!("PG_PASSWORD_{}", env_name(role))
}

impl Site {
    /// Containers that compose starts; passwords are references that compose resolves from `.env`.
    pub fn containers() -> Self {
        Self {
            postgres: "postgres:5432".into(),
            kafka: "kafka:9092".into(),
            redis: "redis:6379".into(),
            s3: "http://s3:7070".into(),
            s3_public: Some("${BAHI_S3_PUBLIC:-http://127.0.0.1:17070}".into()),
            keys: "/keys".into(),
            register: "/etc/bahi/services.toml".into(),
            otlp: Some("http://otel-collector:4317".into()),
            network: Network::Containers,
            log: "${BAHI_LOG:-info}".into(),
            password: |name| Ok(format!("${{{name}:?run scripts/compose-env}}")),
        }
    }

    /// Processes of this machine; passwords come from the environment of the caller.
    ///
    /// `find` looks up a variable: `BAHI_PG_HOST` (`host:port`), `BAHI_KAFKA`, `BAHI_REDIS_HOST`, `BAHI_S3` (a URL), `BAHI_KEYS` and
    /// `BAHI_REGISTER`, and, where wanted, `BAHI_OTLP_ENDPOINT` and `BAHI_LOG`.
    ///
    /// # Errors
    /// When one of them is not set.
    pub fn native(find: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let need = |name: &str| find(name).ok_or_else(|| Error::MissingSetting(name.to_owned()));
        Ok(Self {
            postgres: need("BAHI_PG_HOST")?,
            kafka: need("BAHI_KAFKA")?,
            redis: need("BAHI_REDIS_HOST")?,
            s3: need("BAHI_S3")?,
            s3_public: None,
            keys: need("BAHI_KEYS")?,
            register: need("BAHI_REGISTER")?,
            otlp: find("BAHI_OTLP_ENDPOINT"),
            network: Network::Loopback,
            log: find("BAHI_LOG").unwrap_or_else(|| "info".into()),
            password: |name| {
                std::env::var(name).map_err(|_| Error::MissingSetting(name.to_owned()))
            },
        })
    }

    fn database_url(&self, role: &str, database: &str) -> Result<String, Error> {
        let password = (self.password)(&password_name(role))?;
        Ok(format!(
            "postgres://{role}:{password}@{}/{database}",
            self.postgres
        ))
    }

    /// What a running service is given. It never gets the owner's password.
    ///
    /// # Errors
    /// When a password is missing.
    pub fn run_env(&self, register: &Register, service: &Service) -> Result<Env, Error> {
        let mut env = self.common_env(service);
        let mut add = |name: &str, value: String| env.push((name.to_owned(), value));
        if let (Some(role), Some(database)) = (service.app_role(), &service.database) {
            add("BAHI_DATABASE_URL", self.database_url(&role, database)?);
        }
        let exports = register.exports_of(service);
        if service.bucket.is_some() || exports.is_some() {
            add("BAHI_S3_ENDPOINT", self.s3.clone());
            if let Some(public) = &self.s3_public {
                add("BAHI_S3_PUBLIC_ENDPOINT", public.clone());
            }
            add("BAHI_S3_ACCESS_KEY", S3_ACCESS_KEY.into());
            add("BAHI_S3_SECRET_KEY", (self.password)("S3_SECRET_KEY")?);
            if let Some(bucket) = &service.bucket {
                add("BAHI_S3_BUCKET", bucket.clone());
            }
            if let Some(bucket) = exports {
                add("BAHI_EXPORTS_BUCKET", bucket.to_owned());
            }
        }
        let mut called: Vec<_> = service
            .calls
            .iter()
            .map(|call| call.service.as_str())
            .collect();
        called.dedup();
        for name in called {
            let other = register.service(name)?;
            if let Some(port) = other.grpc {
                add(
                    &format!("BAHI_{}_GRPC", other.env_name()),
                    format!("http://{}:{port}", self.network.host(other)),
                );
            }
        }
        if service.name == "api-gateway" {
            // These sites are for those who try things out.
            add("BAHI_GRAPHQL_MODE", "development".into());
            for other in register
                .services()
                .iter()
                .filter(|other| !other.routes.is_empty())
            {
                add(
                    &format!("BAHI_UPSTREAM_{}", other.env_name()),
                    format!("http://{}:{}", self.network.host(other), other.http),
                );
            }
        }
        if service.name == "outbox-worker" {
            // One for all: a service that is new in the register needs no new environment.
            add(
                "BAHI_RELAY_URL",
                self.database_url("bahi_relay", "{database}")?,
            );
        }
        Ok(env)
    }

    /// What `<service> migrate` is given: the owner's URL as well.
    ///
    /// # Errors
    /// When a password is missing.
    pub fn migrate_env(&self, register: &Register, service: &Service) -> Result<Env, Error> {
        let mut env = self.run_env(register, service)?;
        if let (Some(role), Some(database)) = (service.owner_role(), &service.database) {
            env.push((
                "BAHI_MIGRATE_URL".into(),
                self.database_url(&role, database)?,
            ));
        }
        Ok(env)
    }

    fn common_env(&self, service: &Service) -> Env {
        let listen = self.network.listen();
        let mut env = vec![("BAHI_LISTEN".into(), format!("{listen}:{}", service.http))];
        if let Some(port) = service.admin {
            env.push(("BAHI_ADMIN_LISTEN".into(), format!("{listen}:{port}")));
        }
        if let Some(port) = service.grpc {
            env.push(("BAHI_GRPC_LISTEN".into(), format!("{listen}:{port}")));
        }
        env.extend([
            ("BAHI_KAFKA".into(), self.kafka.clone()),
            ("BAHI_REDIS".into(), format!("redis://{}/0", self.redis)),
            (
                "BAHI_KEY_FILE".into(),
                format!("{}/private/{}.pem", self.keys, service.name),
            ),
            ("BAHI_TRUST_DIR".into(), format!("{}/public", self.keys)),
            ("BAHI_REGISTER".into(), self.register.clone()),
            ("BAHI_LOG".into(), self.log.clone()),
        ]);
        if let Some(otlp) = &self.otlp {
            env.push(("BAHI_OTLP_ENDPOINT".into(), otlp.clone()));
        }
        env
    }
}
