//! Packs that are too large to be sent twice: a repository on its way to a worker, and what an agent makes of it.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step};

use crate::stage::Stage;

/// Text that hardly gets smaller.
fn noise(count: usize) -> String {
    let mut state = 7_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[(state >> 58) as usize])
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn large_packs_come_and_go_whole_and_leave_nothing_on_their_way() {
    let spec = SpecText::parallel("large", 1);
    let large = noise(3 << 20);
    let stage = Stage::with(&spec, |repo| repo.write("large.txt", &large));
    let makes = Turn::new().steps([step::run("head -c 3000000 /dev/urandom > part-1.txt && test -s large.txt")]);
    let backend = stage.backend("play.json", &Playbook::new().unit("1", "implement", [makes]));
    let worker = stage.sandbox.worker(["--name", "w", "--backend", &backend]);
    let run = stage.run([]);
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    let left = stage.attempt_ref("1", attempts[0]["attempt"].as_u64().unwrap());
    assert_eq!(stage.stored(&["cat-file", "-s", &format!("{left}:part-1.txt")]).trim(), "3000000", "{said}");
    assert!(stage.file(&left, "large.txt") == large, "{said}");
    let on_their_way = std::fs::read_dir(stage.sandbox.data_dir().join("incoming")).map_or(0, Iterator::count);
    assert_eq!(on_their_way, 0, "{said}");
}
