use bahi_objects::{Objects, S3};

use crate::test_env;

/// The S3 store of the tests.
pub struct TestStore {
    /// Its URL.
    pub endpoint: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl TestStore {
    /// The store that `BAHI_TEST_S3` names.
    ///
    /// # Panics
    /// When it is not of the form `http://access:secret@host:port`.
    pub fn of_env() -> Self {
        let url = test_env("BAHI_TEST_S3");
        let parts = || {
            let (scheme, rest) = url.split_once("://")?;
            let (keys, host) = rest.rsplit_once('@')?;
            let (access, secret) = keys.split_once(':')?;
            Some(Self {
                endpoint: format!("{scheme}://{host}"),
                access_key: access.into(),
                secret_key: secret.into(),
            })
        };
        parts().expect("BAHI_TEST_S3 is http://access:secret@host:port")
    }

    /// What a service that keeps pictures there is told.
    pub fn settings(&self) -> [(&'static str, &str); 5] {
        self.settings_of("products")
    }

    /// What a service with this bucket is told.
    pub fn settings_of<'s>(&'s self, bucket: &'s str) -> [(&'static str, &'s str); 5] {
        [
            ("BAHI_S3_ENDPOINT", &self.endpoint),
            ("BAHI_S3_PUBLIC_ENDPOINT", &self.endpoint),
            ("BAHI_S3_ACCESS_KEY", &self.access_key),
            ("BAHI_S3_SECRET_KEY", &self.secret_key),
            ("BAHI_S3_BUCKET", bucket),
        ]
    }

    /// A bucket, as a service sees it.
    pub fn bucket(&self, name: &str) -> Objects {
        Objects::new(&S3 {
            endpoint: self.endpoint.clone(),
            public_endpoint: None,
            region: "us-east-1".into(),
            path_style: true,
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            bucket: name.into(),
        })
    }
}
