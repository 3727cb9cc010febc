//! Certificates, tokens and trusted keys: read before anything starts. Certificates and tokens are read again when their files change.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    config::{Config, TlsFiles},
    tls::{Tls, stamp},
    tokens::Tokens,
};
use crate::{Result, engine::EngineOptions, package::TrustedKeys};

/// Time between two looks at the files.
const RELOAD: Duration = Duration::from_secs(2);

/// What is read from files before anything starts.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) grpc_tls: Option<Arc<Tls>>,
    pub(super) http_tls: Option<Arc<Tls>>,
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) trusted_keys: Option<Arc<TrustedKeys>>,
}

impl Secrets {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) that names the file.
    pub(super) fn load(config: &Config) -> Result<Self> {
        let tls = |files: &TlsFiles, protocol| Tls::load(files.clone(), protocol).map(Arc::new);
        let grpc_tls = config.tls.as_ref().map(|files| tls(files, b"h2")).transpose()?;
        let http_tls =
            config.tls.as_ref().filter(|_| config.http_tls).map(|files| tls(files, b"http/1.1")).transpose()?;
        let tokens = config.tokens.as_deref().map(Tokens::load).transpose()?.map(Arc::new);
        let trusted_keys = config.trusted_keys.as_deref().map(TrustedKeys::read).transpose()?.map(Arc::new);
        Ok(Self { grpc_tls, http_tls, tokens, trusted_keys })
    }

    /// The options of the engine.
    pub(super) fn engine_options(&self, config: &Config) -> EngineOptions {
        EngineOptions { trusted_keys: self.trusted_keys.clone(), ..config.engine.clone() }
    }

    /// Reads certificates again whenever their files change, on a thread where reading may block. If a file is wrong, that is
    /// logged and the certificates before stay in use. Tokens have rules of their own: see [`Tokens::watch`].
    pub(super) async fn watch(self, config: Config) {
        if self.grpc_tls.is_none() {
            return;
        }
        let tls = config.tls.iter();
        let files = tls.flat_map(|tls| [Some(tls.cert.clone()), Some(tls.key.clone()), tls.client_ca.clone()]);
        let files: Vec<PathBuf> = files.flatten().collect();
        let stamps = |files: &[PathBuf]| stamp(files.iter().map(|path| &**path));
        let mut state = (self, stamps(&files), files);
        loop {
            tokio::time::sleep(RELOAD).await;
            let looked = tokio::task::spawn_blocking(move || {
                let (secrets, seen, files) = state;
                let now = stamps(&files);
                if now != seen {
                    let tls = secrets.grpc_tls.iter().chain(&secrets.http_tls);
                    tls.for_each(|tls| report("certificates", tls.reload()));
                }
                (secrets, now, files)
            });
            state = match looked.await {
                Ok(state) => state,
                // The server is ending, or reading panicked and said so.
                Err(error) => return tracing::debug!(%error, "certificates are not watched any more"),
            };
        }
    }
}

fn report(what: &str, result: Result<()>) {
    match result {
        Ok(()) => tracing::info!(what, "reloaded"),
        Err(error) => tracing::error!(what, %error, "cannot be reloaded; what was in use stays in use"),
    }
}
