//! Hostile programs under every strategy that this host allows: what they leave behind (nothing), what is read of them, what ends them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_worker::backend::{EndedBy, StdoutMode};
use roundtable_worker::process::{
    Ended, Exit, Limits, LineSink, ProcessError, ProcessSpec, Progress, Run, Stop, Strategy, Stream, Supervisor, SupervisorOptions,
};
use tokio::sync::watch;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Keeps a bounded part of the output.
#[derive(Default, Debug)]
struct Collect {
    lines: Vec<(Stream, String)>,
    bytes: u64,
    truncated: u64,
    elided: u64,
    last: String,
}

impl LineSink for Collect {
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) {
        self.bytes += line.len() as u64 + 1;
        self.truncated += u64::from(truncated);
        let text = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        if self.lines.len() < 1000 {
            self.lines.push((stream, text.clone()));
        }
        self.last = text;
    }

    fn elided(&mut self, _: Stream, bytes: u64) {
        self.elided += bytes;
    }
}

impl Collect {
    fn stdout(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| line.0 == Stream::Stdout).map(|line| line.1.as_str()).collect()
    }
}

struct Rig {
    supervisor: Supervisor,
    dir: tempfile::TempDir,
}

async fn rig(strategy: Option<Strategy>) -> Option<Rig> {
    let dir = tempfile::tempdir().unwrap();
    let options = SupervisorOptions { strategy, exe: Some(WORKER.into()), ..SupervisorOptions::new(dir.path()) };
    match Supervisor::start(options).await {
        Ok(supervisor) => Some(Rig { supervisor, dir }),
        Err(error) => {
            eprintln!("not tested here: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs cgroups and process namespaces of one's own: .ci/run test runs it"]
async fn every_way_to_hold_a_process_tree_can_be_tested_here() {
    assert_eq!(rigs().await.len(), 3, "the tests of this file are played with fewer ways than there are");
}

/// Every strategy that works here; the test fails if not even the last resort does.
async fn rigs() -> Vec<Rig> {
    let mut rigs = Vec::new();
    for strategy in [Strategy::Cgroup, Strategy::PidNamespace, Strategy::Subreaper] {
        rigs.extend(rig(Some(strategy)).await);
    }
    assert!(rigs.iter().any(|rig| rig.supervisor.strategy().strategy == Strategy::Subreaper));
    rigs
}

impl Rig {
    fn spec(&self, script: &str) -> ProcessSpec {
        ProcessSpec {
            program: PathBuf::from("/bin/sh"),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap())]),
            cwd: self.dir.path().to_owned(),
            stdin: Vec::new(),
            stdout: StdoutMode::Pipe,
            scratch: self.dir.path().to_owned(),
            limits: Limits { wall: Duration::from_secs(60), grace: Duration::from_millis(300), ..Limits::default() },
            name: "run-abc/1/1".to_owned(),
        }
    }

    async fn run(&self, spec: ProcessSpec) -> (Ended, Collect) {
        let (_stop, stopped) = watch::channel(Stop::No);
        let Run { ended, sink } = self.supervisor.run(spec, Collect::default(), stopped, Arc::new(Progress::default())).await;
        (ended.unwrap(), sink.unwrap())
    }

    async fn sh(&self, script: &str) -> (Ended, Collect) {
        self.run(self.spec(script)).await
    }
}

/// A number of seconds nobody else sleeps for: finds our sleepers in `/proc`.
fn long_sleep() -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    format!("sleep 9{}.{nanos:09}", std::process::id())
}

fn running(needle: &str) -> Vec<String> {
    let needle = needle.rsplit(' ').next().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = cmdline.split(|&byte| byte == 0).collect();
        if words.contains(&needle.as_bytes()) {
            found.push(String::from_utf8_lossy(&cmdline).into_owned());
        }
    }
    found
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The kernel looks for the highest score where memory runs out.
#[tokio::test]
async fn a_program_goes_before_its_worker_where_memory_runs_out() {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    // The way is the same under every strategy; only in this one it sees the host's own /proc for certain.
    let rig = rig(Some(Strategy::Subreaper)).await.unwrap();
    let (ended, output) = rig.sh("cat /proc/self/oom_score_adj").await;
    assert_eq!(ended.exit, Exit::Code(0));
    let its: i32 = output.stdout()[0].trim().parse().unwrap();
    assert!(its > own, "{its} against {own}");
}

