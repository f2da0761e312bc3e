//! Packs between repositories: thin, shallow, refused.

use super::*;

#[tokio::test]
async fn a_thin_pack_brings_only_what_is_lacking() {
    let place = Place::new().await;
    let big: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let one = place.user_commit(&[("big", &big), ("d/a", "1")]);
    let user = place.user().await;
    let full = transfer(user.git(), &place.store, &one, &[], None, Sender::Owner).await.unwrap();
    let two = place.user_commit(&[("big", &format!("{big}one more\n"))]);
    let thin =
        transfer(user.git(), &place.store, &two, &[one.clone(), Oid::parse(&"b".repeat(40)).unwrap()], None, Sender::Owner).await.unwrap();
    assert!(thin * 10 < full, "{thin} of {full}");
    assert!(place.file(&two, "big").await.unwrap().ends_with("one more\n"));
    let again = transfer(user.git(), &place.store, &two, std::slice::from_ref(&two), None, Sender::Owner).await.unwrap();
    assert!(again < 100, "an empty pack: {again}");
    assert!(place.store.boundaries().await.unwrap().is_empty());
}

#[tokio::test]
async fn history_is_cut_where_asked_and_continues_from_there() {
    let place = Place::new().await;
    let mut commits = Vec::new();
    for n in 0..6 {
        commits.push(place.user_commit(&[("a", &n.to_string())]));
    }
    let user = place.user().await;
    transfer(user.git(), &place.store, &commits[3], &[], Some(2), Sender::Owner).await.unwrap();
    assert_eq!(place.store.boundaries().await.unwrap(), [commits[2].clone()]);
    let known = place.store.commits_between(&[], &commits[3], 10).await.unwrap();
    assert_eq!(known, [commits[3].clone(), commits[2].clone()]);
    let reference = RefName::parse("refs/base/x").unwrap();
    place.store.move_ref(&reference, None, &commits[3]).await.unwrap();
    transfer(user.git(), &place.store, &commits[5], &[commits[3].clone()], Some(2), Sender::Owner).await.unwrap();
    let known = place.store.commits_between(&[], &commits[5], 10).await.unwrap();
    assert_eq!(known.len(), 4, "no gap, so no further boundary");
    assert_eq!(place.store.boundaries().await.unwrap(), [commits[2].clone()]);
    // From the cut-off store to another one, which must find the boundary by itself.
    let cache = place.program.init_bare(place.path("cache.git"), ObjectFormat::Sha1).await.unwrap();
    transfer(&place.store, &cache, &commits[5], &[], None, Sender::Coordinator).await.unwrap();
    assert_eq!(cache.boundaries().await.unwrap(), [commits[2].clone()]);
    assert_eq!(cache.commits_between(&[], &commits[5], 10).await.unwrap().len(), 4);
    // What is made there comes back as a peer's.
    let new = place.commit_on(&commits[5], &[("b", Some("x"))]).await;
    assert!(transfer(&place.store, &cache, &new, &[commits[5].clone()], None, Sender::Peer).await.unwrap() > 0);
    assert_eq!(cache.read_file(&new, "b", 10).await.unwrap().as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn shallow_clones_and_merges_import() {
    let place = Place::new().await;
    place.user_commit(&[("a", "1")]);
    place.git("user", &["checkout", "--quiet", "-b", "side", "HEAD"]);
    place.user_commit(&[("b", "1")]);
    place.git("user", &["checkout", "--quiet", "main"]);
    place.user_commit(&[("c", "1")]);
    place.git("user", &["merge", "--quiet", "--no-edit", "side"]);
    let head = place.user_head();
    place.git(".", &["clone", "--quiet", "--depth=1", &format!("file://{}", place.path("user").display()), "clone"]);
    let clone = place.program.discover(&place.path("clone")).await.unwrap();
    transfer(clone.git(), &place.store, &head, &[], Some(50), Sender::Owner).await.unwrap();
    assert_eq!(place.store.boundaries().await.unwrap(), std::slice::from_ref(&head));
    assert_eq!(place.paths(&head).await, ["a", "b", "c"]);
    let other = place.program.init_bare(place.path("other.git"), ObjectFormat::Sha1).await.unwrap();
    transfer(place.user().await.git(), &other, &head, &[], Some(2), Sender::Owner).await.unwrap();
    assert_eq!(other.list_tree(&head, None, 10).await.unwrap().entries.len(), 3);
}

#[tokio::test]
async fn a_peer_cannot_send_unconnected_damaged_or_too_much() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let tip = place.user_commit(&[("a", "2")]);
    place.import(&tip).await;
    let other = place.program.init_bare(place.path("other.git"), ObjectFormat::Sha1).await.unwrap();
    let refused = |result: Result<u64, GitError>| matches!(result, Err(GitError::PackRefused { .. }));
    assert!(
        refused(transfer(&place.store, &other, &tip, std::slice::from_ref(&base), None, Sender::Peer).await),
        "its parent is not there"
    );
    assert!(!other.git_dir().join("shallow").exists());
    let mut pack = Vec::new();
    let request = PackRequest { wants: vec![tip.clone()], haves: vec![], history_max: None };
    place.store.pack(&request, &mut pack).await.unwrap();
    let tips = std::slice::from_ref(&tip);
    let mut damaged = pack.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (bytes, limits) in [
        (&damaged[..], ReceiveLimits::default()),
        (&pack[..pack.len() - 5], ReceiveLimits::default()),
        (&b"garbage"[..], ReceiveLimits::default()),
        (&b""[..], ReceiveLimits::default()),
        (&pack[..], ReceiveLimits { pack_bytes_max: 64, ..ReceiveLimits::default() }),
    ] {
        let result = other.receive_pack(&mut &bytes[..], tips, Sender::Peer, limits).await;
        assert!(matches!(result, Err(GitError::PackRefused { .. })), "{result:?}");
    }
    let elsewhere = [Oid::parse(&"c".repeat(40)).unwrap()];
    let result = other.receive_pack(&mut pack.as_slice(), &elsewhere, Sender::Peer, ReceiveLimits::default()).await;
    assert!(matches!(result, Err(GitError::PackRefused { .. })));
    let received = other.receive_pack(&mut pack.as_slice(), tips, Sender::Peer, ReceiveLimits::default()).await.unwrap();
    assert_eq!(received.git().commit_info(&tip).await.unwrap().parents, [base]);
    drop(received);
    assert_eq!(other.kinds(tips).await.unwrap(), [None], "what was not kept is gone");
    let left: Vec<_> = std::fs::read_dir(other.git_dir().join("objects")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "info" || name == "pack"), "{left:?}");
}

