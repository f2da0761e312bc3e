//! The only caller of the git command line (2.38 or newer). A [`Git`] is a handle on one git directory; its methods are one verb each.
//!
//! Two kinds of handle exist. *Own* handles work on bare repositories that agents cannot write; they see no configuration but ours. *User* handles work
//! on a person's repository: its configuration counts (filters, line endings), its hooks never run. No command ever runs with the `.git` of a directory
//! an agent worked in: such a directory is read with the git directory, index and object store of our own ([`Git::snapshot`]).

mod accept;
mod checkout;
mod command;
mod compact;
mod create;
mod diff;
mod encoding;
mod error;
mod files;
mod find;
mod fsck;
mod glance;
mod history;
mod index;
mod init;
mod local;
mod locks;
mod memory;
mod merge;
mod names;
mod objects;
mod pack;
mod plain;
mod produced;
mod program;
mod quoting;
mod receive;
mod refs;
mod reuse;
mod scan;
mod snapshot;
mod snapshot_request;
mod stage;
mod trees;
mod user;
mod withheld;

pub use accept::{AcceptError, Accepted, Destination};
pub use checkout::{Checkout, CheckoutRequest};
pub use diff::{DiffEntry, DiffText, SideKind};
pub use error::GitError;
pub use history::CommitInfo;
pub use merge::{ConflictedPath, Merge, MergeMessage};
pub use names::{GitVersion, ObjectFormat, Oid, RefName, Signature};
pub use objects::{TreeEntry, TreeListing};
pub use pack::{PackRequest, PackStats};
pub use program::{Git, GitProgram, Meanwhile};
pub use receive::{ReceiveLimits, Received, Sender};
pub use refs::RefUpdate;
pub use snapshot::Snapshot;
pub use snapshot_request::{SnapshotLimits, SnapshotRequest};
pub use stage::LeftOut;
pub use trees::{EntryMode, TreeEdit};
pub use user::{Head, RepositoryFacts, UncommittedChanges, UncommittedFile, UserRepository};
pub use withheld::Withheld;

#[cfg(test)]
mod tests;
