//! The files that are generated from the register and kept in the repository, so that bash, psql, Kafka,
//! Prometheus and compose read the same thing without asking a program.

use std::fmt::Write as _;

use crate::{Error, Register, compose, site::password_name};

/// A file, or the part of one between two markers, whose text follows from the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The file, relative to the root of the repository.
    pub path: &'static str,
    /// What it must say.
    pub text: String,
    /// The lines around the generated part, where the rest of the file is written by hand.
    pub markers: Option<(&'static str, &'static str)>,
}

const NOTICE: &str =
    "Generated from deploy/services.toml by `cargo run -p bahi-register -- write`.";

/// Everything that is generated.
///
/// # Errors
/// Never for a valid register: containers know their passwords by reference.
pub fn generated(register: &Register) -> Result<Vec<Generated>, Error> {
    let whole = |path, text| Generated {
        path,
        text,
        markers: None,
    };
    Ok(vec![
        whole("infra/services.txt", services(register)),
        whole("infra/postgres/roles.sql", roles(register)),
        whole("infra/postgres/databases.sql", databases(register)),
        whole("infra/kafka/topics.txt", topics(register)),
        whole("infra/prometheus/fleet.json", scrape_targets(register)),
        whole("infra/s3/buckets.txt", buckets(register)),
        Generated {
            path: "docker-compose.yml",
            text: compose::fleet(register)?,
            markers: Some((
                "  # >>> the fleet: generated from deploy/services.toml\n",
                "  # <<< the fleet\n",
            )),
        },
    ])
}

impl Generated {
    /// What the file must look like, given what it looks like now. `None`: the markers are missing.
    pub fn applied_to(&self, current: &str) -> Option<String> {
        let Some((begin, end)) = self.markers else {
            return Some(self.text.clone());
        };
        let (before, rest) = current.split_once(begin)?;
        let (_, after) = rest.split_once(end)?;
        Some(format!("{before}{begin}{}{end}{after}", self.text))
    }
}

/// A line per service: name and HTTP port.
fn services(register: &Register) -> String {
    let mut text = String::new();
    for service in register.services() {
        line(&mut text, format_args!("{} {}", service.name, service.http));
    }
    text
}

/// Roles with their passwords from the environment of psql. Runs any number of times.
fn roles(register: &Register) -> String {
    let mut sql = format!(
        "-- {NOTICE}\n-- Passwords come from the environment of psql. Runs any number of times.\n\\set ON_ERROR_STOP on\n"
    );
    role(&mut sql, "bahi_relay");
    sql.push_str("-- The relay watches for old transactions that hold back its windows.\nGRANT pg_monitor TO bahi_relay;\n");
    for (service, _) in register.databases() {
        let (Some(owner), Some(app)) = (service.owner_role(), service.app_role()) else {
            continue;
        };
        role(&mut sql, &owner);
        role(&mut sql, &app);
        for (setting, value) in [
            ("statement_timeout", "2s"),
            ("lock_timeout", "1s"),
            ("idle_in_transaction_session_timeout", "5s"),
        ] {
            line(
                &mut sql,
                format_args!("ALTER ROLE {app} SET {setting} = '{value}';"),
            );
        }
    }
    sql
}

fn role(sql: &mut String, name: &str) {
    line(
        sql,
        format_args!("\n\\getenv password {}", password_name(name)),
    );
    line(
        sql,
        format_args!(
            "SELECT 'CREATE ROLE {name}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec"
        ),
    );
    line(
        sql,
        format_args!(
            "ALTER ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';"
        ),
    );
}

/// One database per service: nobody but its own roles and the relay may connect.
fn databases(register: &Register) -> String {
    let mut sql = format!(
        "-- {NOTICE}\n-- Wants roles.sql first. Runs any number of times.\n\\set ON_ERROR_STOP on\n"
    );
    for (service, database) in register.databases() {
        let (Some(owner), Some(app)) = (service.owner_role(), service.app_role()) else {
            continue;
        };
        line(
            &mut sql,
            format_args!(
                "\nSELECT 'CREATE DATABASE {database} OWNER {owner}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec"
            ),
        );
        line(
            &mut sql,
            format_args!("REVOKE ALL ON DATABASE {database} FROM PUBLIC;"),
        );
        line(
            &mut sql,
            format_args!("GRANT CONNECT ON DATABASE {database} TO {app}, bahi_relay;"),
        );
    }
    sql
}

/// A line per topic: name, partitions, settings.
fn topics(register: &Register) -> String {
    let topics = &register.topics;
    let mut text = format!("# {NOTICE}\n# name partitions settings\n");
    for name in &topics.names {
        let retention = if topics.keep_for_ever.contains(name) {
            "-1".to_owned()
        } else {
            (u64::from(topics.retention_days) * 24 * 60 * 60 * 1000).to_string()
        };
        line(
            &mut text,
            format_args!(
                "{name} {} cleanup.policy=delete,retention.ms={retention},max.message.bytes=1048588,compression.type=producer,unclean.leader.election.enable=false",
                topics.partitions
            ),
        );
    }
    text
}

/// A line per bucket.
fn buckets(register: &Register) -> String {
    let mut text = format!("# {NOTICE}\n");
    for (_, bucket) in register.buckets() {
        line(&mut text, format_args!("{bucket}"));
    }
    if let Some(privacy) = &register.privacy {
        line(&mut text, format_args!("{}", privacy.bucket));
    }
    text
}

/// Scrape targets in the format of Prometheus' file discovery.
fn scrape_targets(register: &Register) -> String {
    let targets: Vec<_> = register
        .services()
        .iter()
        .map(|service| {
            format!(
                "  {{ \"targets\": [\"{name}:{}\"], \"labels\": {{ \"service\": \"{name}\" }} }}",
                service.admin.unwrap_or(service.http),
                name = service.name
            )
        })
        .collect();
    format!("[\n{}\n]\n", targets.join(",\n"))
}

/// Writing to a String cannot fail.
pub(crate) fn line(text: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(args);
    text.push('\n');
}
