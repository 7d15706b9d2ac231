//! All that is compared: the services behind, the four in between, and who asks.

use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use bahi_http::{Claims, Signer, token};
use bahi_types::TenantId;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};
use uuid::Uuid;

use super::{
    Args,
    answer::SERVICES,
    load::{Ask, Lane},
    process::{Process, command, free_port},
};

/// A limit that nothing reaches, so that requests are counted and none is refused.
const PLENTY: &str = "1000000/1000000";

/// Everything that runs.
pub struct Site {
    args: Args,
    signer: Signer,
    tenant: TenantId,
    /// Where each service listens.
    services: [u16; SERVICES.len()],
    collector: u16,
    _services: Child,
    _redis: Process,
    redis: u16,
}

impl Site {
    /// Starts the services and Redis.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(args: &Args) -> anyhow::Result<Self> {
        fs::create_dir_all(&args.folder)?;
        let own = std::env::current_exe()?;
        let log = args.folder.join("services.log");
        let mut services = command(args.load_cores.as_deref(), &own, &log)?;
        services.arg("answer").arg("--schemas").arg(&args.schemas);
        let mut services = services.stdout(Stdio::piped()).spawn()?;
        let said = services.stdout.take().context("nothing to read")?;
        let line = BufReader::new(said).lines().next_line().await?;
        let ports: Vec<u16> = serde_json::from_str(&line.context("the services did not start")?)?;
        let (collector, ports) = ports.split_last().context("no ports")?;

