//! A coordinator whose data directory cannot be written: for a while, which is said and costs nothing, or for good, which ends it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roundtable_tests::harness::{Playbook, Process, Sandbox, SpecText, Turn, step, wait_for};

use crate::disk::SmallDisk;
use crate::stage::Stage;

/// A directory that is read-only until this is dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// Where one may mount.
    fn make(dir: PathBuf) -> Self {
        let mount = |args: &[&str]| Command::new("mount").args(args).arg(&dir).output().is_ok_and(|done| done.status.success());
        assert!(mount(&["--bind", dir.to_str().unwrap()]), "this test mounts, which root may, or `unshare --user --map-root-user --mount`");
        let made = Self(dir.clone());
        assert!(mount(&["-o", "remount,bind,ro"]), "{} cannot be made read-only", dir.display());
        made
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// An agent that says something, waits for leave, says more and does its work.
fn waits_for_leave() -> Playbook {
    let steps = [
        step::say("begun"),
        step::run("while ! test -e ../../../go; do sleep 0.05; done"),
        step::say("going on"),
        step::write("part-{unit}.txt", "done\n"),
    ];
    Playbook::new().role("implement", [Turn::new().steps(steps)])
}

struct Waiting {
    /// Goes before what lies on it.
    disk: Option<SmallDisk>,
    stage: Stage,
    worker: Process,
    run: Process,
    workspace: PathBuf,
}

impl Waiting {
    /// A run of one unit whose agent waits for leave.
    fn on(sandbox: Sandbox, before: impl FnOnce(&Stage)) -> Self {
        let stage = Stage::on(sandbox, &SpecText::parallel("store", 1), |_| {});
        before(&stage);
        let backend = stage.backend("play.json", &waits_for_leave());
        let workspace = stage.sandbox.path("ws");
        let worker = stage.sandbox.worker(["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()]);
        // Without an assignment agent, whose own events would be the first that cannot be written.
        let run = stage.run_in("legacy", []);
        stage.wait_for_attempt("the agent to begin", "1", |attempt| !attempt["started_at"].is_null());
        Self { disk: None, stage, worker, run, workspace }
    }

    fn give_leave(&self) {
        std::fs::write(self.workspace.join("go"), "").unwrap();
    }

    /// Waits until `status` tells of the trouble, for programs and for people.
    fn wait_for_problem(&self, detail: &str) {
        let told = format!("the data directory cannot be written: {detail}; retrying, nothing is lost");
        let status = || self.stage.ask(["status", "--json"]).json();
        let said = || format!("{:#}\n{}\n{}", status()["problems"], self.stage.coordinator().said(), self.worker.said());
        wait_for("the problem to be told", said, || (status()["problems"][0] == told.as_str()).then_some(()));
        let shown = self.stage.ask(["status"]).expect(0).stdout;
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&format!("! {told}")), "{shown}");
    }

    fn wait_for_delivering(&self) {
        let first = self
            .stage
            .wait_for_attempt("the outcome to wait", "1", |attempt| attempt["outcome"] == "delivering" && !attempt["error"].is_null());
        assert_eq!(first["attempt"], 1);
        let shown = self.stage.ask(["explain", "1"]).expect(0).stdout;
        assert!(shown.contains("delivering"), "{shown}");
    }

    /// It comes to its end without the work being done again, and nothing is lost.
    fn expect_complete(self) {
        let done = self.run.wait().expect(0);
        let attempts = self.stage.attempts("1");
        let work: Vec<_> = attempts.iter().filter(|attempt| attempt["role"] == "implement").collect();
        assert_eq!(work.len(), 1, "{attempts:#?}\n{}\n{}", done.said(), self.worker.said());
        let events = self.stage.ask(["events", &self.stage.run_id(), "--jsonl"]).stdout;
        assert!(events.contains("begun") && events.contains("going on"), "{events}");
        self.stage.sandbox.program("coordinator").args(["verify"]).run().expect(0).out_has(&["all good"]);
    }
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn events_that_cannot_be_written_for_a_while_are_said_and_nothing_is_lost() {
    let mut read_only = None;
    let waiting = Waiting::on(Sandbox::new(), |stage| read_only = Some(ReadOnly::make(stage.sandbox.data_dir().join("segments"))));
    waiting.wait_for_problem("Read-only file system");
    waiting.give_leave();
    waiting.wait_for_delivering();
    drop(read_only);
    waiting.expect_complete();
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn work_that_the_coordinators_repository_cannot_take_yet_waits_and_is_not_done_again() {
    let mut waiting = Waiting::on(Sandbox::new(), |_| {});
    let read_only = ReadOnly::make(waiting.stage.sandbox.data_dir().join("repos"));
    waiting.give_leave();
    waiting.wait_for_delivering();
    // Once more than the five tries after which an outcome was given up before.
    waiting.worker.wait_for_stderr("failures=6");
    waiting.wait_for_delivering();
    drop(read_only);
    waiting.expect_complete();
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn a_full_disk_is_said_what_is_asked_is_kept_and_the_run_goes_on_when_there_is_room() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(sandbox.data_dir().to_owned(), 24);
    let mut waiting = Waiting::on(sandbox, |_| {});
    let filler = disk.dir.join("filler");
    waiting.disk = Some(disk);
    fill(&filler);
    let refused = waiting.stage.ask(["pause", &waiting.stage.run_id()]).expect(1);
    assert!(refused.said().contains("No space left on device"), "{}", refused.said());
    waiting.give_leave();
    waiting.wait_for_problem("No space left on device");
    std::fs::remove_file(&filler).unwrap();
    let status = || waiting.stage.ask(["status", "--json"]).json();
    wait_for("what was asked to be done", || format!("{:#}", status()), || (status()["status"] == "paused").then_some(()));
    wait_for(
        "the trouble to be over",
        || format!("{:#}", status()),
        || (status()["problems"].as_array().unwrap().is_empty()).then_some(()),
    );
    waiting.stage.ask(["resume", &waiting.stage.run_id()]).expect(0);
    waiting.expect_complete();
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn a_coordinator_starts_on_a_disk_that_takes_no_more_files_says_so_and_goes_on_when_there_is_room() {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::of_few_files(sandbox.data_dir().to_owned(), 48, 2_000);
    let mut waiting = Waiting::on(sandbox, |_| {});
    waiting.stage.kill();
    let crowd = disk.dir.join("crowd");
    waiting.disk = Some(disk);
    std::fs::create_dir(&crowd).unwrap();
    let made = (0..2_000).take_while(|n| std::fs::File::create(crowd.join(n.to_string())).is_ok()).count();
    assert!((1..2_000).contains(&made), "{made} files were made");
    let client_file = waiting.stage.sandbox.data_dir().join("client.json");
    let before = std::fs::read(&client_file).unwrap();
    let mut served = waiting.stage.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).start();
    served.wait_for_stderr("its inodes are used up");
    served.wait_for_stderr("ready");
    assert_eq!(std::fs::read(&client_file).unwrap(), before, "there was no room for another");
    std::fs::remove_dir_all(&crowd).unwrap();
    wait_for("the file to be written", || served.said(), || (std::fs::read(&client_file).unwrap() != before).then_some(()));
    waiting.give_leave();
    waiting.expect_complete();
}

/// Writes until there is no room for a byte more.
fn fill(file: &Path) {
    use std::io::Write;
    let mut filler = std::fs::File::create(file).unwrap();
    for piece in [1 << 20, 4096, 1] {
        while filler.write_all(&vec![0; piece]).is_ok() {}
    }
}

/// Makes every sync of a file of a running process fail, as a broken disk does.
fn break_syncs(process: &Process, file: &Path) -> Process {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let strace = std::env::split_paths(&path).map(|dir| dir.join("strace")).find(|file| file.is_file());
    let strace = strace.expect("this test needs strace");
    let mut command = Command::new(strace);
    command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
    command.args(["-p", &process.pid().to_string(), "-P"]).arg(file);
    let mut tracer = Process::start(command, "strace", Stdio::null());
    tracer.wait_for_stderr("attached");
    tracer
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn a_sync_of_events_that_fails_ends_the_coordinator_and_the_next_one_goes_on() {
    let mut waiting = Waiting::on(Sandbox::new(), |_| {});
    let file = waiting.stage.sandbox.data_dir().join(format!("segments/{}/1/1/00000000000000000001.seg", waiting.stage.run_id()));
    wait_for("the first events to be kept", || waiting.worker.said(), || file.exists().then_some(()));
    let tracer = break_syncs(waiting.stage.coordinator(), &file);
    waiting.give_leave();
    let ended = waiting.stage.coordinator_ends().expect(1);
    assert!(ended.stderr.contains("agent events could not be made durable"), "{}", ended.said());
    drop(tracer);
    waiting.expect_complete();
}

#[test]
#[ignore = "needs mounts or strace: .ci/run test runs it where it may"]
fn a_sync_of_the_log_that_fails_ends_the_coordinator_and_the_next_one_goes_on() {
    let mut waiting = Waiting::on(Sandbox::new(), |_| {});
    let wal = waiting.stage.sandbox.data_dir().join("store.db-wal");
    let tracer = break_syncs(waiting.stage.coordinator(), &wal);
    waiting.give_leave();
    let ended = waiting.stage.coordinator_ends().expect(1);
    assert!(ended.stderr.contains("the log cannot be written"), "{}", ended.said());
    drop(tracer);
    waiting.expect_complete();
}
