//! The coordinator: a shell around the pure core. Driver, services, repositories, prompts, mirrors; see ARCHITECTURE.md for the map.

pub mod admission;
pub mod args;
pub mod attachments;
pub mod audit;
pub mod backup;
pub mod disk;
pub mod driver;
mod ended;
pub mod enrol;
pub mod grpc;
pub mod history;
pub mod http;
pub mod import;
pub mod install;
pub mod limits;
mod lost;
pub mod mirror;
pub mod offline;
pub mod operate;
pub mod parts;
pub mod places;
pub mod plan;
pub mod preview;
pub mod prompt;
pub mod query;
pub mod reach;
mod removal;
pub mod renewal;
pub mod report;
pub mod repository;
pub mod retention;
pub mod serve;
mod shell;
pub mod submit;
mod tasks;
pub mod tokens;
pub mod told;
pub mod verify;
pub mod view;

/// Version, commit and protocol range, as `--version` prints them.
pub const VERSION_LONG: &str = roundtable_runtime::VERSION_LONG;
