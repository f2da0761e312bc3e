//! `coordinator backup` and `restore`: what a backup holds, how damage shows, and how workers go on with a coordinator from yesterday.

use std::path::Path;

use roundtable_tests::harness::{Output, Playbook, SpecText, Turn, step};

use crate::world::{World, is_working, unit};

fn coordinator(world: &World, args: &[&str]) -> Output {
    world.sandbox.program("coordinator").args(args.iter().copied()).run()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What comes between the copy of the log and that of all else: a branch that moves on, an attempt that is granted, says something and hands in its commit.
struct Later {
    branch: String,
    tip: String,
    attempt: String,
    events: std::path::PathBuf,
}

impl Later {
    fn of(world: &World, run: &str) -> Self {
        let (data, branch) = (world.sandbox.data_dir().to_owned(), format!("refs/heads/roundtable/{run}"));
        let tip = refs(world, &data, &["rev-parse", &branch]);
        let (attempt, events) = (format!("refs/roundtable/{run}/1/99"), data.join(format!("segments/{run}/1/99")));
        refs(world, &data, &["update-ref", &branch, &format!("{tip}~1")]);
        refs(world, &data, &["update-ref", &attempt, &tip]);
        std::fs::create_dir(&events).and_then(|()| std::fs::write(events.join("said"), "later")).expect("written");
        Self { branch, tip, attempt, events }
    }

    fn undo(&self, world: &World) {
        let data = world.sandbox.data_dir();
        refs(world, data, &["update-ref", &self.branch, &self.tip]);
        refs(world, data, &["update-ref", "-d", &self.attempt]);
        std::fs::remove_dir_all(&self.events).expect("removed");
    }

    #[track_caller]
    fn is_not_in(&self, world: &World, restored: &Path) {
        assert_eq!(refs(world, restored, &["rev-parse", &self.branch]), self.tip);
        let all = refs(world, restored, &["for-each-ref"]);
        assert!(!all.contains(&self.attempt), "{all}");
        let events = restored.join(self.events.strip_prefix(world.sandbox.data_dir()).expect("below it"));
        assert!(!events.exists() && events.parent().is_some_and(Path::is_dir));
    }
}

/// Asks git in the one repository of a data directory.
fn refs(world: &World, data_dir: &Path, args: &[&str]) -> String {
    let repository = std::fs::read_dir(data_dir.join("repos")).expect("a folder").flatten().next().expect("a repository");
    let git_dir = text(&repository.path());
    world.repo.git(&[&["--git-dir", git_dir.as_str()][..], args].concat()).trim().to_owned()
}

#[test]
fn a_restored_data_directory_tells_what_the_first_one_told() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    let run = world.run(&["--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
    let (file, restored) = (world.sandbox.path("backup.tar"), text(&world.sandbox.path("restored")));
    let backup = text(&file);
    // What is of this machine or moment stays here.
    let stays = ["incoming", "profiles"];
    for name in stays {
        let folder = world.sandbox.data_dir().join(name);
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join("left"), "secret")).expect("written");
    }
    let later = Later::of(&world, &run);
    let made = coordinator(&world, &["backup", &backup, "--json"]).expect(0).json();
    later.undo(&world);
    assert!(made["ok"] == true && made["rows"].as_u64() > Some(10), "{made:#}");
    for name in stays {
        std::fs::remove_dir_all(world.sandbox.data_dir().join(name)).expect("removed");
    }
    assert!(file.is_file() && !world.sandbox.path("backup.tar.making").exists());
    coordinator(&world, &["verify", &backup]).expect(0).out_has(&["all good", "rows"]);
    coordinator(&world, &["backup", &backup]).expect(1).err_has(&["there already"]);
    let inside = text(&world.sandbox.data_dir().join("backup.tar"));
    coordinator(&world, &["backup", &inside]).expect(1).err_has(&["elsewhere"]);
    let link = world.sandbox.path("link");
    std::os::unix::fs::symlink(world.sandbox.data_dir(), &link).expect("linked");
    coordinator(&world, &["backup", &text(&link.join("backup.tar"))]).expect(1).err_has(&["elsewhere"]);
    let nowhere = text(&world.sandbox.path("not-mounted").join("backup.tar"));
    coordinator(&world, &["backup", &nowhere]).expect(1).err_has(&["no folder"]);

    let told = coordinator(&world, &["restore", &backup, "--data-dir", &restored, "--json"]).expect(0).json();
    assert!(told["from"] == made["store"] && told["store"] != made["store"], "it has a name of its own: {told:#}");
    assert!(stays.iter().chain(&["restoring", "restoring.files"]).all(|name| !Path::new(&restored).join(name).exists()));
    coordinator(&world, &["verify", "--data-dir", &restored]).expect(0).out_has(&["all good", "1 read"]);
    later.is_not_in(&world, &world.sandbox.path("restored"));
    let both = |args: &[&str]| {
        let there: Vec<&str> = args.iter().copied().chain(["--data-dir", restored.as_str()]).collect();
        (world.orchctl(args).run().expect(0).stdout, world.orchctl(&there).run().expect(0).stdout)
    };
    for args in [["findings", run.as_str(), "--json"], ["diff", &run, "--json"], ["logs", &run, "--jsonl"], ["attempts", "1", "--json"]] {
        let (before, after) = both(&args);
        assert_eq!(before, after, "{args:?}");
    }
    let last = world.orchctl(&["events", "--jsonl", "--data-dir", &restored]).run().expect(0).jsonl();
    assert!(last.iter().all(|line| line["kind"] != "store_restored"), "it belongs to no run");
    world.orchctl(&["accept", &run, "--data-dir", &restored]).run().expect(0);
    assert!(world.repo.has("part-1.txt"));
}

