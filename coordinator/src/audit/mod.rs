//! What people did here, and what was refused to whom: each command is recorded before it is done, each refusal before it is told. Looks are not recorded.
//! Keeping the rows is the store's.

mod entry;
mod repeats;
mod show;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use roundtable_runtime::clock::Clock;
use roundtable_shared::error::ErrorCode;
use roundtable_store::{AuditError, AuditLog, AuditOptions, Incarnation, NewRow};
use tokio::sync::watch;
use tracing::warn;

use entry::Entry;
use repeats::{Key, Over, Repeats};

pub use entry::{Act, Caller, EntryView, access_words, operation_words};
pub use show::{Form, ShowError, show};

/// Rows appended in one go for refusals that were counted.
const OVER_MAX: usize = 32;
/// Version of the form of bodies.
const BODY_VERSION: u32 = 1;

/// Where the audit log of a data directory lies.
pub fn dir_of(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

/// The audit log of a coordinator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    log: AuditLog,
    clock: Arc<dyn Clock>,
    repeats: Arc<Mutex<Repeats>>,
}

impl Audit {
    /// Opens the one of a data directory, or begins it.
    pub fn open(data_dir: &Path, store: Incarnation, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let log = AuditLog::open(&dir_of(data_dir), AuditOptions::default(), store)?;
        Ok(Self { log, clock, repeats: Arc::default() })
    }

    /// A person is about to do something. Returns when that is durable, with its number; else it must not be done.
    pub async fn command(&self, caller: &Caller, act: &Act) -> Result<u64, AuditError> {
        let entry = Entry::of(caller, act.method).did(&act.did);
        self.log.append(vec![self.row("command", act.run.as_deref(), &entry)]).await
    }

    /// What was recorded as `of` was refused. Returns when that is durable, or cannot be recorded.
    pub async fn refused(&self, caller: &Caller, act: &Act, of: u64, code: ErrorCode, why: &str) {
        let entry = Entry::of(caller, act.method).refused(of, code, why);
        self.told(self.log.append(vec![self.row("refused", act.run.as_deref(), &entry)]).await);
    }

    /// Somebody has come in; that is a fact of the log already. Returns when it is durable here too, or cannot be recorded.
    pub async fn came_in(&self, caller: &Caller, method: &str, did: &str) {
        let entry = Entry::of(caller, method).did(did);
        self.told(self.log.append(vec![self.row("joined", None, &entry)]).await);
    }

    /// Somebody asked for what their certificate, or what they showed, does not allow. Returns when that is durable, or cannot be recorded; the same again
    /// within a minute is only counted, so that nobody fills the log by asking.
    pub async fn denied(&self, caller: &Caller, method: &str, why: &str) {
        let entry = Entry::of(caller, method.strip_prefix("/roundtable.v1.").unwrap_or(method)).denied(why);
        let now = self.clock.boot_ms();
        let (is_news, over) = {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            (repeats.notice(Key::of(&entry), now), repeats.over(now, OVER_MAX))
        };
        let mut rows: Vec<NewRow> = over.iter().map(|over| self.counted(over)).collect();
        if is_news {
            rows.push(self.row("denied", None, &entry));
        }
        if !rows.is_empty() {
            self.told(self.log.append(rows).await);
        }
    }

    /// Writes what was only counted.
    pub async fn close(&self) {
        loop {
            let over = self.repeats.lock().unwrap_or_else(PoisonError::into_inner).over(u64::MAX, OVER_MAX);
            if over.is_empty() {
                return;
            }
            self.told(self.log.append(over.iter().map(|over| self.counted(over)).collect()).await);
        }
    }

