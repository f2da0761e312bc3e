//! How answers look: plain functions from read models to text of at most 80 columns. Nothing here asks a coordinator or decides an exit code.

pub mod attempts;
pub mod decisions;
pub mod diff;
pub mod disk;
pub mod events;
pub mod explain;
pub mod findings;
pub mod paint;
pub mod plan;
pub mod progress;
pub mod runs;
pub mod show;
pub mod status;
pub mod summary;
pub mod table;
pub mod text;
pub mod units;
pub mod workers;

use serde::Serialize;

/// One value, its keys as they are in the read model, with a newline.
pub fn json<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("read models have string keys and no fallible serialisers");
    text.push('\n');
    roundtable_shared::text::json(&text).into_owned()
}
