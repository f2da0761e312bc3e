//! What git says of it: the commits of each run's branch, one for one what the log says and within what their units may write (I1, I2, I6), the refs of all
//! attempts whose outcome was accepted (I2), and every object they need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use roundtable_core::Core;
use roundtable_core::invariants::Violation;
use roundtable_core::state::Run;
use roundtable_runtime::git::RefName;
use roundtable_shared::AttemptKey;

use super::ledger::{Ledger, Step};
use super::violation;

/// One commit of a branch, as git has it.
struct Commit {
    id: String,
    parents: usize,
    units: Vec<String>,
    attempts: Vec<String>,
    paths: Vec<String>,
}

/// All runs of the repository; how many commits their branches have beyond their bases.
pub(super) fn check(repository: &Path, core: &Core, ledger: &Ledger, violations: &mut Vec<Violation>) -> usize {
    match check_all(repository, core, ledger, violations) {
        Ok(commits) => commits,
        Err(why) => {
            violations.push(violation("I2", format!("{}: {why}", repository.display())));
            0
        }
    }
}

fn check_all(repository: &Path, core: &Core, ledger: &Ledger, violations: &mut Vec<Violation>) -> Result<usize, String> {
    let stem = repository.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let named = core.state.runs.values().any(|run| run.origin.source.repository == stem);
    let runs = core.state.runs.values().filter(|run| run.life.removed.is_none() && (!named || run.origin.source.repository == stem));
    let runs: Vec<&Run> = runs.map(|run| &**run).collect();
    let refs = refs(repository)?;
    let mut total = 0;
    for run in &runs {
        let branch = format!("refs/heads/roundtable/{}", run.id);
        let steps = ledger.steps(&run.id);
        match refs.get(&branch) {
            Some(_) => {
                let commits = commits(repository, run.origin.base.as_str(), &branch)?;
                total += commits.len();
                compare(run, steps, &commits, violations);
            }
            None if steps.is_empty() => {}
            None => violations.push(violation("I2", format!("branch {branch} is gone, with {} integrations", steps.len()))),
        }
    }
    let ids: BTreeSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    kept(&refs, ledger, |key| ids.contains(key.run.as_str()), violations);
    // Every object that a ref of any kind leads to is there.
    git(repository, &["rev-list", "--objects", "--quiet", "--all"])?;
    Ok(total)
}

/// The branch is what the log says, commit for commit, and nothing on it is more than its unit was allowed.
fn compare(run: &Run, steps: &[Step], commits: &[Commit], violations: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for commit in commits {
        for unit in &commit.units {
            if !seen.insert(unit.as_str()) {
                violations.push(violation("I1", format!("unit {unit} of run {} has a second commit on its branch, {}", run.id, commit.id)));
            }
        }
    }
    for (at, step) in steps.iter().enumerate() {
        match commits.get(at).filter(|commit| commit.id == step.commit.as_str()) {
            Some(commit) => compare_step(run, step, commit, violations),
            None => {
                let found = commits.get(at).map_or("nothing", |commit| commit.id.as_str());
                let what = format!("run {}: integration {} is {}, and its branch has {found} there", run.id, at + 1, step.commit);
                return violations.push(violation("I2", what));
            }
        }
    }
    // A branch is moved before the log hears of it: one that was stopped in between may be ahead.
    if run.is_ended() && commits.len() > steps.len() {
        let more = &commits[steps.len()].id;
        violations.push(violation("I1", format!("run {} has ended, and its branch has {more}, of which the log knows nothing", run.id)));
    }
}