    /// Says why nothing is recorded any more, once that is so.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.log.failed()
    }

    fn row(&self, kind: &str, run: Option<&str>, entry: &Entry) -> NewRow {
        NewRow { at_ms: self.clock.wall().0, run: run.map(entry::bounded), kind: kind.to_owned(), v: BODY_VERSION, body: entry.body() }
    }

    fn counted(&self, over: &Over) -> NewRow {
        self.row("denied", None, &over.entry())
    }

    /// It stands whether it can be recorded or not.
    fn told(&self, appended: Result<u64, AuditError>) {
        if let Err(error) = appended {
            warn!(%error, "what was refused, or who came in, could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::clock::ManualClock;
    use roundtable_runtime::identity::{PeerIdentity, PeerRole};
    use roundtable_runtime::tls::{PeerInfo, Standing};
    use roundtable_shared::time::WallMs;
    use roundtable_store::AuditReader;

    use super::*;

    fn caller(id: &str) -> Caller {
        let identity = PeerIdentity {
            cluster: "c".into(),
            role: PeerRole::Viewer,
            id: id.into(),
            serial: "5a".into(),
            not_before_s: 0,
            not_after_s: 1,
        };
        Caller::of(&PeerInfo { identity: Some(identity), standing: Standing::Member, address: "10.1.2.3:4444".parse().unwrap() })
    }

    fn entries(data_dir: &Path) -> Vec<EntryView> {
        AuditReader::open(&dir_of(data_dir)).next_batch(1000).unwrap().iter().map(EntryView::of).collect()
    }

    #[tokio::test]
    async fn commands_and_refusals_are_there_when_the_call_returns() {
        let home = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(0, WallMs(1_800_000_000_000));
        let audit = Audit::open(home.path(), Incarnation([1; 16]), Arc::new(clock.clone())).unwrap();
        let act = Act { method: "Control/Operate", run: Some("login".to_owned()), did: "retry unit=3".to_owned() };
        let of = audit.command(&caller("ann"), &act).await.unwrap();
        audit.refused(&caller("ann"), &act, of, ErrorCode::Conflict, "unit 3 runs").await;
        let found = entries(home.path());
        assert_eq!((found[0].kind.as_str(), found[0].who.as_str(), found[0].role.as_str()), ("command", "ann", "viewer"));
        assert_eq!(
            (found[0].did.as_deref(), found[0].run.as_deref(), found[0].from.as_str()),
            (Some("retry unit=3"), Some("login"), "10.1.2.3:4444")
        );
        assert_eq!((found[1].kind.as_str(), found[1].of, found[1].code.as_deref()), ("refused", Some(1), Some("conflict")));
        assert_eq!(found[1].why.as_deref(), Some("unit 3 runs"));
        assert!(found[0].at.starts_with("2027-01-15T08:00:00"), "{}", found[0].at);
    }

    #[tokio::test]
    async fn who_asks_again_and_again_is_counted_and_the_count_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(0, WallMs(1_800_000_000_000));
        let audit = Audit::open(home.path(), Incarnation([1; 16]), Arc::new(clock.clone())).unwrap();
        for _ in 0..500 {
            audit.denied(&caller("ann"), "Control/Operate", "the role").await;
        }
        audit.denied(&caller("bob"), "Control/Operate", "the role").await;
        audit.denied(&Caller::default(), &"/x".repeat(9000), "there is no such method").await;
        let found = entries(home.path());
        assert_eq!(found.iter().map(|each| (each.who.as_str(), each.times)).collect::<Vec<_>>(), [("ann", 1), ("bob", 1), ("", 1)]);
        assert!(found[2].method.len() < 300);
        clock.advance(61_000);
        audit.denied(&caller("ann"), "Control/Operate", "the role").await;
        audit.denied(&caller("ann"), "Control/Operate", "the role").await;
        let times: Vec<u64> = entries(home.path()).iter().skip(3).map(|each| each.times).collect();
        assert_eq!(times, [499, 1], "what was counted, then the first of the next minute");
        audit.close().await;
        assert_eq!(entries(home.path()).last().unwrap().times, 1);
        assert_eq!(entries(home.path()).len(), 6);
    }
}
