//! The object store (S3): what is put, fetched and deleted there, and the URLs with which clients do so themselves.
//! A call is never made inside a transaction.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::DisplayErrorContext,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bahi_service::Env;
use bytes::Bytes;

/// The store cannot be reached or refuses; says why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the object store is away: {0}")]
pub struct Away(pub String);

/// An S3 server and what it is reached with.
#[derive(Clone, Debug)]
pub struct S3 {
    /// `BAHI_S3_ENDPOINT`: its URL.
    pub endpoint: String,
    /// `BAHI_S3_PUBLIC_ENDPOINT`: its URL as clients reach it, where that is another.
    pub public_endpoint: Option<String>,
    /// `BAHI_S3_REGION`: `us-east-1` when absent.
    pub region: String,
    /// `BAHI_S3_PATH_STYLE`: the bucket is part of the path, not of the host; true when absent.
    pub path_style: bool,
    /// `BAHI_S3_ACCESS_KEY`.
    pub access_key: String,
    /// `BAHI_S3_SECRET_KEY`.
    pub secret_key: String,
    /// `BAHI_S3_BUCKET`. It must be there.
    pub bucket: String,
}

impl S3 {
    /// From the environment; none where no endpoint is set.
    ///
    /// # Errors
    /// When a value is not of its type, or a store has no keys.
    pub fn read(env: &Env, bucket: &str) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = env.optional("BAHI_S3_ENDPOINT") else {
            return Ok(None);
        };
        Ok(Some(Self {
            endpoint,
            public_endpoint: env.optional("BAHI_S3_PUBLIC_ENDPOINT"),
            region: env.parse("BAHI_S3_REGION", "us-east-1".to_owned())?,
            path_style: env.parse("BAHI_S3_PATH_STYLE", true)?,
            access_key: env.required("BAHI_S3_ACCESS_KEY")?,
            secret_key: env.required("BAHI_S3_SECRET_KEY")?,
            bucket: env.parse("BAHI_S3_BUCKET", bucket.to_owned())?,
        }))
    }

    /// The bucket that every service's archives of a tenant are written to, `BAHI_EXPORTS_BUCKET`; none where no endpoint is
    /// set.
    ///
    /// # Errors
    /// As [`S3::read`].
    pub fn exports(env: &Env) -> anyhow::Result<Option<Self>> {
        let Some(s3) = Self::read(env, "exports")? else {
            return Ok(None);
        };
        let bucket = env.parse("BAHI_EXPORTS_BUCKET", "exports".to_owned())?;
        Ok(Some(Self { bucket, ..s3 }))
    }
}

/// One bucket of a store.
#[derive(Clone, Debug)]
pub struct Objects {
    client: Client,
    /// Signs URLs for those who reach the store under another address.
    signer: Client,
    bucket: String,
}

/// What lies under a key.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// More bytes than were asked for; so many, or at least so many.
    TooLong(usize),
    /// The object.
    Object(Bytes),
}

impl Objects {
    /// How long a URL for fetching is good.
    pub const VALID: Duration = Duration::from_secs(15 * 60);

