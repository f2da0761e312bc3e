//! Profiles: coordinators that this user has logged in to, each by a name and with the certificate it gave. A private file each, below the data directory.

use std::path::{Path, PathBuf};

use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize};

use super::files::{read_private, write_private};
use super::{Credentials, Csr, IdentityError, check_id, new_csr};
use crate::fsx;

/// Most profiles.
const PROFILES_MAX: usize = 64;

/// A coordinator one has logged in to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// `https://HOST:PORT`.
    pub url: String,
    /// What it gave.
    pub credentials: Credentials,
    /// When.
    pub logged_in_at: WallMs,
}

impl Profile {
    /// How the profile of a coordinator there is called if nobody says otherwise: by its host.
    pub fn name_of(url: &str) -> String {
        let place = place_of(url);
        let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host);
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let name: String = host.chars().map(plain).take(100).collect();
        let name = name.trim_start_matches(['-', '.']).trim_end_matches('-');
        if name.is_empty() { "coordinator".to_owned() } else { name.to_owned() }
    }
}

/// The profiles of a data directory.
#[derive(Clone, Debug)]
pub struct Profiles {
    dir: PathBuf,
}

impl Profiles {
    /// Those of this data directory; there need be none yet.
    pub fn of(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("profiles") }
    }

    /// Writes one, whole or not at all.
    pub fn keep(&self, profile: &Profile) -> Result<(), IdentityError> {
        check_id(&profile.name)?;
        fsx::create_private_dir(&self.dir).map_err(IdentityError::io(&self.dir))?;
        let names = self.names()?;
        if names.len() >= PROFILES_MAX && !names.contains(&profile.name) {
            let why = format!("it holds {PROFILES_MAX} profiles, and more are not kept; remove those of coordinators that are gone");
            return Err(IdentityError::BadFile { path: self.dir.clone(), why });
        }
        write_private(&self.path(&profile.name), profile)?;
        // It is in the profile now.
        let _ = std::fs::remove_file(self.key_path(&profile.name));
        Ok(())
    }

    /// A request for the key that the profile of this name is to have: made and kept until the profile is, so that a try that was cut off goes on with it.
    pub fn key_for(&self, name: &str) -> Result<Csr, IdentityError> {
        check_id(name)?;
        fsx::create_private_dir(&self.dir).map_err(IdentityError::io(&self.dir))?;
        let path = self.key_path(name);
        if let Some(key_pem) = read_private::<String>(&path)? {
            return Csr::of_key(&key_pem);
        }
        let made = new_csr()?;
        write_private(&path, &made.key_pem)?;
        Ok(made)
    }

    /// Reads one; `None` if there is none of that name.
    pub fn read(&self, name: &str) -> Result<Option<Profile>, IdentityError> {
        check_id(name)?;
        let read = read_private::<Profile>(&self.path(name)).map_err(|error| match error {
            IdentityError::BadFile { path, why } if !why.contains("chmod") => {
                IdentityError::BadFile { why: format!("{why}; remove it, and log in again"), path }
            }
            other => other,
        });
        Ok(read?.map(|read| Profile { name: name.to_owned(), ..read }))
    }

    /// Their names, in order.
    pub fn names(&self) -> Result<Vec<String>, IdentityError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
            Err(error) => return Err(IdentityError::io(&self.dir)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(IdentityError::io(&self.dir))?.file_name();
            names
                .extend(name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|name| check_id(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The one that was logged in to last.
    pub fn last(&self) -> Result<Option<Profile>, IdentityError> {
        Ok(self.all()?.into_iter().max_by_key(|profile| profile.logged_in_at))
    }

    /// The latest that leads to this address.
    pub fn of_url(&self, url: &str) -> Result<Option<Profile>, IdentityError> {
        let place = place_of(url);
        let fitting = self.all()?.into_iter().filter(|profile| place_of(&profile.url) == place);
        Ok(fitting.max_by_key(|profile| profile.logged_in_at))
    }

    /// Removes one; whether there was one. The key of a login to it that was cut off goes too.
    pub fn remove(&self, name: &str) -> Result<bool, IdentityError> {
        check_id(name)?;
        let _ = std::fs::remove_file(self.key_path(name));
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(IdentityError::io(&path)(error)),
        }
    }

    fn all(&self) -> Result<Vec<Profile>, IdentityError> {
        let mut all = Vec::new();
        for name in self.names()? {
            // One that was removed meanwhile is none.
            all.extend(self.read(&name)?);
        }
        Ok(all)
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }
}

/// `host:port`, however it was written.
fn place_of(url: &str) -> String {
    url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::identity::{Ca, Lifetime, PeerRole};

    const NOW: WallMs = WallMs(1_800_000_000_000);

    fn profile(ca: &Ca, name: &str, url: &str, at: u64) -> Profile {
        let credentials = ca.mint_client(PeerRole::Operator, "ann", NOW, Lifetime::CLIENT).unwrap();
        Profile { name: name.to_owned(), url: url.to_owned(), credentials, logged_in_at: WallMs(at) }
    }

    #[test]
    fn profiles_are_found_by_name_by_address_and_by_the_last_login() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(&home.path().join("ca"), NOW).unwrap();
        let profiles = Profiles::of(home.path());
        assert_eq!((profiles.names().unwrap().len(), profiles.last().unwrap(), profiles.read("a").unwrap()), (0, None, None));
        let (a, b) = (profile(&ca, "a", "https://a:1", 2), profile(&ca, "b", "https://b:1", 1));
        profiles.keep(&a).unwrap();
        profiles.keep(&b).unwrap();
        assert_eq!(profiles.names().unwrap(), ["a", "b"]);
        assert_eq!((profiles.last().unwrap(), profiles.read("b").unwrap()), (Some(a.clone()), Some(b.clone())));
        assert_eq!(profiles.of_url("B:1/").unwrap(), Some(b.clone()));
        assert_eq!(profiles.of_url("https://b:2").unwrap(), None);
        let again = Profile { logged_in_at: WallMs(3), ..b };
        profiles.keep(&again).unwrap();
        assert_eq!(profiles.last().unwrap().as_ref(), Some(&again));
        assert!(profiles.remove("b").unwrap() && !profiles.remove("b").unwrap());
        assert_eq!(profiles.last().unwrap(), Some(a));
        assert!(!format!("{again:?}").contains("PRIVATE"));
    }

    #[test]
    fn they_are_private_bounded_and_named_as_files_can_be() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(&home.path().join("ca"), NOW).unwrap();
        let profiles = Profiles::of(home.path());
        for bad in ["", "../x", "a/b", ".hidden"] {
            assert!(
                profiles.read(bad).is_err() && profiles.remove(bad).is_err() && profiles.keep(&profile(&ca, bad, "h:1", 1)).is_err(),
                "{bad:?}"
            );
        }
        for n in 0..PROFILES_MAX {
            profiles.keep(&profile(&ca, &format!("p{n}"), "h:1", 1)).unwrap();
        }
        assert!(profiles.keep(&profile(&ca, "more", "h:1", 1)).unwrap_err().to_string().contains("more are not kept"));
        profiles.keep(&profile(&ca, "p0", "h:2", 1)).unwrap();
        let path = home.path().join("profiles/p0.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(profiles.read("p0").unwrap_err().to_string().contains("chmod 600"));
        fsx::write_atomic(&path, b"{", fsx::PRIVATE).unwrap();
        assert!(profiles.last().unwrap_err().to_string().contains("log in again"));
    }

    #[test]
    fn a_login_that_was_cut_off_goes_on_with_its_key() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(&home.path().join("ca"), NOW).unwrap();
        let profiles = Profiles::of(home.path());
        let first = profiles.key_for("a").unwrap();
        assert_eq!(profiles.key_for("a").unwrap().fingerprint, first.fingerprint);
        assert!(profiles.names().unwrap().is_empty(), "a key is no profile");
        profiles.keep(&profile(&ca, "a", "https://a:1", 1)).unwrap();
        assert_ne!(profiles.key_for("a").unwrap().fingerprint, first.fingerprint, "the next login has a key of its own");
        let begun = profiles.key_for("a").unwrap();
        profiles.remove("a").unwrap();
        assert_ne!(profiles.key_for("a").unwrap().fingerprint, begun.fingerprint, "nothing stays of one that was given up");
        assert!(profiles.key_for("../a").is_err());
    }

    #[test]
    fn a_profile_is_called_by_its_host() {
        for (url, name) in [
            ("https://build.example:7420", "build.example"),
            ("10.1.2.3:1/", "10.1.2.3"),
            ("https://[fd00::2]:7420", "fd00--2"),
            ("", "coordinator"),
        ] {
            assert_eq!(Profile::name_of(url), name);
            check_id(&Profile::name_of(url)).unwrap();
        }
    }
}