fn compare_step(run: &Run, step: &Step, commit: &Commit, violations: &mut Vec<Violation>) {
    let mut unless = |holds: bool, invariant: &'static str, what: String| {
        if !holds {
            violations.push(violation(invariant, format!("run {}, commit {}: {what}", run.id, commit.id)));
        }
    };
    unless(commit.parents == 1, "I1", format!("it has {} parents", commit.parents));
    let Some(unit) = &step.unit else {
        unless(commit.units.is_empty(), "I1", "the closing commit bears a unit".to_owned());
        let is_ours = |path: &&String| is_ticked(run, path) || path.rsplit('/').next() == Some("AGENTS.md");
        let strange: Vec<&String> = commit.paths.iter().filter(|path| !is_ours(path)).collect();
        return unless(strange.is_empty(), "I6", format!("the closing commit changes {strange:?}"));
    };
    unless(commit.units == [unit.to_string()], "I1", format!("its trailers name units {:?}, the log {unit}", commit.units));
    if let Some(attempt) = step.attempt {
        let expected = [attempt.to_string()];
        unless(commit.attempts == expected, "I3", format!("its trailers name attempts {:?}, the log {attempt}", commit.attempts));
    }
    let changed: BTreeSet<&str> = step.changed.iter().map(String::as_str).collect();
    for path in commit.paths.iter().filter(|path| !is_ticked(run, path)) {
        let within = step.writes.as_ref().is_none_or(|writes| writes.covers(path));
        unless(within, "I6", format!("it changes {path}, which is not in the manifest of unit {unit}"));
        unless(changed.contains(path.as_str()), "I6", format!("it changes {path}, of which the log says nothing"));
    }
}

/// Boxes are ticked by the coordinator.
fn is_ticked(run: &Run, path: &str) -> bool {
    run.origin.tick_path.as_deref() == Some(path)
}

/// I2: what an accepted attempt left is kept under its ref.
fn kept(refs: &BTreeMap<String, String>, ledger: &Ledger, here: impl Fn(&AttemptKey) -> bool, violations: &mut Vec<Violation>) {
    for (key, attempt) in ledger.attempts().filter(|(key, attempt)| here(key) && attempt.role.writes()) {
        let Some(commit) = &attempt.commit else { continue };
        let unit = key.unit.as_ref().map_or_else(|| "-".to_owned(), |unit| RefName::component(unit.as_str()));
        let name = format!("refs/roundtable/{}/{unit}/{}", RefName::component(key.run.as_str()), key.attempt);
        let found = refs.get(&name).map_or("nowhere", String::as_str);
        if found != commit.as_str() {
            violations.push(violation("I2", format!("the work of attempt {key} was accepted as {commit}; {name} is {found}")));
        }
    }
}