    /// From the settings. Nothing is asked yet.
    pub fn new(s3: &S3) -> Self {
        let client = |endpoint: &str| {
            let patience = TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(20))
                .build();
            let credentials = Credentials::new(
                s3.access_key.as_str(),
                s3.secret_key.as_str(),
                None,
                None,
                "settings",
            );
            let config = aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(endpoint)
                .region(Region::new(s3.region.clone()))
                .credentials_provider(credentials)
                .force_path_style(s3.path_style)
                // A URL is signed before there is anything to sum up, and not every store knows the newer sums.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
                .timeout_config(patience)
                .retry_config(RetryConfig::standard().with_max_attempts(2))
                .build();
            Client::from_conf(config)
        };
        Self {
            client: client(&s3.endpoint),
            signer: client(s3.public_endpoint.as_ref().unwrap_or(&s3.endpoint)),
            bucket: s3.bucket.clone(),
        }
    }

    /// Stores an object.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), Away> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(away)?;
        Ok(())
    }

    /// Begins an object of any length.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn begin(&self, key: &str, content_type: &str) -> Result<Upload, Away> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let begun = request
            .key(key)
            .content_type(content_type)
            .send()
            .await
            .map_err(away)?;
        let id = begun.upload_id.ok_or_else(|| Away("no upload id".into()))?;
        Ok(Upload {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            id,
            parts: Vec::new(),
        })
    }

    /// Keys that begin so, in their order, at most a thousand after one; none at the end.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Away> {
        let request = self.client.list_objects_v2().bucket(&self.bucket);
        let request = request
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned));
        let found = request.send().await.map_err(away)?;
        let keys = found.contents.unwrap_or_default().into_iter();
        Ok(keys.filter_map(|object| object.key).collect())
    }

    /// An object, to be read bit by bit; none where there is nothing.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn open(&self, key: &str) -> Result<Option<Stream>, Away> {
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        match request.send().await {
            Ok(object) => Ok(Some(Stream(object.body))),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
            Err(error) => Err(away(error)),
        }
    }

    /// Fetches an object of at most `most` bytes.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn get(&self, key: &str, most: usize) -> Result<Found, Away> {
        let answer = self.client.get_object().bucket(&self.bucket).key(key);
        let mut object = match answer.send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                return Ok(Found::Nothing);
            }
            Err(error) => return Err(away(error)),
        };
        let said = object
            .content_length()
            .and_then(|n| usize::try_from(n).ok());
        if let Some(said) = said.filter(|said| *said > most) {
            return Ok(Found::TooLong(said));
        }
        let mut bytes = Vec::with_capacity(said.unwrap_or_default());
        while let Some(piece) = object.body.next().await {
            let piece = piece.map_err(|error| Away(error.to_string()))?;
            if bytes.len() + piece.len() > most {
                return Ok(Found::TooLong(bytes.len() + piece.len()));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Found::Object(bytes.into()))
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn delete(&self, key: &str) -> Result<(), Away> {
        let gone = self.client.delete_object().bucket(&self.bucket).key(key);
        match gone.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .raw_response()
                    .is_some_and(|r| r.status().as_u16() == 404) =>
            {
                Ok(())
            }
            Err(error) => Err(away(error)),
        }
    }

    /// A URL with which a client can store an object of this type and length, and no other.
    ///
    /// # Errors
    /// [`Away`] when it cannot be signed.
    pub async fn put_url(
        &self,
        key: &str,
        content_type: &str,
        length: i64,
        valid: Duration,
    ) -> Result<String, Away> {
        let request = self
            .signer
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .content_length(length);
        let signed = request.presigned(validity(valid)?).await.map_err(away)?;
        Ok(signed.uri().to_owned())
    }

    /// A URL with which a client can fetch an object.
    ///
    /// # Errors
    /// [`Away`] when it cannot be signed.
    pub async fn get_url(&self, key: &str) -> Result<String, Away> {
        let request = self.signer.get_object().bucket(&self.bucket).key(key);
        let signed = request
            .presigned(validity(Self::VALID)?)
            .await
            .map_err(away)?;
        Ok(signed.uri().to_owned())
    }
}

/// An object that is stored part by part, and is not there until it is whole.
#[derive(Debug)]
pub struct Upload {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
}

impl Upload {
    /// Stores the next part: 5 MiB at least, unless it is the last.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn part(&mut self, bytes: Bytes) -> Result<(), Away> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let request = self.client.upload_part().bucket(&self.bucket);
        let stored = request
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(away)?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(stored.e_tag)
            .build();
        self.parts.push(part);
        Ok(())
    }

    /// Makes the object of its parts.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn complete(self) -> Result<(), Away> {
        let whole = CompletedMultipartUpload::builder()
            .set_parts(Some(self.parts))
            .build();
        let request = self.client.complete_multipart_upload().bucket(self.bucket);
        let request = request.key(self.key).upload_id(self.id);
        request.multipart_upload(whole).send().await.map_err(away)?;
        Ok(())
    }

    /// Gives it up. What cannot be cleared away now the store clears away itself, by the rule of the bucket.
    pub async fn abort(self) {
        let request = self.client.abort_multipart_upload().bucket(self.bucket);
        let _ = request.key(self.key).upload_id(self.id).send().await;
    }
}

/// An object as it is read.
#[derive(Debug)]
pub struct Stream(ByteStream);

impl Stream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Away> {
        let next = self.0.next().await.transpose();
        next.map_err(|error| Away(error.to_string()))
    }
}

fn validity(valid: Duration) -> Result<PresigningConfig, Away> {
    PresigningConfig::expires_in(valid).map_err(|error| Away(error.to_string()))
}

fn away(error: impl std::error::Error) -> Away {
    Away(DisplayErrorContext(error).to_string())
}
