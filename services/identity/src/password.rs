//! Passwords: what they must be like, and Argon2id off the event loop.

use std::{fmt, sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{SaltString, rand_core::OsRng},
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{Error, breached::Breached};

/// Shortest password, in characters.
pub const SHORTEST: usize = 10;
/// Longest, in characters; long enough for any phrase.
pub const LONGEST: usize = 128;
/// Longest that is looked at, in bytes: so many as the longest may have.
const MOST_BYTES: usize = 4 * LONGEST;

/// A password as a client sends it. It shows itself to nobody.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A new password: long enough, and not endless (NIST SP 800-63B, 3.1.1.2). What it is made of is its owner's business. For `#[garde(custom(..))]`.
///
/// # Errors
/// What is wrong with it.
pub fn fit(password: &Password, (): &()) -> garde::Result {
    if (SHORTEST..=LONGEST).contains(&password.0.chars().count()) {
        Ok(())
    } else {
        Err(garde::Error::new(format!(
            "must have {SHORTEST} to {LONGEST} characters"
        )))
    }
}

/// A password to be checked: not absurdly long.
///
/// # Errors
/// When it is.
pub fn given(password: &Password, (): &()) -> garde::Result {
    if password.0.len() > MOST_BYTES {
        return Err(garde::Error::new(format!(
            "must have at most {MOST_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Whose password it is to be: what somebody who knows him would try first.
#[derive(Clone, Debug)]
pub struct Owner {
    /// His e-mail address.
    pub email: String,
    /// His name.
    pub name: String,
    /// The name of the business.
    pub business: String,
}

impl Owner {
    /// Refuses a new password that is no more than what everybody may know of its owner, or is known itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check(&self, breached: &Breached, password: &Password) -> Result<(), Error> {
        self.suits(password)?;
        if breached.holds(password.as_str()).await? {
            return Err(Error::PasswordBreached);
        }
        Ok(())
    }

    fn suits(&self, password: &Password) -> Result<(), Error> {
        let letters = |text: &str| {
            let kept = text.chars().filter(|c| c.is_alphanumeric());
            kept.flat_map(char::to_lowercase).collect::<String>()
        };
        let password = letters(&password.0);
        if password.is_empty() {
            return Ok(());
        }
        let local = self.email.split('@').next().unwrap_or_default();
        if [self.email.as_str(), local]
            .map(letters)
            .contains(&password)
        {
            return Err(Error::PasswordIsAddress);
        }
        if [self.name.as_str(), &self.business]
            .map(letters)
            .contains(&password)
        {
            return Err(Error::PasswordIsName);
        }
        Ok(())
    }
}

/// Hashes and checks passwords, two at a time: each takes 19 MiB and some 30 ms, and a flood of sign-ins must not
/// take the processor from everything else.
#[derive(Clone)]
pub struct Hasher {
    permits: Arc<Semaphore>,
    /// The hash of a password that nobody knows, so that an unknown user costs as much time as a known one.
    dummy: Arc<str>,
}

const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(3);

impl Hasher {
    /// With a fresh dummy hash.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> anyhow::Result<Self> {
        let nobodys = SaltString::generate(&mut OsRng);
        let dummy = hash(nobodys.as_str()).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            dummy: dummy.into(),
        })
    }

    /// Hashes a password to be stored.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub async fn hash(&self, password: &Password) -> Result<String, Error> {
        let password = password.clone();
        self.run(move || hash(password.as_str()))
            .await?
            .map_err(Error::Hash)
    }

    /// Checks a password. Without a stored hash it does the same work and says no.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait.
    pub async fn verify(&self, password: &Password, stored: Option<&str>) -> Result<bool, Error> {
        let (known, against) = (stored.is_some(), stored.unwrap_or(&self.dummy).to_owned());
        let password = password.clone();
        Ok(self
            .run(move || matches(password.as_str(), &against))
            .await?
            && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned());
        let permit = permit
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        work.await.map_err(|_| Error::Busy)
    }
}

/// Argon2id with m = 19 MiB, t = 2, p = 1 (OWASP's password storage cheat sheet).
fn argon2() -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(19 * 1024, 2, 1, None)?,
    ))
}

fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2()?
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}

fn matches(password: &str, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else {
        return false;
    };
    // The parameters are those in the hash.
    Argon2::default()
        .verify_password(password.as_bytes(), &stored)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password(text.to_owned())
    }

    #[test]
    fn refuses_short_and_endless_passwords() {
        assert!(fit(&password("123456789"), &()).is_err());
        assert!(fit(&password("1234567890"), &()).is_ok());
        assert!(fit(&password("नमस्ते दुनिया"), &()).is_ok());
        assert!(fit(&password(&"x".repeat(128)), &()).is_ok());
        assert!(fit(&password(&"x".repeat(129)), &()).is_err());
        // What may be chosen can be given.
        let longest = password(&"😀".repeat(128));
        assert!(fit(&longest, &()).is_ok() && given(&longest, &()).is_ok());
        assert!(given(&password(&"x".repeat(513)), &()).is_err());
    }

    #[test]
    fn refuses_what_everybody_may_know_of_its_owner() {
        let owner = Owner {
            email: "asha.rao.of.pune@example.in".into(),
            name: "Asha Rao-Kulkarni".into(),
            business: "Sharma & Sons".into(),
        };
        let suits = |text: &str| owner.suits(&password(text));
        for wrong in [
            "Asha.Rao.of.Pune@Example.in",
            "asharaoofpune",
            " asha rao of pune ",
        ] {
            assert!(
                matches!(suits(wrong), Err(Error::PasswordIsAddress)),
                "{wrong}"
            );
        }
        for wrong in ["asha raokulkarni", "AshaRaoKulkarni", "sharma&sons!!"] {
            assert!(
                matches!(suits(wrong), Err(Error::PasswordIsName)),
                "{wrong}"
            );
        }
        assert!(suits("sharma, sons and daughters").is_ok());
        // Signs alone are no name.
        assert!(suits("!!!!!!!!!!").is_ok());
    }

    #[test]
    fn a_password_shows_itself_to_nobody() {
        assert_eq!(format!("{:?}", password("hunter2hunter2")), "***");
    }

    #[tokio::test]
    async fn an_unknown_user_costs_the_work_of_a_known_one() {
        let hasher = Hasher::new().unwrap();
        let stored = hasher.hash(&password("correct horse")).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(
            hasher
                .verify(&password("correct horse"), Some(&stored))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(&password("wrong horse"), Some(&stored))
                .await
                .unwrap()
        );
        // The dummy has the parameters of a real hash, and no password opens it: not even a right one.
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(parameters(&hasher.dummy), parameters(&stored));
        let open = Hasher {
            dummy: stored.into(),
            ..hasher
        };
        assert!(!open.verify(&password("correct horse"), None).await.unwrap());
    }
}
