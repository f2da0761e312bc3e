//! What stands in for `embed` where this program is built without coordinator and worker inside: everything that needs them says so.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use roundtable_runtime::config::Config;
use roundtable_shared::RunOptions;
use roundtable_shared::spec::{Plan, ReadOptions};
use roundtable_shared::view::{ExistingPulse, MirrorView, PlanView, Query, SubmitReply, SubmitRequest};

use crate::api::{Client, Lines, WatchFor};
use crate::args::InitMode;
use crate::check::Check;
use crate::crew::CrewOptions;
use crate::failure::{Failure, Result};
use crate::intake::SpecFolder;
use crate::workdir::WorkPlace;

fn absent() -> Failure {
    Failure::unreachable("no coordinator is running, and this orchctl was built without one inside").next("start one: coordinator serve")
}

/// Never made.
pub enum Embedded {}

/// Why there is none.
pub enum NotStarted {
    /// Never.
    Held(Failure),
    /// Always.
    Failed(Failure),
}

impl Embedded {
    /// Refuses.
    pub async fn start(_: &Path, _: &str) -> std::result::Result<Self, NotStarted> {
        Err(NotStarted::Failed(absent()))
    }

    /// Refuses.
    pub async fn for_an_act(_: &Path, _: Duration) -> Result<Self> {
        Err(absent())
    }

    /// Never called.
    pub fn client(&self) -> &Client {
        match *self {}
    }

    /// Never called.
    pub async fn ended(&mut self) -> Result<()> {
        match *self {}
    }

    /// Never called.
    pub async fn stop(self) {
        match self {}
    }
}

fn without_workers() -> Failure {
    Failure::failed("this orchctl was built without workers inside").next("start them: worker join --backend NAME=SLOTS")
}

/// Never made.
pub enum Crew {}

impl Crew {
    /// Refuses.
    pub async fn join(_: &Path, _: Option<&str>, _: &Config, _: &CrewOptions) -> Result<Self> {
        Err(without_workers())
    }

    /// Refuses.
    pub async fn join_for_checks(_: &Path, _: Option<&str>, _: &Config) -> Result<Self> {
        Err(without_workers())
    }

    /// Never called.
    pub fn has_ended(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub async fn stop(self) {
        match self {}
    }
}

/// None: there are no workers inside.
pub fn agents(_: &Config, _: &CrewOptions) -> Result<Vec<String>> {
    Ok(Vec::new())
}

/// None is played: there are no workers inside.
pub fn check_playbooks(_: &CrewOptions) -> Result<()> {
    Ok(())
}

/// Nothing is owed: there are no workers inside.
pub async fn settle_abandoned(_: &Path, _: &Config) {}

/// Refuses: what a state says cannot be read here.
pub fn refuse_unsaved_work(_: &str, _: &Plan, _: &[String], _: WorkPlace<'_>) -> Result<()> {
    Err(Failure::failed("this orchctl was built without a coordinator inside, and cannot read a state to go on from")
        .next("use one that has it, or --include-dirty"))
}

/// Reads nothing.
pub struct Offline;

impl Offline {
    /// Of any folder.
    pub fn new(_: &Path) -> Self {
        Self
    }

    /// Refuses.
    pub async fn query(&self, _: &Query) -> Result<Vec<u8>> {
        Err(absent())
    }

    /// Refuses.
    pub async fn foresee(&self, _: &SubmitRequest, _: &SpecFolder) -> Result<SubmitReply> {
        Err(absent())
    }

    /// Refuses.
    pub async fn watch(&self, _: &WatchFor) -> Result<Lines> {
        Err(absent())
    }
}

/// What the background process would be.
pub struct Background {
    /// The data dir.
    pub data_dir: PathBuf,
    /// Configuration files.
    pub sources: [Option<PathBuf>; 3],
    /// Its workers.
    pub crew: CrewOptions,
}

/// Refuses.
pub async fn start_background(_: &Background) -> Result<()> {
    Err(absent())
}

/// Refuses.
pub fn plan(_: &SpecFolder, _: &RunOptions, _: Option<u32>, _: ReadOptions, _: &[roundtable_shared::answer::Proposal]) -> Result<PlanView> {
    Err(absent())
}

/// Refuses.
pub fn first_mirror(_: &SpecFolder, _: ReadOptions, _: &str, _: InitMode, _: &ExistingPulse) -> Result<MirrorView> {
    Err(absent())
}

/// None: there are no workers inside.
pub async fn probe_agents(_: &Config, _: bool, _: impl FnMut(Check)) {}

/// This program has no helpers.
pub fn run_as_helper() -> Option<ExitCode> {
    None
}
