//! What the suites share: the harness that runs the real binaries, generated plans, the model server that real agent CLIs talk to, and a place to
//! rehearse with them.

pub mod harness;
pub mod model_server;
pub mod plans;
pub mod rehearsal;
pub mod sbom;
