//! Chaos: the real programs on hosts of their own, and everything that goes wrong with machines, links, disks, clocks and syncs, by a seed. Needs root and what
//! [`missing`] names. `docs/faults.md` has the commands; what a plan is made of is in `plan`, what must hold in `verdict`.

mod campaign;
mod cgroup;
mod daemon;
mod disk;
mod faults;
mod host;
mod load;
pub mod net;
pub mod plan;
pub mod proxy;
mod rescue;
mod tools;
mod verdict;
mod world;

pub use campaign::{Report, play, play_all};
pub use load::Work;
pub use rescue::lose_a_host;
pub use tools::missing;
pub use world::Size;
