//! codex-review: codex under another name, so that reviews have slots and findings of their own. `codex exec review` is not used: it flattens
//! findings to text and ignores the schema. As the owner of a unit it may write like codex.

use std::sync::Arc;

use super::BackendError;
use super::codex::Codex;
use super::host::Host;

/// Opens the adapter.
pub(super) fn open(host: Arc<Host>) -> Result<Codex, BackendError> {
    Codex::open("codex-review", host)
}
