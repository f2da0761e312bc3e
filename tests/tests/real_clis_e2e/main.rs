//! Whole runs on the real codex, gemini and opencode, with our own programs as separate processes: from `coordinator serve` and `worker join` to
//! `accept`. The models are played by the model server on loopback; everything else is real. `.ci/install-clis` brings the CLIs.
#![allow(clippy::unwrap_used)]

mod doctor;
mod hosts;
mod login;
mod show;
mod told;
mod trouble;
mod world;
