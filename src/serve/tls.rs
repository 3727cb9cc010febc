//! TLS and mutual TLS (rustls), from PEM files that may be replaced while the server runs.

use std::{path::Path, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

use super::config::TlsFiles;
use crate::{Error, Reason, Result, error::Source};

/// The TLS configuration of a port. New connections use the newest.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    protocol: &'static [u8],
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files. `protocol` is the ALPN name of the protocol inside: `h2` or `http/1.1`.
    ///
    /// # Errors
    /// [`Error::Data`] that names the file and what is wrong with it.
    pub fn load(files: TlsFiles, protocol: &'static [u8]) -> Result<Self> {
        let current = ArcSwap::from_pointee(read(&files, protocol)?);
        Ok(Self { files, protocol, current })
    }

    /// The acceptor for the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again. If they are wrong, the configuration in use stays.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<()> {
        self.current.store(Arc::new(read(&self.files, self.protocol)?));
        Ok(())
    }
}

/// Sizes and times of files. They differ when a file has been replaced.
pub fn stamp<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<Option<(u64, SystemTime)>> {
    let of = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    files.into_iter().map(of).collect()
}

fn read(files: &TlsFiles, protocol: &[u8]) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let certs = certificates(&files.cert)?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(wrong(&files.key, "has no private key that can be read"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(wrong(&files.cert, "TLS cannot be set up"))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(wrong(path, "has a certificate that cannot be an authority"))?;
            }
            let verifier: Arc<dyn ClientCertVerifier> =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(wrong(path, "cannot verify clients"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certs, key).map_err(wrong(&files.cert, "does not go with its key"))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(wrong(path, "cannot be read as PEM"))?
        .collect::<Result<_, _>>()
        .map_err(wrong(path, "has a certificate that cannot be read"))?;
    if certificates.is_empty() {
        return Err(Error::data(path, "has no certificate"));
    }
    Ok(certificates)
}

fn wrong<E: Into<Source>>(path: &Path, what: &str) -> impl FnOnce(E) -> Error {
    move |error| Error::data(path, Reason::because(what, error))
}

/// Names the provider of cryptography for clients that make their own TLS. They take the process's, and there is one in this program.
pub(super) fn use_one_provider() {
    if CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster.
        let _ = ring::default_provider().install_default();
    }
}