#[test]
fn a_damaged_or_unfinished_backup_is_named_and_restores_nothing() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    let (backup, restored) = (world.sandbox.path("backup.tar"), world.sandbox.path("restored"));
    coordinator(&world, &["backup", &text(&backup)]).expect(0);
    let restore = || coordinator(&world, &["restore", &text(&backup), "--data-dir", &text(&restored)]);

    let whole = std::fs::read(&backup).expect("read");
    let mut damaged = whole.clone();
    let pem = whole.windows(11).position(|bytes| bytes == b"-----BEGIN ").expect("a certificate is in it");
    damaged[pem + 40] ^= 1;
    std::fs::write(&backup, &damaged).expect("written");
    coordinator(&world, &["verify", &text(&backup)]).expect(1).out_has(&["BAD", "ca/", "damaged"]);
    restore().expect(1).err_has(&["damaged", "ca/"]);
    std::fs::write(&backup, &whole[..whole.len() / 2]).expect("written");
    coordinator(&world, &["verify", &text(&backup)]).expect(1).out_has(&["BAD"]);
    restore().expect(1).err_has(&["damaged"]);
    std::fs::write(&backup, "something else").expect("written");
    restore().expect(1).err_has(&["no backup"]);
    for left in ["store.db", "restoring", "restoring.files"] {
        assert!(!restored.join(left).exists(), "{left}");
    }
    std::fs::write(&backup, &whole).expect("written");

    // A restore that was killed is no data directory, and is done again.
    std::fs::create_dir_all(restored.join("segments")).expect("made");
    std::fs::write(restored.join("restoring"), "").expect("written");
    std::fs::write(restored.join("store.db"), "half").expect("written");
    coordinator(&world, &["serve", "--listen", "127.0.0.1:0", "--data-dir", &text(&restored)]).expect(1).err_has(&["part"]);
    restore().expect(0);
    coordinator(&world, &["verify", "--data-dir", &text(&restored)]).expect(0);
    restore().expect(1).err_has(&["holds", "store.db", "--replace"]);
    coordinator(&world, &["restore", &text(&backup), "--data-dir", &text(&restored), "--replace"]).expect(0).out_has(&["replaced-1"]);

    // One that was killed while it put aside what was there goes on with that, and loses nothing of it.
    let half = world.sandbox.path("half");
    std::fs::create_dir_all(half.join("replaced-1")).expect("made");
    std::fs::write(half.join("putting-aside"), "replaced-1\n").expect("written");
    std::fs::write(half.join("store.db"), "mine").expect("written");
    coordinator(&world, &["serve", "--listen", "127.0.0.1:0", "--data-dir", &text(&half)]).expect(1).err_has(&["part"]);
    coordinator(&world, &["restore", &text(&backup), "--data-dir", &text(&half)]).expect(0).out_has(&["replaced-1"]);
    assert_eq!(std::fs::read(half.join("replaced-1/store.db")).expect("kept"), b"mine");
    coordinator(&world, &["verify", "--data-dir", &text(&half)]).expect(0);
    // What somebody took apart by hand is neither served nor restored into.
    let apart = world.sandbox.path("apart");
    std::fs::create_dir(&apart).and_then(|()| std::fs::write(apart.join("backup.json"), "{}")).expect("written");
    coordinator(&world, &["serve", "--listen", "127.0.0.1:0", "--data-dir", &text(&apart)]).expect(1).err_has(&["backup", "restore"]);
    coordinator(&world, &["restore", &text(&backup), "--data-dir", &text(&apart), "--replace"]).expect(1).err_has(&["taken apart"]);
}