fn refs(repository: &Path) -> Result<BTreeMap<String, String>, String> {
    let listed = git(repository, &["for-each-ref", "--format=%(refname) %(objectname)"])?;
    Ok(listed.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
}

/// Commits of a branch beyond the base, oldest first.
fn commits(repository: &Path, base: &str, branch: &str) -> Result<Vec<Commit>, String> {
    let format =
        "--format=%x01%H%x02%P%x02%(trailers:key=Unit-Id,valueonly,separator=%x03)%x02%(trailers:key=Attempt,valueonly,separator=%x03)%x02";
    let range = format!("{base}..{branch}");
    let log = ["log", "--first-parent", "--reverse", "--no-renames", "--name-only", format, &range, "--"];
    Ok(git(repository, &log)?.split('\x01').skip(1).filter_map(read).collect())
}

fn read(text: &str) -> Option<Commit> {
    let mut parts = text.splitn(5, '\x02');
    let mut next = || parts.next();
    let (id, parents, units, attempts, paths) = (next()?, next()?, next()?, next()?, next()?);
    let list = |text: &str| text.split('\x03').map(str::trim).filter(|each| !each.is_empty()).map(str::to_owned).collect();
    Some(Commit {
        id: id.to_owned(),
        parents: parents.split_whitespace().count(),
        units: list(units),
        attempts: list(attempts),
        paths: paths.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(),
    })
}

fn git(repository: &Path, args: &[&str]) -> Result<String, String> {
    let done = Command::new("git")
        .args(["-c", "core.quotePath=false", "-c", "safe.directory=*"])
        .arg(format!("--git-dir={}", repository.display()))
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(format!("git {}: {}", args[0], String::from_utf8_lossy(&done.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Stdio;

    use roundtable_core::command::RunSource;
    use roundtable_core::transition::{Fact, RunCreated, Transition};
    use roundtable_shared::manifest::PathSet;
    use roundtable_shared::spec::{Plan, Spec};
    use roundtable_shared::time::WallMs;
    use roundtable_shared::{AttemptNo, RunOptions};

    use super::*;

    const BRANCH: &str = "refs/heads/roundtable/run";

    /// A bare repository, and a log that knows of one run in it.
    struct Place {
        dir: PathBuf,
        base: String,
        core: Core,
        _home: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let home = tempfile::tempdir().expect("a folder can be made");
            let dir = home.path().join("repository.git");
            let made = Command::new("git").args(["init", "--quiet", "--bare"]).arg(&dir).status().expect("git is here");
            assert!(made.success());
            let mut place = Self { dir, base: String::new(), core: Core::default(), _home: home };
            place.base = place.commit(&[], &[("a", "1"), ("b", "1"), ("tasks.md", "[ ]")], "base");
            let text = String::new;
            let created = RunCreated {
                source: RunSource { repository: "repository".to_owned(), git_dir: text(), spec_path: text(), workdir: text() },
                by: text(),
                options: RunOptions::default(),
                spec: Spec::default(),
                outline: Plan::default(),
                inputs_digest: text(),
                base: place.base.as_str().into(),
                started_branch: None,
                tick_path: Some("tasks.md".to_owned()),
                spec_paths: Vec::new(),
                mirror_paths: Vec::new(),
                imported: None,
                units: Vec::new(),
            };
            place.happens(Fact::RunCreated(Box::new(created)));
            place
        }

        fn happens(&mut self, fact: Fact) {
            self.core.replay(&Transition { run: Some("run".into()), at: WallMs(0), fact });
        }

        fn git(&self, args: &[&str], input: &str) -> String {
            let mut command = Command::new("git");
            command.arg(format!("--git-dir={}", self.dir.display())).args(args);
            for who in ["AUTHOR", "COMMITTER"] {
                command
                    .env(format!("GIT_{who}_NAME"), "t")
                    .env(format!("GIT_{who}_EMAIL"), "t@t")
                    .env(format!("GIT_{who}_DATE"), "@1 +0000");
            }
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git is here");
            child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("git reads it");
            let done = child.wait_with_output().expect("it ends");
            assert!(done.status.success(), "git {args:?}");
            String::from_utf8_lossy(&done.stdout).trim().to_owned()
        }

        fn commit(&self, parents: &[&str], files: &[(&str, &str)], message: &str) -> String {
            let entry =
                |(name, text): &(&str, &str)| format!("100644 blob {}\t{name}\n", self.git(&["hash-object", "-w", "--stdin"], text));
            let tree = self.git(&["mktree"], &files.iter().map(entry).collect::<String>());
            let mut args = vec!["commit-tree", tree.as_str()];
            parents.iter().for_each(|parent| args.extend(["-p", *parent]));
            self.git(&args, message)
        }

        /// The integration of unit 1 as it should be, but for what it changes and how it is signed.
        fn integration(&self, parents: &[&str], files: &[(&str, &str)], unit: &str, attempt: &str) -> String {
            self.commit(parents, files, &format!("unit\n\nUnit-Id: {unit}\nAttempt: {attempt}\n"))
        }

        /// Invariants that are broken where the branch ends there and the log knows these steps.
        fn broken(&self, tip: &str, steps: &[Step]) -> Vec<&'static str> {
            self.git(&["update-ref", BRANCH, tip], "");
            let run = self.core.state.runs.values().next().expect("it was made");
            let found = commits(&self.dir, &self.base, BRANCH).expect("git lists them");
            let mut violations = Vec::new();
            compare(run, steps, &found, &mut violations);
            violations.into_iter().map(|violation| violation.invariant).collect()
        }
    }

    /// Unit 1 by its second attempt, which may write `a` and has.
    fn step(commit: &str) -> Step {
        let writes = PathSet::new(&["a"], false).expect("it is a path");
        Step {
            unit: Some("1".into()),
            commit: commit.into(),
            changed: vec!["a".to_owned()],
            writes: Some(writes),
            attempt: Some(AttemptNo(2)),
        }
    }

    fn closing(commit: &str) -> Step {
        Step { unit: None, commit: commit.into(), changed: Vec::new(), writes: None, attempt: None }
    }

    #[test]
    fn a_branch_that_is_as_the_log_says_breaks_nothing() {
        let place = Place::new();
        let one = place.integration(&[&place.base], &[("a", "2"), ("b", "1"), ("tasks.md", "[x]")], "1", "2");
        let end = place.commit(&[&one], &[("AGENTS.md", "- so"), ("a", "2"), ("b", "1"), ("tasks.md", "[x]")], "closing");
        assert_eq!(place.broken(&end, &[step(&one), closing(&end)]), Vec::<&str>::new());
        // Moved before the log hears of it.
        assert_eq!(place.broken(&end, &[step(&one)]), Vec::<&str>::new());
        assert_eq!(place.broken(&place.base, &[]), Vec::<&str>::new());
    }

    #[test]
    fn each_wrong_commit_is_found_and_called_by_its_invariant() {
        let mut place = Place::new();
        let base = place.base.clone();
        let (good, more) = ([("a", "2"), ("b", "1"), ("tasks.md", "[ ]")], [("a", "2"), ("b", "2"), ("tasks.md", "[ ]")]);
        let one = place.integration(&[&base], &good, "1", "2");
        let other = place.integration(&[&base], &good, "9", "2");
        assert_eq!(place.broken(&other, &[step(&other)]), ["I1"], "its trailer names another unit");
        let other = place.integration(&[&base], &good, "1", "3");
        assert_eq!(place.broken(&other, &[step(&other)]), ["I3"], "its trailer names another attempt");
        let other = place.integration(&[&base], &more, "1", "2");
        assert_eq!(place.broken(&other, &[step(&other)]), ["I6", "I6"], "it changes what is neither in the manifest nor in the log");
        let side = place.commit(&[&base], &good, "side");
        let other = place.integration(&[&base, &side], &good, "1", "2");
        assert_eq!(place.broken(&other, &[step(&other)]), ["I1"], "it is a merge");
        let twice = place.integration(&[&one], &[("a", "3"), ("b", "1"), ("tasks.md", "[ ]")], "1", "2");
        assert_eq!(place.broken(&twice, &[step(&one)]), ["I1"], "the unit has a second commit");
        assert_eq!(place.broken(&base, &[step(&one)]), ["I2"], "the branch lacks it");
        assert_eq!(place.broken(&other, &[step(&one)]), ["I2"], "another one is there");
        let end = place.commit(&[&one], &more, "closing");
        assert_eq!(place.broken(&end, &[step(&one), closing(&end)]), ["I6"], "the closing commit changes what is no box and no learning");
        place.happens(Fact::RunEnded { exit: 0, reason: String::new() });
        let end = place.commit(&[&one], &good, "of nobody");
        assert_eq!(place.broken(&end, &[step(&one)]), ["I1"], "the run has ended, and its branch goes on");
    }

    #[test]
    fn a_branch_or_an_object_that_is_gone_is_found() {
        let place = Place::new();
        let check = |ledger: &Ledger| {
            let mut violations = Vec::new();
            let commits = check(&place.dir, &place.core, ledger, &mut violations);
            (commits, violations.into_iter().map(|violation| violation.invariant).collect::<Vec<_>>())
        };
        let one = place.integration(&[&place.base], &[("a", "2"), ("b", "1"), ("tasks.md", "[ ]")], "1", "2");
        let mut ledger = Ledger::default();
        assert_eq!(check(&ledger), (0, vec![]));
        let closed = Fact::RunClosed { commit: Some(one.as_str().into()), ticked: Vec::new() };
        let closed = Transition { run: Some("run".into()), at: WallMs(0), fact: closed };
        ledger.note(&place.core.state, &closed, &mut Vec::new());
        assert_eq!(check(&ledger), (0, vec!["I2"]), "there is no branch");
        place.git(&["update-ref", "refs/heads/other", &one], "");
        let blob = place.git(&["rev-parse", &format!("{one}:a")], "");
        std::fs::remove_file(place.dir.join("objects").join(&blob[..2]).join(&blob[2..])).expect("it lies loose");
        assert_eq!(check(&ledger), (0, vec!["I2", "I2"]), "and a file of a commit is gone");
    }
}
