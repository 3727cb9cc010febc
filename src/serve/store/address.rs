//! `s3://bucket/prefix`: which store a repository is in, and how it is reached. Credentials and endpoints come from the environment, by the
//! names that the stores' own tools use.

use std::{env, fmt, sync::Arc, time::Duration};

use object_store::{
    ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path,
};
use url::Url;

use crate::{
    Error, Reason, Result,
    package::{PACKAGE_SUFFIX, is_one_file},
    serve::tls,
};

const FORMS: &str = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX";

/// How often a request is tried again, and for how long.
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(30);

/// Settings of the client, unless the environment has them (`AWS_TIMEOUT`). A file may take long to come, as long as it comes.
const CLIENT: [(ClientConfigKey, &str, &str); 3] = [
    (ClientConfigKey::ConnectTimeout, "CONNECT_TIMEOUT", "5 seconds"),
    (ClientConfigKey::ReadTimeout, "READ_TIMEOUT", "30 seconds"),
    (ClientConfigKey::Timeout, "TIMEOUT", "1 day"),
];

/// The address of a repository, or of one package.
#[derive(Clone, Debug)]
pub(super) struct Address {
    url: Url,
    scheme: ObjectStoreScheme,
    prefix: Path,
}

/// A store, and the place in it where the repository is.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// The address, for people.
    pub(super) address: String,
    /// Different for repositories that are not the same.
    pub(super) identity: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Parameter`] that lists the forms of addresses.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = |reason: Reason| Error::parameter("models", reason.within(format_args!("`{text}`")));
        let url = Url::parse(text).map_err(|error| wrong(Reason::because("is not an address", error)))?;
        if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
            let reason = "the address may not have a password, `?` or `#`; credentials come from the environment";
            return Err(wrong(reason.into()));
        }
        let unknown = || wrong(format!("is not an address of an object store. Give {FORMS}, or a folder").into());
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| {
            wrong(Reason::because(
                format_args!("is not an address of an object store. Give {FORMS}, or a folder"),
                error,
            ))
        })?;
        use ObjectStoreScheme::{AmazonS3, GoogleCloudStorage, MicrosoftAzure};
        if !matches!(scheme, AmazonS3 | GoogleCloudStorage | MicrosoftAzure) {
            return Err(unknown());
        }
        Ok(Self { url, scheme, prefix })
    }

    /// Prepares the client of the store; connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for settings in the environment that are wrong or missing.
    pub(super) fn bucket(&self) -> Result<Bucket> {
        tls::use_one_provider();
        macro_rules! build {
            ($builder:ty, $keys:ident, $prefix:literal, [$($endpoint:ident),*]) => {{
                let mut builder =
                    <$builder>::from_env().with_url(self.url.as_str()).with_retry(RetryConfig {
                        max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default()
                    });
                for (key, name, value) in CLIENT {
                    if env::var_os(format!("{}_{name}", $prefix)).is_none() {
                        builder = builder.with_config($keys::Client(key), value);
                    }
                }
                let endpoints = [$(builder.get_config_value(&$keys::$endpoint)),*];
                let endpoint = endpoints.into_iter().flatten().find(|endpoint| !endpoint.is_empty());
                // Whoever names an endpoint without TLS has said so.
                if endpoint.as_deref().is_some_and(is_open) {
                    builder = builder.with_config($keys::Client(ClientConfigKey::AllowHttp), "true");
                }
                let store = builder.build().map_err(|error| {
                    let what = format_args!("`{}` cannot be used with the settings in the environment", self.url);
                    Error::parameter("models", Reason::because(what, error))
                })?;
                (Arc::new(store) as Arc<dyn ObjectStore>, endpoint)
            }};
        }
        let (store, endpoint) = match self.scheme {
            ObjectStoreScheme::GoogleCloudStorage => {
                build!(GoogleCloudStorageBuilder, GoogleConfigKey, "GOOGLE", [BaseUrl])
            }
            ObjectStoreScheme::MicrosoftAzure => {
                build!(MicrosoftAzureBuilder, AzureConfigKey, "AZURE", [Endpoint])
            }
            _ => build!(AmazonS3Builder, AmazonS3ConfigKey, "AWS", [S3Endpoint, Endpoint]),
        };
        if let Some(endpoint) = endpoint.as_deref().filter(|endpoint| is_open(endpoint) && !is_local(endpoint)) {
            tracing::warn!(
                endpoint,
                "model packages cross the network unencrypted; use an endpoint with https, or --trusted-keys so that nobody can change them"
            );
        }
        let identity = format!("{} {}", self.url, endpoint.unwrap_or_default());
        Ok(Bucket { store, prefix: self.prefix.clone(), address: self.to_string(), identity })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

fn is_open(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

fn is_local(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    match url.as_ref().and_then(Url::host) {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl Bucket {
    /// The path of a name below the repository.
    pub(super) fn shown(&self, name: &str) -> String {
        if name.is_empty() { self.address.clone() } else { format!("{}/{name}", self.address) }
    }

    /// The last part of the prefix, without the ending of a package: what one package is served as.
    pub(super) fn stem(&self) -> String {
        let last = self.prefix.filename().unwrap_or_default();
        last.strip_suffix(PACKAGE_SUFFIX).and_then(|stem| stem.strip_suffix('.')).unwrap_or(last).to_owned()
    }

    /// Whether the address is that of a package in one file.
    pub(super) fn is_file(&self) -> bool {
        is_one_file(self.prefix.as_ref().as_ref())
    }

    /// What went wrong with the store, and what to do.
    pub(super) fn failed(&self, error: object_store::Error) -> Error {
        let advice = match Trouble::of(&error) {
            Trouble::Refused => {
                "the store refuses this server: check its credentials, and that they may list the bucket and read its objects: "
            }
            Trouble::Missing => "the bucket or the object does not exist: ",
            Trouble::Changed => "the object was changed while it was read: ",
            Trouble::Key => {
                "an object's key has an empty part, `.` or `..`; remove the object or give it another key: "
            }
            Trouble::NoCredentials => {
                "there are no credentials in the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and this machine \
                 gets none from its cloud: "
            }
            Trouble::Other => "",
        };
        let reason = Reason::of(error).after(advice);
        Error::unavailable(reason.within(format_args!("the model repository {} cannot be read", self.address)))
    }
}

/// What an error of a store means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Refused,
    Missing,
    Changed,
    Key,
    NoCredentials,
    Other,
}

impl Trouble {
    /// An error of a listing has its HTTP status in its text only.
    fn of(error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        let text = error.to_string();
        let status = text.split_once("non-2xx status code: ").map(|(_, rest)| rest.chars().take(3).collect::<String>());
        match (error, status.as_deref()) {
            // The last place where credentials are looked for.
            _ if text.contains("169.254.169.254") => Self::NoCredentials,
            (Store::PermissionDenied { .. } | Store::Unauthenticated { .. }, _) => Self::Refused,
            (Store::NotFound { .. }, _) => Self::Missing,
            (Store::Precondition { .. }, _) => Self::Changed,
            (Store::InvalidPath { .. }, _) => Self::Key,
            (_, Some("401" | "403")) => Self::Refused,
            (_, Some("404")) => Self::Missing,
            _ => Self::Other,
        }
    }
}

/// Whether the store has answered, and trying again will not change the answer.
pub(super) fn is_refusal(error: &object_store::Error) -> bool {
    matches!(Trouble::of(error), Trouble::Refused | Trouble::Missing | Trouble::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_three_stores_are_read() {
        for (text, prefix) in [
            ("s3://plant/models", "models"),
            ("s3://plant", ""),
            ("s3://plant/line%203/models/", "line 3/models"),
            ("gs://plant/a/b", "a/b"),
            ("az://plant/models", "models"),
            ("abfss://plant@account.dfs.core.windows.net/models", "models"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.prefix.as_ref(), prefix, "{text}");
            assert!(!address.to_string().ends_with('/'));
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_forms() {
        for text in ["file:///models", "memory:///", "http://plant/models", "ftp://plant/models", "s3:///models"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("s3://BUCKET/PREFIX"), "{error}");
        }
        for text in ["s3://plant/models?versionId=1", "s3://plant/models#1", "s3://user:secret@plant/models"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("environment"), "{error}");
        }
        assert!(Address::parse("://").unwrap_err().to_string().contains("is not an address"));
    }

    #[test]
    fn one_package_is_named_by_its_key() {
        let bucket = |prefix: &str| Bucket {
            store: Arc::new(object_store::memory::InMemory::new()),
            prefix: Path::parse(prefix).unwrap(),
            address: String::new(),
            identity: String::new(),
        };
        assert_eq!((bucket("a/bolt.uflow").stem().as_str(), bucket("a/bolt.uflow").is_file()), ("bolt", true));
        assert_eq!((bucket("a/bolt").stem().as_str(), bucket("a/bolt").is_file()), ("bolt", false));
        assert_eq!(bucket("").stem(), "");
    }

    #[test]
    fn endpoints_of_this_machine_are_local() {
        assert!(is_local("http://127.0.0.1:9000") && is_local("http://[::1]:9000") && is_local("http://localhost"));
        assert!(!is_local("http://minio:9000") && !is_local("http://10.0.0.1"));
    }
}
