//! What a command shows of itself: the certificate of a profile, renewed past half of its time, or the one in `client.json`, which its coordinator renews. A
//! command that lasts longer than either asks here for what there is whenever it connects again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roundtable_proto::v1;
use roundtable_proto::v1::admission_client::AdmissionClient;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{ClientFile, Credentials, Profile, Profiles, new_csr};
use roundtable_runtime::tls::{Asked, Source, connect};

/// Longest wait for a younger certificate, its connection included.
const RENEW_WITHIN: Duration = Duration::from_secs(8);

/// What a profile holds then.
pub fn of_profile(data_dir: &Path, name: &str, url: &str) -> Source {
    let (data_dir, name, url): (Arc<Path>, Arc<str>, Arc<str>) = (data_dir.into(), name.into(), url.into());
    Arc::new(move || -> Asked {
        let (data_dir, name, url) = (Arc::clone(&data_dir), Arc::clone(&name), Arc::clone(&url));
        Box::pin(async move {
            let read = Profiles::of(&data_dir).read(&name);
            let profile = read.inspect_err(|error| tracing::warn!(%error, "the profile cannot be read")).ok()??;
            Some(kept_fresh(&data_dir, &profile, &url).await)
        })
    })
}

/// What `client.json` holds then.
pub fn of_client_file(data_dir: &Path) -> Source {
    let data_dir: Arc<Path> = data_dir.into();
    Arc::new(move || -> Asked {
        let data_dir = Arc::clone(&data_dir);
        Box::pin(async move {
            let read = ClientFile::read(&data_dir);
            read.inspect_err(|error| tracing::warn!(%error, "client.json cannot be read")).ok()?.map(|file| file.credentials)
        })
    })
}

/// What to show: a younger certificate for another key once half of the time is over. If it cannot be had now, the old one may still do.
pub async fn kept_fresh(data_dir: &Path, profile: &Profile, url: &str) -> Credentials {
    let now = SystemClock.wall();
    if !profile.credentials.is_past_half(now).unwrap_or(false) {
        return profile.credentials.clone();
    }
    match tokio::time::timeout(RENEW_WITHIN, renewed(profile, url)).await {
        Ok(Some(credentials)) => {
            let renewed = Profile { credentials: credentials.clone(), ..profile.clone() };
            if let Err(error) = Profiles::of(data_dir).keep(&renewed) {
                tracing::warn!(%error, "the renewed certificate could not be kept");
            }
            credentials
        }
        Ok(None) | Err(_) => profile.credentials.clone(),
    }
}

async fn renewed(profile: &Profile, url: &str) -> Option<Credentials> {
    let csr = new_csr().ok()?;
    let channel = connect(url, &profile.credentials).await.ok()?;
    let reply = AdmissionClient::new(channel).renew(v1::RenewRequest { csr_pem: csr.request_pem }).await;
    let reply = reply.inspect_err(|status| tracing::warn!(%status, "the profile's certificate could not be renewed")).ok()?.into_inner();
    Some(Credentials { ca_pem: reply.ca_pem, certificate_pem: reply.certificate_pem, key_pem: csr.key_pem })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::identity::{Ca, Lifetime, PeerRole};
    use roundtable_shared::time::WallMs;

    use super::*;

    #[tokio::test]
    async fn each_dial_gets_what_the_files_hold_then() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock.wall();
        let ca = Ca::open_or_create(&dir.path().join("ca"), now).unwrap();
        let minted = |at: WallMs| ca.mint_client(PeerRole::Operator, "ann", at, Lifetime::CLIENT).unwrap();
        let profile = of_profile(dir.path(), "build", "https://127.0.0.1:1");
        let own = of_client_file(dir.path());
        assert!(profile().await.is_none() && own().await.is_none(), "there are none yet");
        // The last one is past half of its time, and nobody is there to renew it: it still does.
        for credentials in [minted(now), minted(now), minted(WallMs(now.0 - 7 * 3_600_000))] {
            let kept =
                Profile { name: "build".into(), url: "https://127.0.0.1:1".into(), credentials: credentials.clone(), logged_in_at: now };
            Profiles::of(dir.path()).keep(&kept).unwrap();
            ClientFile::of_this_process("127.0.0.1:1", credentials.clone(), (1, 1), now).write(dir.path()).unwrap();
            assert_eq!((profile().await, own().await), (Some(credentials.clone()), Some(credentials)));
        }
    }
}