#[test]
fn who_was_revoked_since_is_named_by_a_restore() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    let backup = text(&world.sandbox.path("backup.tar"));
    coordinator(&world, &["backup", &backup]).expect(0);
    coordinator(&world, &["revoke", "operator/ada"]).expect(0).out_has(&["operator ada", "refused"]);
    coordinator(&world, &["restore", &backup, "--replace"]).expect(0).out_has(&["before you serve it", "coordinator revoke operator/ada"]);
    coordinator(&world, &["revoke", "operator/ada"]).expect(0);
    // Where nothing tells, the reader is told what to do.
    let other = text(&world.sandbox.path("other"));
    coordinator(&world, &["restore", &backup, "--data-dir", &other]).expect(0).out_has(&["anew", "token revoke"]);
}

#[test]
fn workers_go_on_with_a_coordinator_from_yesterday() {
    let world = {
        let sandbox = roundtable_tests::harness::Sandbox::new();
        let go = sandbox.path("go").display().to_string();
        let waits =
            Turn::new().steps([step::run(&format!("while [ ! -e {go} ]; do sleep 0.05; done")), step::write("part-1.txt", "once\n")]);
        let (repo, spec) = sandbox.project(&SpecText::parallel("login", 1));
        let play = Playbook::new().unit("1", "implement", [waits]).write(&sandbox.path("play.json"));
        World { sandbox, repo, spec, play }
    };
    let served = world.sandbox.serve();
    let agents = world.agents(1);
    let worker = world.sandbox.worker(["--backend", &agents]);
    let run = world.run_without_workers(&["--mode", "deterministic"]).start();
    world.wait_for_status("unit 1 is being implemented", &run, |status| is_working(status, "1"));
    let backup = text(&world.sandbox.path("backup.tar"));
    coordinator(&world, &["backup", &backup]).expect(0);
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    run.wait().expect(0);
    served.kill();
    coordinator(&world, &["restore", &backup, "--replace"]).expect(0).out_has(&["replaced-1"]);

    let again = world.sandbox.serve();
    let done = world.wait_for_status("the run is complete once more", &worker, |status| status["status"] == "complete");
    assert_eq!(unit(&done, "1")["status"], "completed", "{}\n{}", again.said(), worker.said());
    let attempts = world.orchctl(&["attempts", "1", "--json"]).run().expect(0).json();
    let implemented = attempts.as_array().expect("a list").iter().filter(|attempt| attempt["role"] == "implement").count();
    assert_eq!(implemented, 1, "what the worker had delivered counts again: {attempts:#}\n{}", worker.said());
    assert!(worker.stderr().contains("offered again"), "{}", worker.said());
    coordinator(&world, &["verify"]).expect(0).out_has(&["all good"]);
}
