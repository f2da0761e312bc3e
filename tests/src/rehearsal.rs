//! A place to rehearse in: a home for the real agent CLIs in which their provider is the model server, a sample repository with a spec, and the
//! variables to set. The same for a person at four terminals (`model-server --rehearse DIR`) and for the end-to-end tests.

use std::path::{Path, PathBuf};

use anyhow::Context;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{GitProgram, Signature};

use crate::model_server::Home;

/// The model's part of the sample: one critical finding and its fix.
pub const SCRIPT: &str = include_str!("../rehearsal/script.json");
/// A model whose first unit stays critical until a person has decided.
pub const STUBBORN: &str = include_str!("../rehearsal/stubborn.json");
/// Where the sample's spec lies in its repository.
pub const SPEC_DIR: &str = ".kiro/specs/greeting";

/// The sample's files.
pub const FILES: [(&str, &str); 4] = [
    ("README.md", "# Greeting\n\nA sample to rehearse with.\n"),
    (".kiro/specs/greeting/tasks.md", include_str!("../rehearsal/spec/tasks.md")),
    (".kiro/specs/greeting/requirements.md", include_str!("../rehearsal/spec/requirements.md")),
    (".kiro/specs/greeting/design.md", include_str!("../rehearsal/spec/design.md")),
];

/// A place that has been laid out.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Rehearsal {
    /// Lays a place out in `dir`, with a repository of `files`; one that is there already keeps its repository. The CLIs talk to `url` and are
    /// found in `programs`, before everything else on the PATH.
    pub async fn lay_out(dir: &Path, url: &str, programs: &[PathBuf], files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let home = Home::create(&dir.join("home"), url)?;
        let dir = std::fs::canonicalize(dir)?;
        let mut env = home.env().to_vec();
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(programs.iter().cloned().chain(std::env::split_paths(&rest)))?;
        env.push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
        let place = Self { dir, env };
        if !place.repo().exists() {
            place.make_repository(files).await?;
        }
        std::fs::write(place.dir.join("env.sh"), place.env_script())?;
        Ok(place)
    }

    /// The sample's repository.
    pub fn repo(&self) -> PathBuf {
        self.dir.join("repo")
    }

    /// The home of everything that is started.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// The folder of it all.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The variables to set.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// What to do in which terminal, for a person.
    pub fn guide(&self) -> String {
        format!(
            "in every terminal, first:\n  source {dir}/env.sh\n\nthen, one terminal each:\n  coordinator serve\n  worker join --backend codex\n  \
             worker join --backend gemini\n  orchctl run --yes --spec {SPEC_DIR} --workers opencode=1\n  orchctl status --watch\n",
            dir = self.dir.display()
        )
    }

    async fn make_repository(&self, files: &[(&str, &str)]) -> anyhow::Result<()> {
        let repo = self.repo();
        for (path, text) in files {
            let path = repo.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&repo))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let by = Signature::roundtable(SystemClock.wall().0 / 1000);
        GitProgram::find().await?.create_repository(&repo, "main", &by, "Start of the sample\n").await?;
        Ok(())
    }

    fn env_script(&self) -> String {
        let mut text = "# Variables under which the agent CLIs talk to the model server. To be sourced by a shell.\n".to_owned();
        // A coordinator, data directory or token of the shell's own would lead out of here.
        text.push_str("unset $(env | sed -n 's/^\\(ROUNDTABLE_[A-Z_]*\\)=.*/\\1/p')\n");
        for (name, value) in &self.env {
            text.push_str(&format!("export {name}='{}'\n", value.replace('\'', "'\\''")));
        }
        text.push_str(&format!("cd '{}'\n", self.repo().display().to_string().replace('\'', "'\\''")));
        text
    }
}
