//! `coordinator verify` over data directories that something happened to: each damage is found and named, and nothing else is.

use std::path::{Path, PathBuf};

use roundtable_tests::harness::{Output, Playbook, SpecText, Turn, step};

use crate::world::World;

struct Kept {
    world: World,
    run: String,
    tip: String,
    store: PathBuf,
}

impl Kept {
    /// A finished run with reviews and agents that said something.
    fn new() -> Self {
        let said = Turn::new().steps([step::say("working"), step::write("part-1.txt", "done\n")]);
        let world = World::new(&SpecText::parallel("login", 3), &Playbook::new().unit("1", "implement", [said]));
        let done = world.run(&["--json"]).run().expect(0).json();
        let text = |key: &str| done[key].as_str().expect("a text").to_owned();
        let repos = std::fs::read_dir(world.sandbox.data_dir().join("repos")).expect("a folder");
        let store = repos.flatten().map(|entry| entry.path()).next().expect("a repository");
        let kept = Self { run: text("run"), tip: text("head"), store, world };
        kept.verify().expect(0).out_has(&["all good", "1 read"]);
        kept
    }

    fn verify(&self) -> Output {
        self.world.sandbox.program("coordinator").args(["verify"]).run()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut all = vec!["--git-dir", self.store.to_str().expect("text")];
        all.extend(args);
        self.world.repo.git(&all).trim().to_owned()
    }

    /// Fails unless this is found, and said by the exit code; in JSON too.
    #[track_caller]
    fn expect_bad(&self, words: &[&str]) {
        let found = self.verify().expect(1).out_has(&["BAD ", "damaged"]);
        assert!(found.stdout.lines().all(|line| line.chars().count() <= 80), "{}", found.said());
        let flat = found.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "nothing of {word:?}\n{}", found.said());
        }
        let json = self.world.sandbox.program("coordinator").args(["verify"]).env("ROUNDTABLE_VERIFY_JSON", "1").run().expect(1).json();
        assert_eq!(json["ok"], false, "{json:#}");
    }

    #[track_caller]
    fn expect_good(&self) {
        self.verify().expect(0).out_has(&["all good"]);
    }
}

#[test]
fn refs_that_do_not_stand_where_the_log_says_are_found() {
    let kept = Kept::new();
    let branch = format!("refs/heads/roundtable/{}", kept.run);
    kept.git(&["update-ref", &branch, &format!("{}~2", kept.tip)]);
    kept.expect_bad(&["its branch is at", &kept.tip]);
    kept.git(&["update-ref", "-d", &branch]);
    kept.expect_bad(&["its branch is gone", &kept.tip]);
    kept.git(&["update-ref", &branch, &kept.tip]);
    kept.expect_good();

    let attempt = format!("refs/roundtable/{}/1/1", kept.run);
    let commit = kept.git(&["rev-parse", &attempt]);
    kept.git(&["update-ref", "-d", &attempt]);
    kept.expect_bad(&[&attempt, "is gone", &commit]);
    kept.git(&["update-ref", &attempt, &kept.tip]);
    kept.expect_bad(&[&attempt, "is at", &commit]);
    kept.git(&["update-ref", &attempt, &commit]);
    kept.expect_good();
}

#[test]
fn events_that_are_gone_are_found() {
    let kept = Kept::new();
    let (segments, aside) = (kept.world.sandbox.data_dir().join("segments"), kept.world.sandbox.path("aside"));
    std::fs::rename(&segments, &aside).expect("moved");
    kept.expect_bad(&["segments of", "are gone", "events"]);
    std::fs::rename(&aside, &segments).expect("moved back");
    kept.expect_good();
}

/// Every segment file of a run.
fn segments(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn segments_that_are_cut_changed_or_emptied_are_named() {
    let kept = Kept::new();
    let files = segments(&kept.world.sandbox.data_dir().join("segments"));
    assert!(files.iter().any(|file| file.with_file_name("end").exists()), "streams that are complete are marked");
    assert!(files.len() >= 4, "three units and their reviews said something: {files:?}");
    for file in files {
        let name = file.strip_prefix(kept.world.sandbox.data_dir()).expect("below").display().to_string();
        let whole = std::fs::read(&file).expect("read");
        let damage = |what: &str, bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            let found = kept.verify().expect(1);
            let flat: String = found.stdout.split_whitespace().collect();
            assert!(flat.contains(&name), "{what}: nothing of {name}\n{}", found.said());
        };
        damage("cut by a byte", &whole[..whole.len() - 1]);
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("a byte") ^= 0x10;
        damage("a bit of its last event is flipped", &flipped);
        damage("emptied", &[]);
        // What is cut where a record ends looks whole to itself.
        let ends = record_ends(&whole);
        damage("without its last event", &whole[..ends[ends.len() - 2]]);
        std::fs::write(&file, &whole).expect("written");
    }
    kept.expect_good();
    // As an earlier build left them, without marks at their ends.
    for mark in segments(&kept.world.sandbox.data_dir().join("segments")).iter().filter_map(|file| file.parent()) {
        let _ = std::fs::remove_file(mark.join("end"));
    }
    kept.expect_good();
}

/// Where each record of a segment file ends; first its header.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![20];
    while let Some(length) = ends.last().and_then(|end| bytes.get(*end..end + 4)) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        ends.push(ends.last().expect("the header's") + 16 + length);
    }
    ends
}

#[test]
fn objects_that_are_damaged_or_gone_are_found() {
    let kept = Kept::new();
    let tree = kept.git(&["rev-parse", &format!("{}^{{tree}}", kept.tip)]);
    let loose = kept.store.join("objects").join(&tree[..2]).join(&tree[2..]);
    let aside = kept.world.sandbox.path("aside");
    std::fs::rename(&loose, &aside).expect("the tip's tree is loose");
    kept.expect_bad(&[&tree, "missing"]);
    std::fs::rename(&aside, &loose).expect("moved back");
    kept.expect_good();

    for pack in packs(&kept.store) {
        use std::os::unix::fs::PermissionsExt;
        let mut bytes = std::fs::read(&pack).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::set_permissions(&pack, std::fs::Permissions::from_mode(0o644)).expect("made writable");
        std::fs::write(&pack, bytes).expect("written");
    }
    kept.expect_bad(&["repository", "pack"]);
    std::fs::remove_dir_all(&kept.store).expect("removed");
    kept.expect_bad(&["is gone", &kept.run]);
    assert!(!kept.store.exists(), "it changes nothing");
}

fn packs(store: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(store.join("objects/pack")).expect("a folder").flatten().map(|entry| entry.path());
    let packs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "pack")).collect();
    assert!(!packs.is_empty(), "a submission brings a pack");
    packs
}
