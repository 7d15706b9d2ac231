//! What a register must fulfil beyond being well formed.

use std::{collections::HashMap, fmt};

use crate::{Register, Route, Search, Service};

/// One thing that the register says and that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every problem, not only the first: a register is mended in one go.
pub(crate) fn problems(register: &Register) -> Vec<Problem> {
    let mut found = Found::default();
    found.topics(register);
    found.privacy(register);
    for service in register.services() {
        found.service(register, service);
    }
    found.doubles(register);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn require(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Problem(message()));
        }
    }

    fn topics(&mut self, register: &Register) {
        let topics = &register.topics;
        self.require(topics.partitions > 0, || {
            "topics: partitions must be at least 1".into()
        });
        self.require(topics.retention_days > 0, || {
            "topics: retention_days must be at least 1".into()
        });
        for name in &topics.names {
            self.require(is_topic(name), || {
                format!("topics: `{name}` is not <domain>.events.v<n>")
            });
        }
        for name in &topics.keep_for_ever {
            self.require(topics.names.contains(name), || {
                format!("topics: `{name}` is kept for ever but is not a topic")
            });
        }
    }

    fn privacy(&mut self, register: &Register) {
        let Some(privacy) = &register.privacy else {
            return;
        };
        let (topic, bucket) = (&privacy.topic, &privacy.bucket);
        self.require(register.topics.names.contains(topic), || {
            format!("privacy: unknown topic `{topic}`")
        });
        self.require(
            is_word(bucket, '-') && (3..=63).contains(&bucket.len()),
            || format!("privacy: `{bucket}` is not the name of a bucket"),
        );
        for service in register.services() {
            let name = &service.name;
            self.require(
                service.hears.contains(topic) == service.says.contains(topic),
                || format!("{name}: who hears `{topic}` answers there, and nobody else does"),
            );
            self.require(service.database.is_none() || service.hears.contains(topic), || {
                format!("{name}: has a database and does not hear `{topic}`: it would be left out of exports and erasures")
            });
        }
    }

    fn service(&mut self, register: &Register, service: &Service) {
        let name = &service.name;
        self.require(is_word(name, '-'), || {
            format!("`{name}` is not a kebab-case name")
        });
        self.require(service.http >= 1024, || {
            format!("{name}: port {} is privileged", service.http)
        });
        if let Some(grpc) = service.grpc {
            self.require(service.http.checked_add(1000) == Some(grpc), || {
                format!("{name}: gRPC listens on http + 1000, not on {grpc}")
            });
        }
        if let Some(database) = &service.database {
            self.require(
                *database == format!("bahi_{}", name.replace('-', "_")),
                || format!("{name}: its database bears its name, not `{database}`"),
            );
        }
        if let Some(bucket) = &service.bucket {
            self.require(
                is_word(bucket, '-') && (3..=63).contains(&bucket.len()),
                || format!("{name}: `{bucket}` is not the name of a bucket"),
            );
        }
        for topic in service.says.iter().chain(&service.hears) {
            self.require(register.topics.names.contains(topic), || {
                format!("{name}: unknown topic `{topic}`")
            });
        }
        self.require(
            service.database.is_some() || (service.says.is_empty() && service.hears.is_empty()),
            || format!("{name}: outbox and inbox need a database"),
        );
        for call in &service.calls {
            let answers = register
                .services()
                .iter()
                .any(|other| other.name == call.service && other.grpc.is_some());
            self.require(answers && call.service != *name, || {
                format!(
                    "{name}: calls {}, which is not another service with gRPC",
                    call.service
                )
            });
            self.require(
                call.rpc.chars().all(|c| c.is_ascii_alphanumeric())
                    && call.rpc.starts_with(|c: char| c.is_ascii_uppercase()),
                || format!("{name}: `{}` is not the name of an RPC", call.rpc),
            );
        }
        for route in &service.routes {
            self.route(service, route);
        }
        for search in &service.search {
            self.search(service, search);
        }
    }

    fn search(&mut self, service: &Service, search: &Search) {
        let (name, kind, path) = (&service.name, &search.kind, &search.path);
        self.require(is_word(kind, '_'), || {
            format!("{name}: `{kind}` is not the name of a kind")
        });
        self.require(!service.routes.is_empty(), || {
            format!("{name}: searches for {kind}, but the gateway has no way to it")
        });
        let inner = path.strip_prefix("/internal/v1/search/");
        let plain = |part: &str| is_word(part, '-');
        self.require(
            inner.is_some_and(|inner| inner.split('/').all(plain)),
            || format!("{name}: `{path}` is not a path below /internal/v1/search/"),
        );
        self.permission(service, &search.read);
    }

    fn permission(&mut self, service: &Service, permission: &str) {
        let name = &service.name;
        let words: Vec<_> = permission.split('.').collect();
        self.require(
            words.len() == 3
                && words.iter().all(|word| is_word(word, '_'))
                && words[0] == name.replace('-', "_"),
            || format!("{name}: `{permission}` is not {name}.<noun>.<verb>"),
        );
    }

    fn route(&mut self, service: &Service, route: &Route) {
        let (name, path) = (&service.name, &route.path);
        self.require(
            path.len() > 1 && path.starts_with('/') && !path.ends_with('/') && !path.contains("//"),
            || format!("{name}: `{path}` is not an absolute path without a trailing slash"),
        );
        let permissions = [&route.read, &route.write];
        self.require(
            !route.public || permissions.iter().all(|permission| permission.is_none()),
            || format!("{name}: `{path}` is public and asks for a permission"),
        );
        self.require(
            !route.websocket || (!route.public && route.write.is_none()),
            || format!("{name}: `{path}` is a WebSocket: it needs a session, and its permission is `read`"),
        );
        for permission in permissions.into_iter().flatten() {
            self.permission(service, permission);
        }
    }

    fn doubles(&mut self, register: &Register) {
        let services = register.services();
        self.unique("name", services.iter().map(|service| service.name.clone()));
        self.unique(
            "port",
            services
                .iter()
                .flat_map(|service| [Some(service.http), service.admin, service.grpc])
                .flatten()
                .map(|port| port.to_string()),
        );
        self.unique(
            "database",
            services
                .iter()
                .filter_map(|service| service.database.clone()),
        );
        self.unique(
            "bucket",
            services
                .iter()
                .filter_map(|service| service.bucket.clone())
                .chain(register.privacy.iter().map(|p| p.bucket.clone())),
        );
        self.unique(
            "path",
            services
                .iter()
                .flat_map(|service| &service.routes)
                .map(|route| route.path.clone()),
        );
        self.unique(
            "kind",
            register.searches().map(|(_, search)| search.kind.clone()),
        );
        self.unique("topic", register.topics.names.iter().cloned());
        for service in services {
            self.unique(
                "entry in says",
                service
                    .says
                    .iter()
                    .map(|topic| format!("{}: {topic}", service.name)),
            );
            self.unique(
                "entry in hears",
                service
                    .hears
                    .iter()
                    .map(|topic| format!("{}: {topic}", service.name)),
            );
        }
    }

    fn unique(&mut self, what: &str, values: impl Iterator<Item = String>) {
        let mut seen = HashMap::<String, u32>::new();
        for value in values {
            let times = seen.entry(value.clone()).or_default();
            *times += 1;
            if *times == 2 {
                self.0
                    .push(Problem(format!("{what} `{value}` stands twice")));
            }
        }
    }
}

/// Lower-case words of letters and digits, joined by a separator.
fn is_word(text: &str, separator: char) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split(separator).all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

fn is_topic(name: &str) -> bool {
    name.split_once(".events.v")
        .is_some_and(|(domain, version)| {
            is_word(domain, '-')
                && !version.is_empty()
                && version.chars().all(|c| c.is_ascii_digit())
        })
}
