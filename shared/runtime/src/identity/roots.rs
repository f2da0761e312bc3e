//! The roots of a cluster on disk: the one that signs, the next one while it is made known, the former one while certificates of it last. Each step of a
//! rotation is whole or not done, whenever the process dies.

use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use roundtable_shared::time::WallMs;

use super::ca_files::{bad_file, read};
use super::certificate::{CLOCK_SKEW, new_root};
use super::intermediate::vouch_for;
use super::{IdentityError, Pin, root_made_at};
use crate::fsx;

/// A next root is made known this long before it signs: every certificate has been renewed by then, and with it the roots its bearer believes in.
const KNOWN_FOR_MS: u64 = 24 * 3_600_000;

/// The former root is believed in for this long after it has signed last: a worker's certificate is good for a day, and can be renewed for thirty.
const NEEDED_FOR_MS: u64 = 31 * 24 * 3_600_000;

/// A step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootStep {
    /// Make the next root: it is believed in and handed out, and signs nothing yet.
    Next,
    /// Let the next root sign; the former stays believed in.
    Switch {
        /// Also before everybody can know it.
        early: bool,
    },
    /// Believe in the former root no more.
    Drop {
        /// Also while certificates of it can be good, or be renewed.
        early: bool,
    },
}

/// The roots as they are now.
pub(super) struct Roots {
    pub(super) certificate_pem: String,
    next_pem: Option<String>,
    former_pem: Option<String>,
    /// By which the former root vouches for the one that signs.
    cross_pem: Option<String>,
}

impl Roots {
    /// Reads them; a switch that was cut short is finished first.
    pub(super) fn open(dir: &Path) -> Result<Self, IdentityError> {
        let files = Files::of(dir);
        if files.has_next()? && read(&files.certificate)? == read(&files.next)? {
            files.finish_switch()?;
        }
        // It may lie elsewhere; garbage in its place is somebody's mistake.
        if exists(&files.key)? {
            KeyPair::from_pem(&read(&files.key)?).map_err(|error| bad_file(&files.key, error))?;
        }
        let certificate_pem = read(&files.certificate)?;
        Pin::of_pem(&certificate_pem).map_err(|error| bad_file(&files.certificate, error))?;
        let next_pem = if files.has_next()? { Some(read(&files.next)?) } else { None };
        let former_pem = if exists(&files.former)? { Some(read(&files.former)?) } else { None };
        let has_cross = former_pem.as_ref().is_some_and(|former| *former != certificate_pem) && exists(&files.cross)?;
        let cross_pem = if has_cross { Some(read(&files.cross)?) } else { None };
        Ok(Self { certificate_pem, next_pem, former_pem, cross_pem })
    }

    /// All that are believed in, PEM, the one that signs first.
    pub(super) fn bundle_pem(&self) -> String {
        let all = [Some(&self.certificate_pem), self.next_pem.as_ref(), self.former_pem.as_ref()];
        all.into_iter().flatten().map(String::as_str).collect()
    }

    /// What a coordinator shows behind what signs: its root; and while there is a former one, that one's word for it, and it. Whoever was away when the present
    /// one was made known, and believes in the former alone, goes on from there.
    pub(super) fn shown_pem(&self) -> String {
        let former = self.former_pem.as_ref().filter(|_| self.cross_pem.is_some());
        let all = [Some(&self.certificate_pem), self.cross_pem.as_ref(), former];
        all.into_iter().flatten().map(String::as_str).collect()
    }

    /// Those that sign, now or next: what tokens name.
    pub(super) fn pins(&self) -> Result<Vec<Pin>, IdentityError> {
        let signing = [Some(&self.certificate_pem), self.next_pem.as_ref()];
        signing.into_iter().flatten().map(|pem| Pin::of_pem(pem)).collect()
    }
}

/// Takes a step; false if it was taken before.
pub(super) fn step(dir: &Path, cluster: &str, step: RootStep, now: WallMs) -> Result<bool, IdentityError> {
    let files = Files::of(dir);
    match step {
        RootStep::Next => {
            if files.has_next()? {
                return Ok(false);
            }
            let (certificate, key) = new_root(cluster, now)?;
            write(&files.next, &certificate)?;
            // Written last: with it, all is there.
            write(&files.next_key, &key.serialize_pem())?;
            Ok(true)
        }
        RootStep::Switch { early } => files.switch((dir, cluster), early, now).map(|()| true),
        RootStep::Drop { early } => files.drop_former(early, now),
    }
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    next: PathBuf,
    next_key: PathBuf,
    former: PathBuf,
    cross: PathBuf,
}

