//! The certificate of the page, from files that somebody else renews: read again, without a restart, once they have changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use roundtable_runtime::fsx;
use roundtable_runtime::identity::Ca;
use roundtable_runtime::tls::page_config;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::HttpError;

/// Largest of the two files.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// What is shown, and where it comes from.
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    /// Whose certificates tell who asks.
    ca: Arc<Ca>,
    ca_pem: String,
    acceptor: TlsAcceptor,
    written: Written,
}

/// When the files were last written.
type Written = [Option<SystemTime>; 2];

impl Certificate {
    pub(super) fn load(chain: PathBuf, key: PathBuf, ca: Arc<Ca>) -> Result<Self, HttpError> {
        let (written, ca_pem) = (written(&chain, &key), ca.bundle_pem());
        let acceptor = acceptor(&chain, &key, &ca_pem)?;
        Ok(Self { chain, key, ca, ca_pem, acceptor, written })
    }

    /// For the next connection. Files that cannot be used leave the certificate as it is, until they, or the cluster's roots, change again.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        let (now, roots) = (written(&self.chain, &self.key), self.ca.bundle_pem());
        if now != self.written || roots != self.ca_pem {
            (self.written, self.ca_pem) = (now, roots);
            match acceptor(&self.chain, &self.key, &self.ca_pem) {
                Ok(acceptor) => {
                    info!(file = %self.chain.display(), "the certificate of --http has been read again");
                    self.acceptor = acceptor;
                }
                Err(error) => warn!(%error, "the certificate of --http could not be read again; the one before is shown"),
            }
        }
        self.acceptor.clone()
    }
}

fn written(chain: &Path, key: &Path) -> Written {
    [chain, key].map(|file| std::fs::metadata(file).and_then(|found| found.modified()).ok())
}

fn acceptor(chain: &Path, key: &Path, ca_pem: &str) -> Result<TlsAcceptor, HttpError> {
    let (certificate_pem, key_pem) = (read(chain)?, read(key)?);
    let config =
        page_config(&certificate_pem, &key_pem, ca_pem).map_err(|source| HttpError::Certificate { path: chain.to_owned(), source })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<String, HttpError> {
    let bad = |source| HttpError::File { path: path.to_owned(), source };
    let bytes = fsx::read_bounded(path, FILE_BYTES_MAX).map_err(bad)?;
    let bytes = bytes.ok_or_else(|| bad(std::io::ErrorKind::NotFound.into()))?;
    String::from_utf8(bytes).map_err(|_| bad(std::io::ErrorKind::InvalidData.into()))
}
