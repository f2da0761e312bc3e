//! What the coordinator is made of, in one cloneable value: services and the shell take what they need from it.

use std::path::PathBuf;
use std::sync::Arc;

use roundtable_runtime::clock::Clock;
use roundtable_runtime::fsx;
use roundtable_runtime::identity::Ca;
use roundtable_store::{LogReader, SegmentStore, Trouble};
use tokio::sync::watch;

use crate::admission::Admissions;
use crate::attachments::Attachments;
use crate::audit::Audit;
use crate::driver::{self, Links, Sessions};
use crate::limits::ServeLimits;
use crate::places::Places;
use crate::repository::Repositories;

/// The parts. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// Everything it keeps is below.
    pub data_dir: Arc<PathBuf>,
    /// Inside an `orchctl run`.
    pub embedded: bool,
    /// The driver.
    pub links: Links,
    /// Open sessions of workers.
    pub sessions: Sessions,
    /// Agent events.
    pub segments: SegmentStore,
    /// The log, for readers.
    pub log: Arc<dyn LogReader>,
    /// Bare repositories.
    pub repositories: Repositories,
    /// Files under `copy`.
    pub attachments: Attachments,
    /// Commands of people, and refusals.
    pub audit: Audit,
    /// The certificate authority.
    pub ca: Arc<Ca>,
    /// Where peers come in.
    pub admissions: Admissions,
    /// Bounds of what it takes.
    pub limits: ServeLimits,
    /// Where it is reached.
    pub places: Arc<Places>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// True once somebody asked it to end. Who runs it ends it in order: first its workers, which hand in what they hold, then this.
    pub asked_to_end: Arc<watch::Sender<bool>>,
    /// True once it stops: streams end, connections are closed.
    pub stop: Arc<watch::Sender<bool>>,
}

impl Parts {
    /// What keeps the coordinator itself from writing now, for whoever looks at a run.
    pub fn problems(&self) -> Vec<String> {
        let of_log = self.links.trouble.borrow().clone().map(|detail| driver::problem(&detail));
        let of_events = self.segments.trouble().borrow().clone().map(|trouble| match trouble {
            Trouble::Refused { detail } => driver::problem(&detail),
            Trouble::Failed { detail } => format!("agent events cannot be made durable: {detail}; the coordinator stops"),
        });
        let mut problems: Vec<String> = of_log.into_iter().chain(of_events).collect();
        problems.dedup();
        if !problems.is_empty() {
            problems.extend(
                fsx::short_of_files(&self.data_dir)
                    .map(|short| format!("{}: {short}; `orchctl runs prune` makes room", self.data_dir.display())),
            );
        }
        problems
    }
}