impl Files {
    fn of(dir: &Path) -> Self {
        let [certificate, key, next, next_key, former, cross] =
            ["ca.pem", "ca.key", "next.pem", "next.key", "former.pem", "cross.pem"].map(|name| dir.join(name));
        Self { certificate, key, next, next_key, former, cross }
    }

    fn has_next(&self) -> Result<bool, IdentityError> {
        exists(&self.next_key)
    }

    fn switch(&self, (dir, cluster): (&Path, &str), early: bool, now: WallMs) -> Result<(), IdentityError> {
        if !self.has_next()? {
            return refused("there is no next root; `coordinator root next` makes one".to_owned());
        }
        let present = read(&self.certificate)?;
        // The same one is there where a switch was cut short before it began.
        if exists(&self.former)? && read(&self.former)? != present {
            return refused("the root before the present one is still believed in; `coordinator root drop` ends that first".to_owned());
        }
        let next = read(&self.next)?;
        let known_from = WallMs(root_made_at(&next)?.0 + KNOWN_FOR_MS);
        if now < known_from && !early {
            return refused(format!(
                "not every certificate has been renewed since the next root was made, and who has not does not know it; wait until {}, or lose those with --early",
                known_from.rfc3339()
            ));
        }
        self.vouch((dir, cluster), &present, early, now)?;
        write(&self.former, &present)?;
        // From here on it is finished by whoever opens the directory.
        write(&self.certificate, &next)?;
        self.finish_switch()
    }

    /// Has the present root vouch for the next one.
    fn vouch(&self, (dir, cluster): (&Path, &str), present: &str, early: bool, now: WallMs) -> Result<(), IdentityError> {
        let next = KeyPair::from_pem(&read(&self.next_key)?).map_err(|error| bad_file(&self.next_key, error))?;
        match vouch_for(dir, cluster, present, &next, now) {
            Ok(cross) => write(&self.cross, &cross),
            Err(IdentityError::RootAway { .. }) if early => remove(&self.cross),
            Err(IdentityError::RootAway { path }) => refused(format!(
                "the present root is to vouch for the next one, for whoever was away when that was made known, and its key is not there: put it at {} for this \
                 step, or lose those with --early",
                path.display()
            )),
            Err(error) => Err(error),
        }
    }

    fn drop_former(&self, early: bool, now: WallMs) -> Result<bool, IdentityError> {
        if !exists(&self.former)? {
            return Ok(false);
        }
        let has_signed = read(&self.former)? != read(&self.certificate)?;
        let until = WallMs(self.switched_at()?.0.saturating_add(NEEDED_FOR_MS));
        if has_signed && now < until && !early {
            return refused(format!(
                "certificates of the former root can be good, or be renewed, until {}; wait for that, or lose those that have not been renewed since the \
                 switch with --early",
                until.rfc3339()
            ));
        }
        remove(&self.former)?;
        remove(&self.cross)?;
        Ok(true)
    }

    /// When the former root has signed last.
    fn switched_at(&self) -> Result<WallMs, IdentityError> {
        if exists(&self.cross)? {
            // Certificates begin that long before they are made.
            return Ok(WallMs(root_made_at(&read(&self.cross)?)?.0 + CLOCK_SKEW.whole_milliseconds().unsigned_abs() as u64));
        }
        // Without its key at hand, or by an earlier release.
        let modified = std::fs::metadata(&self.former).and_then(|facts| facts.modified()).map_err(IdentityError::io(&self.former))?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    fn finish_switch(&self) -> Result<(), IdentityError> {
        write(&self.key, &read(&self.next_key)?)?;
        remove(&self.next_key)?;
        remove(&self.next)
    }
}

fn refused<T>(why: String) -> Result<T, IdentityError> {
    Err(IdentityError::Rotation { why })
}

fn exists(path: &Path) -> Result<bool, IdentityError> {
    path.try_exists().map_err(IdentityError::io(path))
}

fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    fsx::write_atomic(path, text.as_bytes(), fsx::PRIVATE).map_err(IdentityError::io(path))
}

