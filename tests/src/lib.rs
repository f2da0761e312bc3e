//! What the suites share: the harness that runs the real binaries, generated plans, and the model server that real agent CLIs talk to.

pub mod harness;
pub mod model_server;
pub mod plans;
