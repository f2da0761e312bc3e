//! What the suites share: the model server that real agent CLIs talk to.

pub mod model_server;