fn remove(path: &Path) -> Result<(), IdentityError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(IdentityError::io(path)(error)),
        _ => path.parent().map_or(Ok(()), |dir| fsx::sync_dir(dir).map_err(IdentityError::io(dir))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Ca, CheckedRequest, Lifetime, PeerRole, RENEWABLE_FOR, new_csr};
    use super::*;

    const NOW: WallMs = WallMs(1_800_000_000_000);
    const LATER: WallMs = WallMs(NOW.0 + KNOWN_FOR_MS);

    fn count(pem: &str) -> usize {
        pem.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn a_root_is_made_known_before_it_signs_and_believed_in_after() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(home.path(), NOW).unwrap();
        let first = ca.certificate_pem();
        assert!(matches!(ca.step(RootStep::Switch { early: true }, NOW), Err(IdentityError::Rotation { .. })), "there is no next");
        assert!(ca.step(RootStep::Next, NOW).unwrap() && !ca.step(RootStep::Next, NOW).unwrap());
        let client = ca.mint_client(PeerRole::Admin, "me", NOW, Lifetime::CLIENT).unwrap();
        assert_eq!((ca.certificate_pem() == first, count(&client.ca_pem), ca.pins().unwrap().len()), (true, 2, 2));
        let early = ca.step(RootStep::Switch { early: false }, WallMs(LATER.0 - 600_000)).unwrap_err().to_string();
        assert!(early.contains("wait until"), "{early}");
        ca.step(RootStep::Switch { early: false }, LATER).unwrap();
        assert!(ca.certificate_pem() != first && ca.pins().unwrap() == [ca.pin().unwrap()]);
        assert!(ca.bundle_pem().contains(&first) && count(&ca.bundle_pem()) == 2);
        // The same after a restart, with a key that fits its certificate.
        let again = Ca::open_or_create(home.path(), LATER).unwrap();
        assert_eq!((again.bundle_pem(), again.cluster().to_owned()), (ca.bundle_pem(), ca.cluster().to_owned()));
        let request = CheckedRequest::read(&new_csr().unwrap().request_pem).unwrap();
        again.sign(&request, PeerRole::Worker, "w", LATER, None).unwrap();
        // Dropped once nothing of it can be good, or renewed.
        assert_eq!(u128::from(NEEDED_FOR_MS), (Lifetime::WORKER.0 + RENEWABLE_FOR).whole_milliseconds().unsigned_abs());
        let drop = RootStep::Drop { early: false };
        let early = ca.step(drop, WallMs(LATER.0 + NEEDED_FOR_MS - 1_000)).unwrap_err().to_string();
        assert!(early.contains("wait for that") && early.contains(&WallMs(LATER.0 + NEEDED_FOR_MS).rfc3339()), "{early}");
        let last = WallMs(LATER.0 + NEEDED_FOR_MS);
        assert!(ca.step(drop, last).unwrap() && !ca.step(drop, last).unwrap());
        assert_eq!(count(&ca.bundle_pem()), 1);
    }

    #[test]
    fn the_former_root_vouches_for_the_present_one_for_as_long_as_it_is_believed_in() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(home.path(), NOW).unwrap();
        let shown = || count(&ca.mint_coordinator("c", &[], NOW).unwrap().certificate_pem);
        assert_eq!(shown(), 3, "itself, what signs, and the root");
        ca.step(RootStep::Next, NOW).unwrap();
        // Its key lies elsewhere.
        let (key, away) = (home.path().join("ca.key"), home.path().join("away"));
        std::fs::rename(&key, &away).unwrap();
        let refused = ca.step(RootStep::Switch { early: false }, LATER).unwrap_err().to_string();
        assert!(refused.contains("put it at") && refused.contains("ca.key"), "{refused}");
        std::fs::rename(&away, &key).unwrap();
        // One that was cut short before it began is begun anew.
        std::fs::copy(home.path().join("ca.pem"), home.path().join("former.pem")).unwrap();
        ca.step(RootStep::Switch { early: false }, LATER).unwrap();
        assert_eq!(shown(), 5);
        ca.step(RootStep::Drop { early: true }, LATER).unwrap();
        assert_eq!((shown(), home.path().join("cross.pem").exists()), (3, false));
        // Who cannot wait for the key goes without that word.
        ca.step(RootStep::Next, LATER).unwrap();
        std::fs::remove_file(&key).unwrap();
        ca.step(RootStep::Switch { early: true }, LATER).unwrap();
        assert_eq!((shown(), home.path().join("cross.pem").exists()), (3, false));
    }

    #[test]
    fn a_switch_that_was_cut_short_is_finished() {
        let home = tempfile::tempdir().unwrap();
        let ca = Ca::open_or_create(home.path(), NOW).unwrap();
        ca.step(RootStep::Next, NOW).unwrap();
        let file = |name: &str| home.path().join(name);
        let (next, key) = (std::fs::read(file("next.pem")).unwrap(), std::fs::read(file("next.key")).unwrap());
        std::fs::copy(file("ca.pem"), file("former.pem")).unwrap();
        std::fs::write(file("ca.pem"), &next).unwrap();
        let again = Ca::open_or_create(home.path(), NOW).unwrap();
        assert_eq!((again.certificate_pem().into_bytes(), std::fs::read(file("ca.key")).unwrap()), (next, key));
        assert!(!file("next.key").exists() && count(&again.bundle_pem()) == 2);
    }
}
