//! Commits of a directory in which somebody still works.

use super::*;

async fn glance(place: &Place, checkout: &Checkout, withheld: &[Withheld]) -> Option<Oid> {
    let (parents, by) = ([checkout.commit.clone()], Signature::roundtable(1_700_000_000));
    let limits = SnapshotLimits::default();
    let request = SnapshotRequest { checkout, withheld, parents: &parents, by: &by, message: "attempt\n", limits };
    place.store.glance(&request).await.unwrap()
}

/// A path, and for a file its content and time.
type Entry = (PathBuf, Option<(Vec<u8>, std::time::SystemTime)>);

/// Every file and every folder below a folder.
fn lies(dir: &Path) -> Vec<Entry> {
    let (mut found, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let facts = entry.path().symlink_metadata().unwrap();
            if facts.is_dir() {
                waiting.push(entry.path());
                found.push((entry.path(), None));
            } else {
                found.push((entry.path(), Some((std::fs::read(entry.path()).unwrap(), facts.modified().unwrap()))));
            }
        }
    }
    found.sort();
    found
}

async fn begun() -> (Place, Checkout) {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1\n"), ("d/b", "1\n"), ("gone", "1\n"), (".gitignore", "out/\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    (place, checkout)
}

#[tokio::test]
async fn what_lies_there_is_committed_and_nothing_is_touched() {
    let (place, checkout) = begun().await;
    assert_eq!(glance(&place, &checkout, &[]).await, None, "nothing was done yet");
    place.write("agent/a", "2\n");
    place.write("agent/d/new", "1\n");
    place.write("agent/out/log", "x");
    std::fs::remove_file(place.path("agent/gone")).unwrap();
    let before = (lies(&checkout.dir), lies(&checkout.private));
    let commit = glance(&place, &checkout, &[]).await.unwrap();
    assert_eq!((lies(&checkout.dir), lies(&checkout.private)), before);
    assert_eq!(place.paths(&commit).await, [".gitignore", "a", "d/b", "d/new"]);
    assert_eq!(place.file(&commit, "a").await.as_deref(), Some("2\n"));
    assert_eq!(glance(&place, &checkout, &[]).await, Some(commit.clone()), "the same again");
    place.write("agent/a", "3\n");
    let later = glance(&place, &checkout, &[]).await.unwrap();
    assert_eq!(place.file(&later, "a").await.as_deref(), Some("3\n"));
    assert_eq!(place.snapshot(&checkout).await.commit, later, "the last commit is what it would have been anyway");
}

#[tokio::test]
async fn a_repository_that_is_being_used_in_there_stays_in_use() {
    let (place, checkout) = begun().await;
    place.git("agent/inner", &["init", "--quiet"]);
    place.write("agent/inner/f", "1\n");
    place.write("agent/a", "2\n");
    let commit = glance(&place, &checkout, &[]).await.unwrap();
    assert!(place.path("agent/inner/.git/HEAD").is_file());
    assert_eq!(place.paths(&commit).await, [".gitignore", "a", "d/b", "gone"], "its files come with the last commit");
    assert!(place.paths(&place.snapshot(&checkout).await.commit).await.contains(&"inner/f".to_owned()));
}

#[tokio::test]
async fn a_path_that_git_cannot_take_keeps_no_other_out() {
    let (place, checkout) = begun().await;
    place.write("agent/a", "2\n");
    std::os::unix::fs::symlink("nowhere", place.path("agent/link")).unwrap();
    std::fs::write(place.path("agent").join("git~1"), "1").unwrap();
    let commit = glance(&place, &checkout, &[]).await.unwrap();
    assert_eq!(place.paths(&commit).await, [".gitignore", "a", "d/b", "gone", "link"]);
}

#[tokio::test]
async fn what_was_brought_in_stays_out_wherever_it_lies() {
    let (place, checkout) = begun().await;
    let secret = b"TOKEN=very-secret";
    let brought = [Withheld::new(".env", secret)];
    for path in [".env", "copy"] {
        std::fs::write(place.path("agent").join(path), secret).unwrap();
    }
    assert_eq!(glance(&place, &checkout, &brought).await, None);
    place.write("agent/a", "2\n");
    let commit = glance(&place, &checkout, &brought).await.unwrap();
    assert_eq!(place.paths(&commit).await, [".gitignore", "a", "d/b", "gone"]);
    // What got in between the look and the reading is found in what came of it.
    let told = place.commit_on(&checkout.commit, &[("d/key", Some("TOKEN=very-secret"))]).await;
    assert!(place.store.holds_withheld(&checkout.commit, &told, &brought).await.unwrap());
    let fine = place.commit_on(&checkout.commit, &[("d/key", Some("TOKEN=very-public"))]).await;
    assert!(!place.store.holds_withheld(&checkout.commit, &fine, &brought).await.unwrap());
}

#[tokio::test]
async fn it_is_bounded_like_every_commit() {
    let (place, checkout) = begun().await;
    place.write("agent/large", &"x".repeat(2000));
    let (parents, by) = ([checkout.commit.clone()], Signature::roundtable(0));
    let limits = SnapshotLimits { bytes_max: 1000, ..SnapshotLimits::default() };
    let request = SnapshotRequest { checkout: &checkout, withheld: &[], parents: &parents, by: &by, message: "attempt\n", limits };
    assert!(matches!(place.store.glance(&request).await, Err(GitError::TooLarge { .. })));
}