#[tokio::test]
async fn a_tree_with_a_git_directory_in_it_is_refused_from_peers() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let blob = place.git("user", &["hash-object", "-w", "a"]);
    let blob = blob.trim();
    for name in [".git", ".GIT", "git~1", ".g\u{200c}it"] {
        let listing = format!("100644 blob {blob}\t{name}\n");
        place.write("listing", &listing);
        let tree = place.git("user", &["-c", "core.protectHFS=false", "hash-object", "-w", "a"]);
        assert_eq!(tree.trim(), blob);
        let mut raw = format!("100644 {name}\0").into_bytes();
        raw.extend((0..20).map(|n| u8::from_str_radix(&blob[n * 2..n * 2 + 2], 16).unwrap()));
        std::fs::write(place.path("raw"), raw).unwrap();
        let tree = place.git("user", &["hash-object", "-t", "tree", "-w", "--literally", "../raw"]);
        let commit = place.git("user", &["commit-tree", tree.trim(), "-p", base.as_str(), "-m", "x"]);
        let commit = Oid::parse(commit.trim()).unwrap();
        place.import(&base).await;
        let result = transfer(place.user().await.git(), &place.store, &commit, std::slice::from_ref(&base), None, Sender::Peer).await;
        assert!(matches!(result, Err(GitError::PackRefused { .. })), "{name}: {result:?}");
    }
}

