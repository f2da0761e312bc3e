//! The closing commit is made.

use roundtable_shared::{CommitId, RunId};

use crate::moves::close;
use crate::state::Stage;
use crate::transition::Fact;
use crate::txn::Txn;

/// The closing commit is made.
pub(crate) fn closed(d: &mut Txn<'_>, run: &RunId, commit: Option<CommitId>) {
    if d.state().run(run).is_none_or(|run| run.stage() != Stage::Closing) {
        return;
    }
    let ticked = d.run(run).branch.unticked.clone();
    d.emit(run, Fact::RunClosed { commit, ticked });
    let exit = d.run(run).exit_when_done();
    close::end(d, run, exit, String::new());
}
