//! Bounds on everything that comes from outside. One place, so that a reader sees what the system admits.

/// Most units in a plan, where whoever reads it sets no other bound.
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
/// Calls at once on one connection.
pub const STREAMS_MAX: u32 = 32;
/// Largest chunk of agent events or pack data, bytes.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Longest answer of an agent that is interpreted, bytes; longer ones keep their tail.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest agent event as it is spooled and stored, bytes.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
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

/// A worker none of whose heartbeats was answered for so long, milliseconds, counts itself as cut off and begins nothing new.
pub const CUT_OFF_MS: u64 = 20_000;
/// A worker silent so long gets no new grants.
pub const SUSPECT_MS: u64 = 30_000;
/// A worker silent so long has lost its leases.
pub const LOST_MS: u64 = 60_000;
/// Longest pause of a worker between two tries to come back.
pub const RECONNECT_MAX_MS: u64 = 15_000;

// A worker knows that it is cut off before others get what it might begin, whatever its clock runs wrong by; and one that comes back as soon as it can
// has not lost what it holds.
const _: () = assert!(CUT_OFF_MS + CUT_OFF_MS / 1_000 < SUSPECT_MS && SUSPECT_MS < LOST_MS && LOST_MS >= 2 * RECONNECT_MAX_MS);