/// A pack of some objects alone, whatever they need.
fn pack_of(place: &Place, objects: &[&str]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("git")
        .args(["pack-objects", "--stdout", "-q"])
        .current_dir(place.path("user"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(objects.join("\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn what_lacks_a_tree_or_a_file_is_refused() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let tip = place.user_commit(&[("a", "2"), ("d/b", "3")]);
    let ids = |spec: &str| place.git("user", &["rev-parse", spec]).trim().to_owned();
    let (tree, sub, a, b) = (ids("HEAD^{tree}"), ids("HEAD:d"), ids("HEAD:a"), ids("HEAD:d/b"));
    let tips = std::slice::from_ref(&tip);
    for objects in [vec![tip.as_str()], vec![tip.as_str(), &tree, &a, &b], vec![tip.as_str(), &tree, &sub, &a]] {
        for sender in [Sender::Peer, Sender::Owner] {
            let pack = pack_of(&place, &objects);
            let result = place.store.receive_pack(&mut pack.as_slice(), tips, sender, ReceiveLimits::default()).await;
            assert!(matches!(result, Err(GitError::PackRefused { .. })), "{sender:?} {objects:?}: {result:?}");
        }
    }
    let pack = pack_of(&place, &[tip.as_str(), &tree, &sub, &a, &b]);
    place.store.receive_pack(&mut pack.as_slice(), tips, Sender::Peer, ReceiveLimits::default()).await.unwrap().keep().await.unwrap();
    assert_eq!(place.file(&tip, "d/b").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn compacting_keeps_everything() {
    let place = Place::new().await;
    let mut last = place.user_commit(&[("a", "0")]);
    place.import(&last).await;
    let mut kept = vec![last.clone()];
    for n in 1..8 {
        let tip = place.user_commit(&[("a", &n.to_string())]);
        transfer(place.user().await.git(), &place.store, &tip, std::slice::from_ref(&last), None, Sender::Peer).await.unwrap();
        last = tip.clone();
        kept.push(tip);
    }
    let loose = place.commit_on(&last, &[("b", Some("loose"))]).await;
    kept.push(loose.clone());
    let name = RefName::parse("refs/roundtable/x/1/1").unwrap();
    place.store.move_ref(&name, None, &loose).await.unwrap();
    let before = place.store.pack_count().await.unwrap();
    assert!(before >= 8, "{before}");
    place.store.compact().await.unwrap();
    let after = place.store.pack_count().await.unwrap();
    assert!(after < before, "{after}");
    assert_eq!(place.store.commits_present(&kept).await.unwrap(), kept, "also what no ref reaches");
    assert_eq!(place.store.read_ref(&name).await.unwrap(), Some(loose.clone()));
    assert_eq!(place.file(&loose, "b").await.as_deref(), Some("loose"));
}

#[tokio::test]
async fn a_repository_that_lost_an_object_is_called_damaged() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let blob = place.git("user", &["rev-parse", "HEAD:a"]);
    let (dir, file) = blob.trim().split_at(2);
    std::fs::remove_file(place.path("user/.git/objects").join(dir).join(file)).unwrap();
    let user = place.user().await;
    let error = transfer(user.git(), &place.store, &base, &[], None, Sender::Owner).await.unwrap_err();
    assert!(matches!(error, GitError::Damaged { .. }) && error.to_string().contains("git fsck"), "{error}");
}

#[tokio::test]
async fn a_small_pack_that_says_it_is_huge_is_refused_and_takes_no_memory() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let other = place.program.init_bare(place.path("other.git"), ObjectFormat::Sha1).await.unwrap();
    place.import(&base).await;
    let oid = place.store.write_blob(vec![0; 128 << 20]).await.unwrap();
    let tree = place.store.edit_tree(&base, &[TreeEdit::Put { path: "zeros".to_owned(), mode: EntryMode::File, oid }]).await.unwrap();
    let tip = place.store.commit_tree(&tree, &[], &Signature::roundtable(5), "zeros\n").await.unwrap();
    let mut pack = Vec::new();
    place.store.pack(&PackRequest { wants: vec![tip.clone()], ..PackRequest::default() }, &mut pack).await.unwrap();
    assert!(pack.len() < 1 << 20, "{}", pack.len());
    let limits = ReceiveLimits { memory_bytes_max: 64 << 20, ..ReceiveLimits::default() };
    let refused = other.receive_pack(&mut pack.as_slice(), std::slice::from_ref(&tip), Sender::Peer, limits).await;
    let Err(GitError::PackRefused { why }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("64 MiB of memory"), "{why}");
    other.receive_pack(&mut pack.as_slice(), &[tip], Sender::Peer, ReceiveLimits::default()).await.unwrap();
}
