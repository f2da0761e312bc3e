//! A worker whose disk is full.

use std::path::PathBuf;
use std::process::Command;

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::stage::{Stage, unavailable};

/// A small file system of its own, unmounted when dropped.
pub struct SmallDisk {
    pub dir: PathBuf,
}

impl SmallDisk {
    /// Where one may mount.
    pub fn mount(dir: PathBuf, megabytes: u32) -> Self {
        Self::mount_with(dir, &format!("size={megabytes}m"))
    }

    /// The same with room for so many files only.
    pub fn of_few_files(dir: PathBuf, megabytes: u32, files: u32) -> Self {
        Self::mount_with(dir, &format!("size={megabytes}m,nr_inodes={files}"))
    }

    fn mount_with(dir: PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "roundtable-test"]).arg(&dir).output();
        let mounted = mounted.expect("this test needs `mount`");
        let said = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "this test mounts a tmpfs, which root may, or `unshare --user --map-root-user --mount`: {said}");
        Self { dir }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).output();
    }
}

#[test]
#[ignore = "mounts a file system: .ci/run test runs it where it may"]
fn a_disk_that_fills_up_costs_the_unit_nothing_and_the_worker_rests_until_there_is_room() {
    let stage = Stage::with(&SpecText::parallel("disk", 3), |repo| repo.write(".gitignore", "*.tmp\n"));
    let disk = SmallDisk::mount(stage.sandbox.path("small"), 48);
    let fills = Turn::new().steps([
        step::write("part-{unit}.txt", "begun\n"),
        step::run("while ! test -e ../../../go; do sleep 0.05; done; head -c 100000000 /dev/zero > big.tmp; sleep 60"),
    ]);
    let small = stage.backend("small.json", &Playbook::new().role("implement", [fills]));
    let workspace = disk.dir.join("ws");
    let small = format!("{small}=3");
    let mut worker = stage.sandbox.worker(["--name", "small", "--backend", &small, "--workspace", workspace.to_str().unwrap()]);
    let run = stage.run([]);
    for unit in ["1", "2", "3"] {
        stage.wait_for_attempt("the small worker to begin", unit, |attempt| !attempt["started_at"].is_null());
    }
    // Nothing is left for it but to say that its disk is full; another worker does both units.
    let other = stage.backend("other.json", &Playbook::new());
    let _other = stage.sandbox.worker(["--name", "other", "--backend", &format!("{other}=2")]);
    std::fs::write(workspace.join("go"), "").unwrap();
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let first = &attempts[0];
    assert_eq!((&first["class"], first["worker"].as_str().unwrap()), (&"infra".into(), "small"), "{attempts:#?}\n{}", done.said());
    assert!(attempts.iter().all(|attempt| attempt["class"] != "unit"), "{attempts:#?}");
    // What was written before is there.
    let saved = stage.attempt_ref("1", first["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&saved, "part-1.txt"), "begun");
    // Its worktrees are gone, so there is room, and it says so: three failures of three units in a row are not held against it.
    wait_for("the small worker to have room again", || worker.said(), || unavailable(&stage, "small").is_empty().then_some(()));
    worker.wait_for_stderr("the disk has room again");
}

#[test]
#[ignore = "mounts a file system: .ci/run test runs it where it may"]
fn a_full_disk_takes_no_lease_and_one_with_room_again_does() {
    let stage = Stage::new(&SpecText::parallel("disk", 1));
    let disk = SmallDisk::mount(stage.sandbox.path("small"), 32);
    let backend = stage.backend("play.json", &Playbook::new());
    let filler = disk.dir.join("filler");
    std::fs::write(&filler, vec![0; 31 << 20]).unwrap();
    let workspace = disk.dir.join("ws");
    let worker = stage.sandbox.worker(["--name", "small", "--backend", &backend, "--workspace", workspace.to_str().unwrap()]);
    let mut run = stage.run([]);
    wait_for("the worker to say that its disk is full", || worker.said(), || unavailable(&stage, "small").contains("disk").then_some(()));
    wait_for("the run to begin", || run.said(), || (!stage.run_id().is_empty()).then_some(()));
    assert!(run.is_running() && stage.attempts("1").is_empty());
    std::fs::remove_file(&filler).unwrap();
    run.wait().expect(0);
    assert_eq!(stage.attempts("1")[0]["class"], serde_json::Value::Null);
}
