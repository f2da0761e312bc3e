//! The state as bytes and back, for snapshots. Fields go by name, as in the log, so that what may be left out there may be left out here.

use std::io::{self, Write};

use roundtable_core::state::State;
use serde::Serialize;

/// Names the form and the rules by which this build keeps a state: whose name is another folds or keeps it otherwise, and a snapshot of it is not read. Made of
/// the sources by `build.rs`.
pub fn codec() -> &'static str {
    concat!("state ", env!("ROUNDTABLE_FOLD_RULES"))
}

/// Writes a state.
pub fn encode_state(state: &State, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    state.serialize(&mut serializer).map_err(io::Error::other)
}

/// Reads a state, its indexes with it. Any bytes may be given.
pub fn decode_state(bytes: &[u8]) -> Result<State, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use roundtable_store::SqliteReader;

    use super::*;
    use crate::driver::fold;

    #[tokio::test]
    async fn a_state_that_was_kept_is_the_one_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.db");
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/log-1/store.db"), &store).unwrap();
        let state = fold(&SqliteReader::open(&store).unwrap()).await.unwrap().core.state;
        let mut bytes = Vec::new();
        encode_state(&state, &mut bytes).unwrap();
        assert!(decode_state(&bytes).unwrap() == state);
    }
}
