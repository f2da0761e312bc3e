//! Bounds on everything that comes from outside. One place, so that a reader sees what the system admits.

/// Most units in a plan.
pub const UNITS_MAX: usize = 100_000;
/// Most dependency edges in a plan.
pub const EDGES_MAX: usize = 1_000_000;
/// Largest `tasks.md` (and each other spec file), bytes.
pub const SPEC_FILE_BYTES_MAX: usize = 64 << 20;
/// Longest path in a manifest, bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// Most entries in one manifest list.
pub const MANIFEST_ENTRIES_MAX: usize = 10_000;
/// Largest control message, bytes.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Largest bulk message, bytes.
pub const BULK_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest chunk of agent events or pack data, bytes.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Longest answer of an agent that is interpreted, bytes; longer ones keep their tail.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest single agent event text that is stored, bytes; longer ones keep head and tail.
pub const EVENT_TEXT_BYTES_MAX: usize = 64 << 10;
/// Output kept per attempt, head and tail each, bytes.
pub const OUTPUT_KEPT_BYTES: u64 = 8 << 20;
/// Output after which an attempt is killed, bytes.
pub const OUTPUT_KILL_BYTES: u64 = 4 << 30;
/// Most learnings a run keeps.
pub const LEARNINGS_MAX: usize = 20;
/// Longest learning, characters.
pub const LEARNING_CHARS_MAX: usize = 200;
/// Distinct windows a run's units may name.
pub const WINDOWS_MAX: usize = 9;
/// Fixes per unit before a person is asked.
pub const FIX_ATTEMPTS_MAX: u32 = 3;
