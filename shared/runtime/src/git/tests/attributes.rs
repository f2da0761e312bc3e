//! Attributes that change what lies in a directory: those of one attempt are nothing to the next, and what they ask for is done as git does it.

use super::*;

const TEXT: &str = "one $Id$\ntwo\nthree\n";

/// The bytes of a file with that text as a checkout under `attributes` has it.
fn checked_out(attributes: Option<&str>, text: &str) -> Vec<u8> {
    match attributes {
        Some(asked) if asked.contains("crlf") => text.replace('\n', "\r\n").into_bytes(),
        Some(asked) if asked.contains("UTF-16LE") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => text.into(),
    }
}

const ASKED: [&str; 4] = ["* text eol=crlf\n", "*.txt text=auto eol=crlf\n", "*.txt working-tree-encoding=UTF-16LE\n", "*.txt ident\n"];

impl Place {
    /// A commit with two files and these attributes.
    fn with_attributes(&self, attributes: Option<&str>, other: &str) -> Oid {
        let file = self.path("user/.gitattributes");
        match attributes {
            Some(text) => write(&file, text),
            None => drop(std::fs::remove_file(&file)),
        }
        // As an agent of this project commits it: the text itself, whatever the attributes.
        self.git("user", &["rm", "--quiet", "--cached", "-r", "--ignore-unmatch", "."]);
        for (path, text) in [("a.txt", TEXT), ("d/b.txt", TEXT), ("other", other)] {
            write(&self.path("user/blob"), text);
            let oid = self.git("user", &["hash-object", "-w", "--no-filters", "blob"]);
            self.git("user", &["update-index", "--add", "--cacheinfo", &format!("100644,{},{path}", oid.trim())]);
        }
        if attributes.is_some() {
            self.git("user", &["add", ".gitattributes"]);
        }
        self.git("user", &["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        self.user_head()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.path("agent").join(path)).unwrap()
    }

    /// An honest edit of one line, in the encoding in which the file lies there, changes that line and nothing else.
    async fn edit_one_line(&self, checkout: &Checkout, attributes: Option<&str>) {
        let asked = attributes.unwrap_or("none");
        let edited = TEXT.replace("two", "2");
        std::fs::write(self.path("agent/a.txt"), checked_out(attributes, &edited)).unwrap();
        let snapshot = self.snapshot(checkout).await;
        let changes = self.store.changed_paths(&checkout.commit, &snapshot.commit).await.unwrap();
        assert_eq!(changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["a.txt"], "{asked}");
        assert_eq!(self.file(&snapshot.commit, "a.txt").await.as_deref(), Some(edited.as_str()), "{asked}");
    }
}

#[tokio::test]
async fn what_other_attributes_made_of_a_file_does_not_stay() {
    for asked in ASKED {
        for (before, after) in [(Some(asked), None), (None, Some(asked)), (Some(asked), Some(asked))] {
            for committed in [false, true] {
                let place = Place::new().await;
                let first = place.with_attributes(before, "1");
                let next = place.with_attributes(after, "2");
                place.import(&next).await;
                place.import(&first).await;
                let checkout = place.checkout(&first).await;
                if !asked.contains("ident") {
                    assert_eq!(place.bytes("d/b.txt"), checked_out(before, TEXT));
                }
                if committed {
                    place.snapshot(&checkout).await;
                }
                let checkout = place.recheckout(&next).await;
                let case = format!("{before:?} {after:?} {committed}");
                if asked.contains("ident") {
                    assert_eq!(place.bytes("a.txt") == TEXT.as_bytes(), after.is_none(), "{case}");
                } else {
                    assert_eq!(place.bytes("a.txt"), checked_out(after, TEXT), "{case}");
                    assert_eq!(place.bytes("d/b.txt"), checked_out(after, TEXT), "{case}");
                }
                assert_eq!(place.git("agent", &["status", "--porcelain"]), "", "{case}");
                assert!(!place.snapshot(&checkout).await.changed, "{case}");
                place.edit_one_line(&checkout, after).await;
            }
        }
    }
}

/// Attributes of an agent's own count for what it leaves, and for nothing after it: neither those it commits, nor those it hides from the commit.
#[tokio::test]
async fn what_an_agents_own_attributes_made_of_a_file_does_not_stay() {
    for asked in &ASKED[..3] {
        for hidden in [false, true] {
            let place = Place::new().await;
            let base =
                place.user_commit(&[("a.txt", TEXT), ("d/b.txt", TEXT), (".gitignore", if hidden { ".gitattributes\n" } else { "x\n" })]);
            place.import(&base).await;
            let checkout = place.checkout(&base).await;
            place.write("agent/.gitattributes", asked);
            for file in ["a.txt", "d/b.txt"] {
                std::fs::write(place.path("agent").join(file), checked_out(Some(asked), TEXT)).unwrap();
            }
            let changed = place.snapshot(&checkout).await;
            assert_eq!(place.file(&changed.commit, "a.txt").await.as_deref(), Some(TEXT), "{asked}");
            let checkout = place.recheckout(&base).await;
            assert!(!place.path("agent/.gitattributes").exists());
            assert_eq!(place.bytes("a.txt"), TEXT.as_bytes(), "{asked} {hidden}");
            assert_eq!(place.bytes("d/b.txt"), TEXT.as_bytes(), "{asked} {hidden}");
            place.edit_one_line(&checkout, None).await;
        }
    }
}

/// Where attributes even out what an agent did to a file, the commit has no change of it; the next attempt gets the file as the commit has it all the same.
#[tokio::test]
async fn what_a_commit_evens_out_does_not_stay() {
    let place = Place::new().await;
    let base = place.user_commit(&[("run.sh", "#!/bin/sh\ntrue\n"), (".gitattributes", "* text=auto\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/run.sh", "#!/bin/sh\r\ntrue\r\n");
    assert!(!place.snapshot(&checkout).await.changed);
    place.recheckout(&base).await;
    assert_eq!(place.read("agent/run.sh"), "#!/bin/sh\ntrue\n");
}

/// A checkout that cannot do what the attributes ask for has the files as the commit has them, and so they are read again.
#[tokio::test]
async fn what_was_checked_out_without_attributes_is_committed_without_them() {
    let place = Place::new().await;
    let asked = "odd.txt working-tree-encoding\n*.txt working-tree-encoding=UTF-16LE\n";
    let first = place.with_attributes(Some(asked), "1");
    place.import(&first).await;
    let odd = place
        .commit_on(
            &first,
            &[
                ("odd.txt", Some("text\n")),
                (".gitattributes", Some("*.txt working-tree-encoding=UTF-16LE\nodd.txt working-tree-encoding\n")),
            ],
        )
        .await;
    let checkout = place.checkout(&odd).await;
    assert_eq!(place.bytes("a.txt"), TEXT.as_bytes());
    assert!(!place.snapshot(&checkout).await.changed);
    place.edit_one_line(&checkout, None).await;
    let next = place.with_attributes(Some(asked), "2");
    place.import(&next).await;
    let checkout = place.recheckout(&next).await;
    assert_eq!(place.bytes("d/b.txt"), checked_out(Some(asked), TEXT));
    place.edit_one_line(&checkout, Some(asked)).await;
}

/// The same where the directory was a checkout with attributes: they are the same, but only now is there a file for which git cannot follow them.
#[tokio::test]
async fn what_lies_there_by_attributes_does_not_stay_where_they_are_given_up() {
    let place = Place::new().await;
    let asked = "*.txt working-tree-encoding=UTF-16LE\nodd.txt working-tree-encoding\n";
    let first = place.with_attributes(Some(asked), "1");
    place.import(&first).await;
    let odd = place.commit_on(&first, &[("odd.txt", Some("text\n"))]).await;
    place.checkout(&first).await;
    assert_eq!(place.bytes("a.txt"), checked_out(Some(asked), TEXT));
    // As after a turn of some length: what was written before the second of the index is not looked at again.
    let index = std::fs::File::options().write(true).open(place.path("private/index")).unwrap();
    index.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
    place.write("agent/litter", "x");
    let checkout = place.recheckout(&odd).await;
    assert_eq!((place.bytes("a.txt"), place.path("agent/litter").exists()), (TEXT.as_bytes().to_vec(), false));
    assert_eq!(place.git("agent", &["status", "--porcelain"]), "");
    assert!(!place.snapshot(&checkout).await.changed);
    place.edit_one_line(&checkout, None).await;
}

/// Large directories of other files are not looked through for attributes that concern nothing.
#[tokio::test]
async fn attributes_among_ignored_files_do_not_cost_a_new_checkout() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a.txt", TEXT), ("d/b.txt", TEXT), (".gitignore", "node_modules\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/node_modules/p/.gitattributes", "* text eol=crlf\n");
    place.write("agent/new.txt", "new\n");
    let made = place.snapshot(&checkout).await;
    let inode = |file: &str| std::os::unix::fs::MetadataExt::ino(&place.path("agent").join(file).metadata().unwrap());
    let before = (inode("a.txt"), inode("new.txt"));
    place.recheckout(&made.commit).await;
    assert_eq!((inode("a.txt"), inode("new.txt")), before);
    assert!(!place.path("agent/node_modules").exists());
}

/// Bytes that were committed without the attributes that would even them out: a file that is only written again is no change of it.
#[tokio::test]
async fn what_is_only_written_again_is_no_change() {
    let place = Place::new().await;
    let crlf = TEXT.replace('\n', "\r\n");
    place.user_commit(&[("a.txt", &crlf), ("b.txt", &crlf), ("auto/c.txt", &crlf)]);
    write(&place.path("user/.gitattributes"), "* text\nauto/* text=auto\n");
    place.git("user", &["add", ".gitattributes"]);
    place.git("user", &["commit", "--quiet", "-m", "attributes"]);
    let base = place.user_head();
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    assert_eq!(place.bytes("a.txt"), crlf.as_bytes());
    for file in ["a.txt", "b.txt"] {
        std::fs::remove_file(place.path("agent").join(file)).unwrap();
        place.write(&format!("agent/{file}"), &crlf);
    }
    // As git does it: here the file keeps the line ends it has.
    place.write("agent/auto/c.txt", &crlf.replace("two", "2"));
    let snapshot = place.snapshot(&checkout).await;
    let changes = place.store.changed_paths(&base, &snapshot.commit).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["auto/c.txt"]);
    assert_eq!(place.file(&snapshot.commit, "auto/c.txt").await, Some(crlf.replace("two", "2")));
}
