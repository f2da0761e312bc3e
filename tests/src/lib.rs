//! What the suites share: the harness that runs the real binaries, generated plans, chaos on hosts of their own, the history checker, links of workers, the model server that real
//! agent CLIs talk to, and a place to rehearse with them.

pub mod chaos;
pub mod harness;
pub mod history;
pub mod links;
pub mod model_server;
pub mod plans;
pub mod rehearsal;
pub mod sbom;
pub mod workload;