#[tokio::test]
async fn a_program_gets_what_it_was_given_and_nothing_else() {
    for rig in rigs().await {
        let mut spec = rig.spec("cat; echo; pwd; env; echo oops >&2; exit 7");
        spec.stdin = b"hello \xff stdin".to_vec();
        spec.env.insert("GREETING".into(), "bonjour".into());
        let (ended, output) = rig.run(spec).await;
        assert_eq!((ended.exit, ended.ended_by), (Exit::Code(7), None));
        assert_eq!(ended.survivors, Vec::<String>::new());
        let stdout = output.stdout();
        assert!(stdout[0].starts_with("hello "), "{stdout:?}");
        assert_eq!(Path::new(stdout[1]), rig.dir.path().canonicalize().unwrap());
        let mut names: Vec<&str> = stdout[2..].iter().filter_map(|line| line.split('=').next()).collect();
        names.retain(|name| !["PWD", "_", "OLDPWD", "SHLVL"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["GREETING", "PATH", "ROUNDTABLE_ATTEMPT"]);
        assert!(stdout.iter().any(|line| line.starts_with("ROUNDTABLE_ATTEMPT=") && line.ends_with(":run-abc/1/1")));
        assert!(output.lines.contains(&(Stream::Stderr, "oops".to_owned())));
    }
}

#[tokio::test]
async fn a_program_that_cannot_start_is_said_to() {
    for rig in rigs().await {
        let (_stop, stopped) = watch::channel(Stop::No);
        let mut spec = rig.spec("");
        spec.program = "/no/such/program".into();
        let run = rig.supervisor.run(spec, Collect::default(), stopped.clone(), Arc::default()).await;
        assert!(matches!(&run.ended, Err(ProcessError::NotStarted { missing: true, why }) if why.contains("/no/such/program")), "{run:?}");
        assert!(run.sink.is_some());
        let mut spec = rig.spec("");
        spec.cwd = "/no/such/dir".into();
        let run = rig.supervisor.run(spec, Collect::default(), stopped, Arc::default()).await;
        assert!(matches!(&run.ended, Err(ProcessError::NotStarted { missing: false, why }) if why.contains("/no/such/dir")), "{run:?}");
    }
}

#[tokio::test]
async fn large_stdin_is_fed_and_unread_stdin_harms_nobody() {
    let rig = rig(None).await.unwrap();
    let mut spec = rig.spec("wc -c");
    spec.stdin = vec![b'x'; 5 << 20];
    assert_eq!(rig.run(spec.clone()).await.1.stdout()[0].trim(), (5 << 20).to_string());
    spec.args = vec!["-c".into(), "exec <&-; echo ok; sleep 0.1".into()];
    let (ended, output) = rig.run(spec).await;
    assert_eq!((ended.exit, output.stdout()), (Exit::Code(0), vec!["ok"]));
}

#[tokio::test]
async fn daemons_do_not_outlive_their_tree() {
    for rig in rigs().await {
        let sleep = long_sleep();
        let script = format!(
            "setsid sh -c '({sleep} & ({sleep} &)) & {sleep}' & setsid setsid {sleep} & nohup {sleep} >/dev/null 2>&1 & \
             while [ $(pgrep -fxc '{sleep}') -lt 5 ]; do :; done; exit 0"
        );
        let (ended, _) = rig.sh(&script).await;
        assert_eq!((ended.exit, ended.survivors), (Exit::Code(0), Vec::new()), "{:?}", rig.supervisor.strategy());
        assert_eq!(running(&sleep), Vec::<String>::new(), "{:?}", rig.supervisor.strategy());
    }
}

#[tokio::test]
async fn one_that_ignores_the_request_to_end_is_killed_after_the_grace() {
    for rig in rigs().await {
        let sleep = long_sleep();
        let mut spec = rig.spec(&format!("trap '' TERM INT HUP; setsid {sleep} & {sleep} & echo up; while :; do {sleep}; done"));
        spec.limits.wall = Duration::from_millis(500);
        let began = Instant::now();
        let (ended, _) = rig.run(spec).await;
        assert_eq!((ended.exit, ended.ended_by, ended.survivors.len()), (Exit::Signal(9), Some(EndedBy::Wall), 0));
        assert!(began.elapsed() >= Duration::from_millis(790), "the grace was not kept: {:?}", began.elapsed());
        assert_eq!(running(&sleep), Vec::<String>::new());
    }
}

#[tokio::test]
async fn one_that_heeds_the_request_ends_by_itself_even_if_stopped() {
    for rig in rigs().await {
        let (stop, stopped) = watch::channel(Stop::No);
        let mut spec = rig.spec("trap 'echo bye; exit 9' TERM; echo up; kill -STOP $$; while :; do sleep 0.05; done");
        spec.limits.grace = Duration::from_secs(30);
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let asker = async {
            wait_until("the program is up", || seen.stdout_bytes() > 0).await;
            stop.send(Stop::End(EndedBy::Interrupt)).unwrap();
        };
        let (run, ()) = tokio::join!(rig.supervisor.run(spec, Collect::default(), stopped, progress), asker);
        let ended = run.ended.unwrap();
        assert_eq!((ended.exit, ended.ended_by), (Exit::Code(9), Some(EndedBy::Interrupt)));
        assert_eq!(run.sink.unwrap().stdout(), ["up", "bye"]);
    }
}

#[tokio::test]
async fn killing_at_once_does_not_wait_for_the_grace() {
    let rig = rig(None).await.unwrap();
    let (stop, stopped) = watch::channel(Stop::No);
    let mut spec = rig.spec("trap '' TERM; echo up; while :; do sleep 1; done");
    spec.limits.grace = Duration::from_secs(600);
    let began = Instant::now();
    let progress = Arc::new(Progress::default());
    let seen = Arc::clone(&progress);
    let asker = async {
        wait_until("the program is up", || seen.stdout_bytes() > 0).await;
        stop.send(Stop::End(EndedBy::Interrupt)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send(Stop::Kill(EndedBy::Interrupt)).unwrap();
    };
    let (run, ()) = tokio::join!(rig.supervisor.run(spec, Collect::default(), stopped, progress), asker);
    assert_eq!(run.ended.unwrap().ended_by, Some(EndedBy::Interrupt));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn idle_means_no_output_and_no_work() {
    for rig in rigs().await {
        let limits = Limits { idle: Duration::from_millis(600), wall: Duration::from_secs(2), grace: Duration::ZERO, ..Limits::default() };
        let run = |script: &str| rig.run(ProcessSpec { limits, ..rig.spec(script) });
        let (ended, _) = run("sleep 100").await;
        assert_eq!(ended.ended_by, Some(EndedBy::Idle));
        assert!(ended.wall_ms >= 500, "{ended:?}");
        assert_eq!(run("while :; do :; done").await.0.ended_by, Some(EndedBy::Wall), "{:?}", rig.supervisor.strategy());
        assert_eq!(run("while :; do echo x; sleep 0.1; done").await.0.ended_by, Some(EndedBy::Wall));
        let (ended, _) = rig.sh("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done").await;
        assert_eq!(ended.exit, Exit::Code(0));
        assert!(ended.cpu_ms >= 20, "{ended:?}");
    }
}

#[tokio::test]
async fn too_much_output_ends_it() {
    let rig = rig(None).await.unwrap();
    for stdout in [StdoutMode::Pipe, StdoutMode::File] {
        let limits = Limits { output_bytes_max: 20 << 20, grace: Duration::ZERO, ..Limits::default() };
        let (ended, _) = rig.run(ProcessSpec { limits, stdout, ..rig.spec(&format!("yes {}", "x".repeat(1000))) }).await;
        assert_eq!(ended.ended_by, Some(EndedBy::Output));
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn floods_are_read_to_the_end_in_bounded_memory() {
    let rig = rig(None).await.unwrap();
    let before = resident_bytes();
    let line = "x".repeat(1000);
    let floods = [
        // No newline at all, and NULs.
        ("head -c 100000000 /dev/zero; echo; echo end", 100_000_005),
        ("head -c 100000000 /dev/zero >&2; echo end", 4),
        // Long and short lines.
        (&format!("yes {line} | head -n 50000; echo end") as &str, 50_050_004),
        ("yes | head -c 4000000; echo end", 4_000_004),
    ];
    for stdout in [StdoutMode::Pipe, StdoutMode::File] {
        for (script, bytes) in floods {
            let (ended, output) = rig.run(ProcessSpec { stdout, ..rig.spec(script) }).await;
            assert_eq!((ended.exit, ended.ended_by), (Exit::Code(0), None), "{script}");
            assert_eq!(ended.stdout_bytes, bytes, "{script} {stdout:?}");
            assert!(output.last == "end" || script.contains(">&2"), "{script}: {}", output.last);
            assert_eq!(ended.elided_bytes, output.elided);
            if script.starts_with("head") {
                assert_eq!(output.truncated, 1, "{script}");
            }
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 48 << 20, "grew by {} MiB", grown >> 20);
}

#[tokio::test]
async fn a_file_as_stdout_is_complete_and_leaves_no_file() {
    for rig in rigs().await {
        let spec = rig.spec("i=0; while [ $i -lt 500 ]; do echo line-$i; i=$((i+1)); done; printf last");
        let (ended, output) = rig.run(ProcessSpec { stdout: StdoutMode::File, ..spec }).await;
        assert_eq!(ended.exit, Exit::Code(0));
        assert_eq!((output.lines.len(), output.last.as_str()), (501, "last"));
        let left: Vec<_> = std::fs::read_dir(rig.dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name == "cgroup"), "{left:?}");
    }
}

#[tokio::test]
async fn closing_the_streams_is_not_the_end() {
    for rig in rigs().await {
        let (ended, output) = rig.sh("echo one; exec >&- 2>&-; sleep 0.3; touch later; exit 3").await;
        assert_eq!((ended.exit, output.stdout()), (Exit::Code(3), vec!["one"]));
        assert!(rig.dir.path().join("later").exists());
    }
}

#[tokio::test]
async fn a_dropped_run_kills_its_tree() {
    for rig in rigs().await {
        let sleep = long_sleep();
        let (_stop, stopped) = watch::channel(Stop::No);
        let spec = rig.spec(&format!("trap '' TERM; setsid {sleep} & {sleep}"));
        let run = rig.supervisor.run(spec, Collect::default(), stopped, Arc::default());
        let up = wait_until("the sleepers run", || running(&sleep).len() == 2);
        tokio::select! {
            run = run => panic!("ended by itself: {run:?}"),
            () = up => {}
        }
        wait_until("the sleepers are gone", || running(&sleep).is_empty()).await;
    }
}

fn supervisors_of(parent: u32) -> Vec<u32> {
    let children = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let direct = tasks.flat_map(|task| {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    });
    direct.filter(|&pid| !children(pid).trim().is_empty()).collect()
}

/// One of the processes that `running` finds.
fn pid_of(needle: &str) -> u32 {
    let needle = needle.rsplit(' ').next().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let named = |pid: &u32| {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        cmdline.split(|&byte| byte == 0).any(|word| word == needle.as_bytes())
    };
    pids.into_iter().find(named).unwrap()
}

fn ancestors_of(mut pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    while pid > 1 {
        found.push(pid);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        pid = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
    }
    found
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_tree_along() {
    for rig in rigs().await {
        let sleep = long_sleep();
        let (_stop, stopped) = watch::channel(Stop::No);
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let run = rig.supervisor.run(rig.spec(&format!("setsid {sleep} & echo up; {sleep}")), Collect::default(), stopped, progress);
        let killer = async {
            wait_until("the sleepers run", || running(&sleep).len() == 2 && seen.stdout_bytes() > 0).await;
            // Only this tree's: the other tests of this process have supervisors of their own.
            let ours = ancestors_of(pid_of(&sleep));
            let supervisor = supervisors_of(std::process::id()).into_iter().find(|pid| ours.contains(pid)).unwrap();
            std::process::Command::new("kill").args(["-9", &supervisor.to_string()]).status().unwrap();
        };
        let (run, ()) = tokio::join!(run, killer);
        assert!(matches!(&run.ended, Err(ProcessError::SupervisorLost { survivors }) if survivors.is_empty()), "{run:?}");
        assert_eq!(running(&sleep), Vec::<String>::new(), "{:?}", rig.supervisor.strategy());
    }
}

/// Plays the worker that is killed; started by the test below.
#[tokio::test]
#[ignore = "run by worker_killed_leaves_nothing, as its helper"]
async fn helper_worker() {
    let Some((strategy, sleep)) =
        std::env::var("HELPER").ok().and_then(|text| Some(text.split_once(':')?).map(|(a, b)| (a.to_owned(), b.to_owned())))
    else {
        return;
    };
    let all = [Strategy::Cgroup, Strategy::PidNamespace, Strategy::Subreaper];
    let strategy = all.into_iter().find(|known| known.to_string() == strategy);
    let rig = rig(strategy).await.unwrap();
    rig.sh(&format!("trap '' TERM; setsid {sleep} & (setsid {sleep} &) & {sleep}")).await;
}

#[tokio::test]
async fn worker_killed_leaves_nothing() {
    for rig in rigs().await {
        let strategy = rig.supervisor.strategy().strategy;
        let sleep = long_sleep();
        let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["helper_worker", "--exact", "--ignored"])
            .env("HELPER", format!("{strategy}:{sleep}"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the sleepers run", || running(&sleep).len() == 3).await;
        let supervisors = supervisors_of(worker.id());
        assert!(!supervisors.is_empty());
        worker.kill().unwrap();
        worker.wait().unwrap();
        wait_until("the sleepers are gone", || running(&sleep).is_empty()).await;
        wait_until("the supervisors are gone", || {
            supervisors.iter().all(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty())
        })
        .await;
    }
}

#[tokio::test]
async fn leftovers_of_this_workspace_are_killed_at_the_start_and_only_they() {
    for rig in rigs().await {
        let (_, output) = rig.sh("echo $ROUNDTABLE_ATTEMPT").await;
        let mark = output.last.clone();
        let sleep = long_sleep();
        let start = |mark: &str| {
            let mut words = sleep.split(' ');
            let mut command = std::process::Command::new(words.next().unwrap());
            command.args(words).env("ROUNDTABLE_ATTEMPT", mark).spawn().unwrap()
        };
        let mut ours = start(&mark);
        let mut others = start(&format!("0{mark}"));
        let strategy = Some(rig.supervisor.strategy().strategy);
        let again = SupervisorOptions { strategy, exe: Some(WORKER.into()), ..SupervisorOptions::new(rig.dir.path()) };
        drop(rig.supervisor);
        let again = Supervisor::start(again).await.unwrap();
        let status = ours.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert!(others.try_wait().unwrap().is_none(), "another workspace's process was killed");
        others.kill().unwrap();
        others.wait().unwrap();
        assert!(again.leftovers().killed.iter().any(|killed| killed.contains("sleep")), "{:?}", again.leftovers());
    }
}

#[tokio::test]
async fn trees_run_side_by_side_and_start_quickly() {
    for rig in rigs().await {
        let runs = (0..6).map(|n| rig.run(rig.spec(&format!("sleep 0.0{n}; echo {n}; exit {n}"))));
        for (n, (ended, output)) in futures_util::future::join_all(runs).await.into_iter().enumerate() {
            assert_eq!((ended.exit, output.stdout()), (Exit::Code(i32::try_from(n).unwrap()), vec![n.to_string().as_str()]));
        }
        let mut quickest = Duration::MAX;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let began = Instant::now();
            let (_, output) = rig.sh("date +%s%N").await;
            let whole = began.elapsed();
            let started: u128 = output.last.parse().unwrap();
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
            let start = whole.saturating_sub(Duration::from_nanos(u64::try_from(now.saturating_sub(started)).unwrap()));
            quickest = quickest.min(start);
        }
        eprintln!("{}: from the call to the program's first act {quickest:?}", rig.supervisor.strategy().strategy);
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    }
}
