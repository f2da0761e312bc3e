//! The coordinator's own certificate and the one in `client.json`: made at the start, and anew at half time, without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::clock::Clock;
use roundtable_runtime::fsx;
use roundtable_runtime::identity::{Ca, ClientFile, Credentials, IdentityError, Lifetime, PeerRole};
use roundtable_runtime::tls::{ServerTls, TlsError};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::places::Places;

/// How often the age of the certificates is looked at. Often, for a host that slept: the pause counts only while it is awake.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two tries to write `client.json` where there was no room for it at the start.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate could not be made or shown.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum RenewalError {
    /// It could not be made or written.
    Identity(#[from] IdentityError),
    /// TLS does not take it.
    Tls(#[from] TlsError),
}

/// What is renewed, and with what.
pub(crate) struct Renewal {
    ca: Arc<Ca>,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    places: Arc<Places>,
    tls: ServerTls,
    shown: Credentials,
    /// What `client.json` holds.
    given: Option<Credentials>,
}

impl Renewal {
    /// Makes the coordinator's certificate, with the names of its places.
    pub(crate) fn begin(ca: Arc<Ca>, clock: Arc<dyn Clock>, data_dir: PathBuf, places: Arc<Places>) -> Result<Self, RenewalError> {
        let shown = ca.mint_coordinator("coordinator", places.names(), clock.wall())?;
        let tls = ServerTls::new(&shown)?;
        Ok(Self { ca, clock, data_dir, places, tls, shown, given: None })
    }

    /// TLS with the present certificate.
    pub(crate) fn tls(&self) -> &ServerTls {
        &self.tls
    }

    /// Writes `client.json` with credentials made for it.
    pub(crate) fn write_client_file(&mut self) -> Result<(), RenewalError> {
        let now = self.clock.wall();
        let credentials = self.ca.mint_client(PeerRole::Admin, &own_name(), now, Lifetime::CLIENT)?;
        let protocol = (*roundtable_proto::PROTOCOL.start(), *roundtable_proto::PROTOCOL.end());
        let mut file = ClientFile::of_this_process(&self.places.local().to_string(), credentials.clone(), protocol, now);
        file.advertised = self.places.others().to_vec();
        file.write(&self.data_dir)?;
        self.given = Some(credentials);
        Ok(())
    }

    /// Writes it for the first time. Where there is no room for it this is tried again until there is: those who have a certificate are served meanwhile,
    /// and old runs that are pruned may make that room.
    pub(crate) fn write_first_client_file(&mut self) -> Result<(), RenewalError> {
        match self.write_client_file() {
            Err(RenewalError::Identity(IdentityError::Io { path, source })) if fsx::is_full(&source) => {
                warn!(
                    "{}: {source}; commands on this machine do not find the coordinator until there is room, which is tried every few seconds",
                    path.display()
                );
                Ok(())
            }
            other => other,
        }
    }

    /// Renews each whenever it is due, until the coordinator stops.
    pub(crate) async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        let mut roots = self.ca.changes();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                // It lives as long as this does.
                _ = roots.changed() => {}
                () = tokio::time::sleep(if self.given.is_some() { LOOK_EVERY } else { WRITE_EVERY }) => {}
            }
            match self.renew_if_due() {
                Ok(true) => info!("certificates renewed"),
                Ok(false) => {}
                // Said once, at the start.
                Err(_) if self.given.is_none() => {}
                Err(error) => warn!(%error, "certificates could not be renewed; tried again in a minute"),
            }
        }
    }

    fn renew_if_due(&mut self) -> Result<bool, RenewalError> {
        let now = self.clock.wall();
        let roots = self.ca.bundle_pem();
        let is_client_due = match &self.given {
            Some(given) => given.is_past_half(now)? || given.ca_pem != roots,
            None => true,
        };
        if is_client_due {
            self.write_client_file()?;
        }
        let is_own_due = self.shown.is_past_half(now)? || self.shown.ca_pem != roots;
        if is_own_due {
            let shown = self.ca.mint_coordinator("coordinator", self.places.names(), now)?;
            self.tls.renew(&shown)?;
            self.shown = shown;
        }
        Ok(is_client_due || is_own_due)
    }
}

/// The name of the admin whose certificate is in `client.json`: the coordinator's own user. It is nobody else's, or who revokes the other ends this one.
pub(crate) fn own_name() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty() && user.chars().all(|each| each.is_ascii_alphanumeric()));
    user.unwrap_or_else(|| "local".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::clock::ManualClock;
    use roundtable_runtime::identity::RootStep;
    use roundtable_shared::time::WallMs;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn each_certificate_is_made_anew_at_half_time() {
        let home = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(0, WallMs(1_800_000_000_000));
        let ca = Arc::new(Ca::open_or_create(&home.path().join("ca"), clock.wall()).unwrap());
        let own = || Ok(vec!["10.1.2.3".parse().unwrap()]);
        let places = Places::of("0.0.0.0:7420".parse().unwrap(), &[], &["rt.internal".to_owned()], own).unwrap();
        let mut renewal = Renewal::begin(ca, Arc::new(clock.clone()), home.path().to_owned(), Arc::new(places)).unwrap();
        renewal.write_client_file().unwrap();
        let (shown, file) = (renewal.shown.clone(), ClientFile::read(home.path()).unwrap().unwrap());
        assert!(!renewal.renew_if_due().unwrap());
        assert_eq!((&renewal.shown, &ClientFile::read(home.path()).unwrap().unwrap()), (&shown, &file));
        clock.advance(6 * 3_600_000);
        assert!(renewal.renew_if_due().unwrap());
        let file = ClientFile::read(home.path()).unwrap().unwrap();
        assert!(renewal.shown == shown && renewal.given.as_ref() == Some(&file.credentials), "a person's lasts less long");
        assert!(!renewal.renew_if_due().unwrap());
        clock.advance(78 * 3_600_000);
        assert!(renewal.renew_if_due().unwrap());
        let later = ClientFile::read(home.path()).unwrap().unwrap();
        assert!(renewal.shown != shown && later.credentials != file.credentials);
        assert_eq!((&later.address, later.pid, &later.credentials.ca_pem), (&file.address, file.pid, &file.credentials.ca_pem));
        assert!(!renewal.renew_if_due().unwrap(), "it is fresh again");
        assert_eq!((later.address.as_str(), later.advertised.len()), ("127.0.0.1:7420", 2));
        // Every place that is told can be checked by its name, also in the renewed certificate.
        for place in std::iter::once(&later.address).chain(&later.advertised) {
            let host = place.rsplit_once(':').unwrap().0.to_owned();
            let name = rustls::pki_types::ServerName::try_from(host).unwrap();
            let der = rustls::pki_types::CertificateDer::from_pem_slice(renewal.shown.certificate_pem.as_bytes()).unwrap();
            let parsed = rustls::server::ParsedCertificate::try_from(&der).unwrap();
            rustls::client::verify_server_name(&parsed, &name).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        renewal.ca.step(RootStep::Next, clock.wall()).unwrap();
        assert!(renewal.renew_if_due().unwrap(), "there is another root to believe in");
        let bundle = renewal.ca.bundle_pem();
        assert_eq!((&renewal.shown.ca_pem, &ClientFile::read(home.path()).unwrap().unwrap().credentials.ca_pem), (&bundle, &bundle));
    }
}
