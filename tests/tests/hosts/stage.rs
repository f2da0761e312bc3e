//! A coordinator, a project and a run in it; what the coordinator has received.

use std::path::PathBuf;

use roundtable_tests::harness::{Output, Playbook, Process, Repository, Sandbox, SpecText, wait_for};
use serde_json::Value;

/// Everything about one run.
pub struct Stage {
    /// Where its programs live.
    pub sandbox: Sandbox,
    /// The user's repository.
    pub repo: Repository,
    spec: PathBuf,
    served: Option<Process>,
}

impl Stage {
    /// A served coordinator and a project with this spec.
    pub fn new(spec: &SpecText) -> Self {
        Self::with(spec, |_| {})
    }

    /// The same; `fill` adds to the project before its first commit counts.
    pub fn with(spec: &SpecText, fill: impl FnOnce(&Repository)) -> Self {
        Self::on(Sandbox::new(), spec, fill)
    }

    /// The same in a world that was prepared before anything of it runs.
    pub fn on(sandbox: Sandbox, spec: &SpecText, fill: impl FnOnce(&Repository)) -> Self {
        let (repo, spec) = sandbox.project(spec);
        fill(&repo);
        repo.commit("Add more");
        let served = Some(sandbox.serve());
        Self { sandbox, repo, spec, served }
    }

    /// A backend that plays this.
    pub fn backend(&self, name: &str, playbook: &Playbook) -> String {
        format!("scripted:{}", playbook.write(&self.sandbox.path(name)).display())
    }

    /// `orchctl run` of the project.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Process {
        self.run_in("deterministic", args)
    }

    /// The same in that mode.
    pub fn run_in<'a>(&self, mode: &str, args: impl IntoIterator<Item = &'a str>) -> Process {
        let run = self.sandbox.orchctl(self.repo.path(), ["run", "--mode", mode, "--json"]).args(args);
        run.args(["--spec"]).path(&self.spec).start()
    }

    /// One answer of `orchctl`.
    pub fn ask<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        self.sandbox.orchctl(self.repo.path(), args).run()
    }

    /// The attempts of a unit so far.
    pub fn attempts(&self, unit: &str) -> Vec<Value> {
        let run = self.run_id();
        if run.is_empty() { Vec::new() } else { self.ask(["attempts", &run, unit, "--json"]).json().as_array().unwrap().clone() }
    }

    /// The run; empty while there is none.
    pub fn run_id(&self) -> String {
        self.ask(["status", "--json"]).json()["run"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an attempt of a unit is as wanted.
    pub fn wait_for_attempt(&self, what: &str, unit: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let said = || format!("{:#?}", self.attempts(unit));
        wait_for(what, said, || self.attempts(unit).into_iter().find(|attempt| wanted(attempt)))
    }

    /// git in the coordinator's repository.
    pub fn stored(&self, args: &[&str]) -> String {
        let repos = self.sandbox.data_dir().join("repos");
        let store = std::fs::read_dir(repos).unwrap().flatten().map(|entry| entry.path()).find(|path| path.extension().is_some()).unwrap();
        let mut all = vec!["--git-dir", store.to_str().unwrap()];
        all.extend(args);
        self.repo.git(&all)
    }

    /// The commit at an attempt's ref.
    pub fn attempt_ref(&self, unit: &str, attempt: u64) -> String {
        let refs = self.stored(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/roundtable"]);
        let wanted = format!("/{unit}/{attempt} ");
        let line = refs.lines().find(|line| line.contains(&wanted));
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap_or_else(|| panic!("no ref of attempt {attempt} of unit {unit} in\n{refs}"))
            .to_owned()
    }

    /// The files of a commit there.
    pub fn files(&self, commit: &str) -> Vec<String> {
        self.stored(&["-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", commit]).lines().map(str::to_owned).collect()
    }

    /// A file of a commit there.
    pub fn file(&self, commit: &str, path: &str) -> String {
        self.stored(&["show", &format!("{commit}:{path}")])
    }

    /// The coordinator.
    pub fn coordinator(&self) -> &Process {
        self.served.as_ref().unwrap()
    }

    /// The coordinator, to be waited for, and another one in its place once it has ended.
    pub fn coordinator_ends(&mut self) -> Output {
        let ended = self.served.take().unwrap().wait();
        self.served = Some(self.sandbox.serve());
        ended
    }

    /// Kills the coordinator.
    pub fn kill(&mut self) {
        if let Some(served) = self.served.take() {
            served.kill();
        }
    }

    /// Starts it again.
    pub fn serve(&mut self) {
        self.served = Some(self.sandbox.serve());
    }

    /// Ends the coordinator in order.
    pub fn stop(&mut self) {
        if let Some(served) = self.served.take() {
            served.signal(roundtable_tests::harness::Signal::TERM);
            served.wait().expect(0);
        }
    }
}

/// Why a worker's backend takes nothing now; empty if it does.
pub fn unavailable(stage: &Stage, worker: &str) -> String {
    let workers = stage.ask(["workers", "--json"]).json();
    let worker = workers.as_array().unwrap().iter().find(|each| each["name"] == worker).unwrap_or_else(|| panic!("{workers}")).clone();
    let backend = worker["backends"].as_object().unwrap().iter().find(|(name, _)| *name != "check").unwrap().1.clone();
    backend["unavailable"].as_str().unwrap_or_default().to_owned()
}