        let redis = free_port()?;
        let log = args.folder.join("redis.log");
        let mut store = command(args.load_cores.as_deref(), Path::new("redis-server"), &log)?;
        store.args(["--port", &redis.to_string(), "--bind", "127.0.0.1"]);
        store.args(["--save", "", "--appendonly", "no"]);
        let signer = Signer::from_file(&args.keys.join("private/identity.pem"))?;
        Ok(Self {
            args: args.clone(),
            signer,
            tenant: TenantId::new(),
            services: ports.try_into()?,
            collector: *collector,
            _services: services,
            _redis: Process::start(store, redis).await?,
            redis,
        })
    }

    /// The port of a service.
    pub fn service(&self, name: &str) -> u16 {
        let at = SERVICES.iter().position(|s| *s == name);
        at.map_or(0, |at| self.services[at])
    }

    /// The access token of somebody new, good for an hour.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self) -> anyhow::Result<String> {
        let iat = chrono::Utc::now().timestamp();
        let permissions = [
            "product.product.read",
            "inventory.stock.read",
            "sales.invoice.read",
            "sales.pos.use",
        ];
        let signed = self.signer.sign(
            token::ACCESS,
            &Claims {
                iss: "identity".into(),
                aud: token::AUDIENCE_API.into(),
                sub: Uuid::now_v7().to_string(),
                tid: self.tenant,
                sid: Some(Uuid::now_v7()),
                perms: permissions.iter().map(|p| (*p).to_owned()).collect(),
                branches: bahi_types::Scope::default(),
                name: Some("Asha".into()),
                rate: None,
                amr: vec!["pwd".into()],
                txn: None,
                sxp: None,
                iat,
                exp: iat + 3600,
            },
        );
        Ok(signed?)
    }

    /// Our gateway, with authentication, limits and traces on; `more` settings beside.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn gateway(&self, name: &str, more: &[(&str, &str)]) -> anyhow::Result<Process> {
        let (args, port) = (&self.args, free_port()?);
        let log = args.folder.join(format!("{name}.log"));
        let mut gateway = command(args.core.as_deref(), &args.gateway, &log)?;
        for (service, port) in SERVICES.iter().zip(self.services) {
            let setting = format!("BAHI_UPSTREAM_{}", service.to_uppercase());
            gateway.env(setting, format!("http://127.0.0.1:{port}"));
        }
        for class in ["NORMAL", "STRICT", "POS", "BULK", "TENANT"] {
            gateway.env(format!("BAHI_LIMIT_{class}"), PLENTY);
        }
        gateway
            .env("BAHI_LISTEN", format!("127.0.0.1:{port}"))
            .env("BAHI_HTTP_WORKERS", "1")
            .env("BAHI_KEY_FILE", args.keys.join("private/api-gateway.pem"))
            .env("BAHI_TRUST_DIR", args.keys.join("public"))
            .env("BAHI_REGISTER", &args.register)
            .env("BAHI_REDIS", format!("redis://127.0.0.1:{}/0", self.redis))
            .env("BAHI_REDIS_PATIENCE_MS", "1000")
            .env("BAHI_GRAPHQL_MODE", "development")
            .env("BAHI_LOG", "info")
            .env(
                "BAHI_OTLP_ENDPOINT",
                format!("http://127.0.0.1:{}", self.collector),
            );
        gateway.envs(more.iter().copied());
        let gateway = Process::start(gateway, port).await?;
        self.until_served(gateway.port).await?;
        Ok(gateway)
    }

    /// Waits until the gateway has found its services.
    async fn until_served(&self, port: u16) -> anyhow::Result<()> {
        let ask = Ask::get(super::rest::PATH)?.bearing(&self.token()?)?;
        let mut last = Ok(());
        for _ in 0..200 {
            last = match Lane::open(port).await {
                Ok(mut lane) => lane.ask(&ask).await.map(drop),
                Err(error) => Err(error),
            };
            if last.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        last.context("the gateway does not serve")
    }

    /// nginx as a plain proxy.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn nginx(&self) -> anyhow::Result<Process> {
        let (args, port, to) = (&self.args, free_port()?, self.service("product"));
        let folder = args.folder.join("nginx");
        fs::create_dir_all(&folder)?;
        let here = folder.display();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
            .concat();
        let file = folder.join("nginx.conf");
        // A worker under a master, as it is run everywhere; the access log is off, ours writes none for a request either.
        write!(
            fs::File::create(&file)?,
            "daemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\nuser {user};\n\
             events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\nkeepalive_requests 100000000;\n{places}\
             upstream services {{ server 127.0.0.1:{to}; keepalive 256; keepalive_requests 100000000; }}\n\
             server {{\nlisten 127.0.0.1:{port};\nlocation / {{\nproxy_pass http://services;\nproxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\n}}\n}}\n}}\n",
            user = if owner()? == 0 { "root" } else { "nobody" },
        )?;
        let log = args.folder.join("nginx.log");
        let mut nginx = command(args.core.as_deref(), &args.nginx, &log)?;
        nginx
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg(folder.join("error.log"));
        nginx.arg("-c").arg(&file);
        Process::start(nginx, port).await
    }

    /// haproxy as a plain proxy.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn haproxy(&self) -> anyhow::Result<Process> {
        let (args, port, to) = (&self.args, free_port()?, self.service("product"));
        let file = args.folder.join("haproxy.cfg");
        fs::write(
            &file,
            format!(
                "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n  \
                 http-reuse always\nfrontend door\n  bind 127.0.0.1:{port}\n  default_backend services\nbackend services\n  server one 127.0.0.1:{to}\n"
            ),
        )?;
        let log = args.folder.join("haproxy.log");
        let mut haproxy = command(args.core.as_deref(), &args.haproxy, &log)?;
        haproxy.env("LD_LIBRARY_PATH", &args.haproxy_libraries);
        haproxy.args(["-db", "-f"]).arg(&file);
        Process::start(haproxy, port).await
    }

    /// Hive Gateway on our graph and the same services.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn hive(&self, package: &Path) -> anyhow::Result<Process> {
        let (args, port) = (&self.args, free_port()?);
        let mut graph = fs::read_to_string(args.schemas.join("supergraph.graphql"))?;
        for (service, port) in SERVICES.iter().zip(self.services) {
            let named = format!("\"http://{service}/graphql\"");
            ensure!(graph.contains(&named), "{service} is not in the supergraph");
            graph = graph.replace(&named, &format!("\"http://127.0.0.1:{port}/graphql\""));
        }
        let folder = args.folder.join("hive");
        fs::create_dir_all(&folder)?;
        let file = folder.join("supergraph.graphql");
        fs::write(&file, graph)?;
        let log = args.folder.join("hive.log");
        let mut hive = command(args.core.as_deref(), Path::new("node"), &log)?;
        hive.current_dir(&folder)
            .env("NODE_ENV", "production")
            .env("LOG_LEVEL", "error")
            .arg(package.join("node_modules/@graphql-hive/gateway/dist/bin.js"))
            .arg("supergraph")
            .arg(&file)
            .args([
                "--host",
                "127.0.0.1",
                "--fork",
                "1",
                "--port",
                &port.to_string(),
            ]);
        Process::start(hive, port).await
    }
}

/// Who owns this process: nginx' worker must read what we may.
fn owner() -> anyhow::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self")?.uid())
}
