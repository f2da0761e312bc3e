//! The state as bytes and back, for snapshots. Fields go by name, as in the log, so that what may be left out there may be left out here.

use std::io::{self, Write};

use roundtable_core::state::State;
use serde::Serialize;

use crate::VERSION_LONG;

/// Raise it with each change of what a state is made of or of how facts are folded. A snapshot of another form, or of another build, is not read.
const FORMAT: u32 = 1;

/// Names the form and the rules by which this build keeps a state.
pub fn codec() -> String {
    format!("{VERSION_LONG} state {FORMAT}")
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

    /// What the state of the stored log comes to in form 1. Another hash means that a type of the state, or how facts are folded, has changed: raise
    /// [`FORMAT`] with it.
    const SAMPLE: (u32, &str) = (1, "f85ee2a0ccd295ccb5a2981bd47d8a06b60226bce99c1a0f52274f05031b3b30");

    #[tokio::test]
    async fn the_form_has_the_number_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.db");
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/log-1/store.db"), &store).unwrap();
        let state = fold(&SqliteReader::open(&store).unwrap()).await.unwrap().core.state;
        let mut bytes = Vec::new();
        encode_state(&state, &mut bytes).unwrap();
        assert_eq!((FORMAT, &*blake3::hash(&bytes).to_hex()), SAMPLE);
        assert!(decode_state(&bytes).unwrap() == state);
    }
}
