//! Merges without a work tree, with and without a git that takes the base as an argument.

use super::*;

async fn both_ways(place: &Place, base: &Oid, ours: &Oid, theirs: &Oid) -> Merge {
    let new = place.store.merge(base, ours, theirs).await.unwrap();
    let mut older = place.store.clone();
    older.program = place.program.with_version(GitVersion { major: 2, minor: 38 });
    let old = older.merge(base, ours, theirs).await.unwrap();
    assert_eq!((new.clean, &new.conflicts), (old.clean, &old.conflicts));
    if new.clean {
        assert_eq!(new.tree, old.tree);
    }
    new
}

#[tokio::test]
async fn clean_and_trivial_merges() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1\n"), ("b", "1\n")]);
    place.import(&base).await;
    let ours = place.commit_on(&base, &[("a", Some("2\n"))]).await;
    let theirs = place.commit_on(&base, &[("b", Some("2\n")), ("c", Some("3\n"))]).await;
    let merge = both_ways(&place, &base, &ours, &theirs).await;
    assert!(merge.clean && merge.conflicts.is_empty());
    let changes = place.store.changed_paths(&ours, &merge.tree).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    let trivial = both_ways(&place, &base, &base, &theirs).await;
    assert_eq!(trivial.tree, place.store.tree_of(&theirs).await.unwrap());
    let nothing = both_ways(&place, &base, &ours, &base).await;
    assert_eq!(nothing.tree, place.store.tree_of(&ours).await.unwrap());
}

#[tokio::test]
async fn the_base_is_the_one_given_not_the_one_git_would_find() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1\n"), ("b", "1\n")]);
    place.import(&base).await;
    let later = place.commit_on(&base, &[("a", Some("2\n"))]).await;
    let theirs = place.commit_on(&base, &[("b", Some("2\n"))]).await;
    // Seen from `later`, theirs put `a` back.
    let merge = both_ways(&place, &later, &later, &theirs).await;
    assert_eq!(merge.tree, place.store.tree_of(&theirs).await.unwrap());
    let ours = place.commit_on(&later, &[("c", Some("3\n"))]).await;
    let merge = both_ways(&place, &later, &ours, &theirs).await;
    assert!(merge.clean);
    let changes = place.store.changed_paths(&ours, &merge.tree).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn conflicts_name_their_paths_and_leave_markers() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a b\nc", "1\n"), ("del", "1\n"), ("same", "1\n")]);
    place.import(&base).await;
    let ours = place.commit_on(&base, &[("a b\nc", Some("ours\n")), ("del", Some("2\n")), ("both", Some("x\n"))]).await;
    let theirs = place.commit_on(&base, &[("a b\nc", Some("theirs\n")), ("del", None), ("both", Some("y\n"))]).await;
    let merge = both_ways(&place, &base, &ours, &theirs).await;
    assert!(!merge.clean);
    let conflicts: Vec<_> = merge.conflicts.iter().map(|c| (c.path.as_str(), c.stages)).collect();
    assert_eq!(conflicts, [("a b\nc", [true, true, true]), ("both", [false, true, true]), ("del", [true, true, false])]);
    let commit = place.store.commit_tree(&merge.tree, &[ours, theirs], &Signature::roundtable(1), "m").await.unwrap();
    let text = place.file(&commit, "a b\nc").await.unwrap();
    assert!(text.contains("<<<<<<<") && text.contains("ours\n=======\ntheirs\n"), "{text}");
    assert!(merge.messages.iter().any(|m| m.kind.starts_with("CONFLICT")), "{:?}", merge.messages);
}

#[tokio::test]
async fn edits_follow_a_renamed_file_but_not_a_renamed_directory() {
    let place = Place::new().await;
    let text = "line of some length\n".repeat(30);
    let base = place.user_commit(&[("old/x", &text), ("old/y", "y\n")]);
    place.import(&base).await;
    let ours = place.commit_on(&base, &[("old/x", None), ("new/x", Some(&text)), ("old/y", None), ("new/y", Some("y\n"))]).await;
    let theirs = place.commit_on(&base, &[("old/x", Some(&format!("{text}more\n"))), ("old/z", Some("z\n"))]).await;
    let merge = both_ways(&place, &base, &ours, &theirs).await;
    assert!(merge.clean, "{merge:?}");
    let changes = place.store.changed_paths(&ours, &merge.tree).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["new/x", "old/z"]);
}
