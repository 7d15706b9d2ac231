//! Configuration from the environment: every value that is asked for is remembered, so that `config` can print
//! it with secrets masked, and everything that is missing is reported at once.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, sync::Arc};

use parking_lot::Mutex;

/// Reads settings. Clones share what they have read.
#[derive(Clone, Default)]
pub struct Env {
    overrides: Arc<BTreeMap<String, String>>,
    seen: Arc<Mutex<BTreeMap<String, Option<String>>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Env {
    /// Settings of which `overrides` come before the process environment.
    pub fn with(overrides: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            overrides: Arc::new(overrides.into_iter().collect()),
            ..Self::default()
        }
    }

    /// A setting that may be absent. An empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<String> {
        let value = self
            .overrides
            .get(name)
            .cloned()
            .or_else(|| std::env::var(name).ok());
        let value = value.filter(|v| !v.is_empty());
        self.seen.lock().insert(name.to_owned(), value.clone());
        value
    }

    /// A setting that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn required(&self, name: &str) -> anyhow::Result<String> {
        self.optional(name)
            .ok_or_else(|| self.complain(format!("{name} is not set")))
    }

    /// A setting of a type, or its default.
    ///
    /// # Errors
    /// When its text is not of that type.
    pub fn parse<T: FromStr>(&self, name: &str, default: T) -> anyhow::Result<T>
    where
        T::Err: Display,
    {
        match self.optional(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|e| self.complain(format!("{name}={text}: {e}"))),
        }
    }

    fn complain(&self, what: String) -> anyhow::Error {
        self.wrong.lock().push(what.clone());
        anyhow::anyhow!(what)
    }

    /// All that is wrong so far.
    pub fn problems(&self) -> Vec<String> {
        self.wrong.lock().clone()
    }

    /// Every setting asked for so far, secrets masked.
    pub fn masked(&self) -> Vec<(String, String)> {
        let mask = |name: &str, value: &str| match value.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://***@{host}"),
                None => value.to_owned(),
            },
            None if ["SECRET", "PASSWORD", "TOKEN"]
                .iter()
                .any(|s| name.contains(s)) =>
            {
                "***".into()
            }
            None => value.to_owned(),
        };
        self.seen
            .lock()
            .iter()
            .map(|(name, value)| {
                let shown = value
                    .as_deref()
                    .map_or_else(|| "(not set)".into(), |v| mask(name, v));
                (name.clone(), shown)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_is_secret_and_shows_the_rest() {
        let env = Env::with([
            (
                "BAHI_DATABASE_URL".into(),
                "postgres://bahi:pw@127.0.0.1/x".into(),
            ),
            ("BAHI_SECRET".into(), "s".into()),
            ("BAHI_LISTEN".into(), "127.0.0.1:1".into()),
        ]);
        for name in [
            "BAHI_DATABASE_URL",
            "BAHI_SECRET",
            "BAHI_LISTEN",
            "BAHI_ABSENT_X",
        ] {
            env.optional(name);
        }
        let shown = env
            .masked()
            .into_iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                "BAHI_ABSENT_X=(not set)",
                "BAHI_DATABASE_URL=postgres://***@127.0.0.1/x",
                "BAHI_LISTEN=127.0.0.1:1",
                "BAHI_SECRET=***"
            ]
        );
    }
}
