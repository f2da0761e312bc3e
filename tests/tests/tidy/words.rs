//! What must not be committed: a person's own paths, notes to self, keys, signatures of tools, and large files.

use crate::File;
use crate::rust::Violation;

const BYTES_MAX: u64 = 512 << 10;

/// Beginnings of paths that exist on one machine only. Names that stand for anybody are fine.
const HOMES: [&str; 4] = ["/home/", "/Users/", "/root/", "C:\\Users\\"];
const ANYBODY: [&str; 8] = ["ann", "bob", "user", "you", "me", "agent", "$", "<"];

/// Words, and why not.
const WORDS: [(&str, &str); 9] = [
    ("TODO", "open an issue, or do it"),
    ("FIXME", "open an issue, or do it"),
    ("XXX", "say what it is"),
    ("HACK", "say what it is"),
    ("-----BEGIN PRIVATE KEY", "keys are made by the tests that need them"),
    ("-----BEGIN EC PRIVATE KEY", "keys are made by the tests that need them"),
    ("-----BEGIN RSA PRIVATE KEY", "keys are made by the tests that need them"),
    ("Co-authored-by:", "the log says who wrote what"),
    ("<<<<<<< ", "a merge was left unfinished"),
];

pub fn forbidden(file: &File) -> Vec<Violation> {
    // This file names what it looks for.
    if file.path.ends_with("tidy/words.rs") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut add = |subject: &str, detail: &str| {
            found.push(Violation { line: number + 1, subject: subject.to_owned(), detail: detail.to_owned(), size: 0 });
        };
        for (word, why) in WORDS {
            if stands_alone(line, word) {
                add(word, why);
            }
        }
        for home in HOMES {
            let foreign = line.match_indices(home).any(|(at, _)| begins_path(line, at) && !names_anybody(&line[at + home.len()..]));
            if foreign {
                add(home, "a path of one machine; use a relative one, or /home/user");
            }
        }
    }
    found
}

pub fn large(file: &File) -> Vec<Violation> {
    let detail = format!("{} bytes", file.bytes);
    if file.bytes > BYTES_MAX { vec![Violation { line: 1, subject: String::new(), detail, size: file.bytes }] } else { Vec::new() }
}

fn stands_alone(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        let joined_before = letter(line[..at].chars().next_back());
        let joined_after = word.ends_with(char::is_alphanumeric) && letter(line[at + word.len()..].chars().next());
        !joined_before && !joined_after
    })
}

/// Whether an absolute path begins there, and not the middle of another.
fn begins_path(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "/.}_-*~".contains(c))
}

fn names_anybody(rest: &str) -> bool {
    ANYBODY.iter().any(|name| {
        let after = rest.strip_prefix(name);
        after.is_some_and(|after| !name.ends_with(char::is_alphanumeric) || !after.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    })
}

#[test]
fn words_and_paths_are_found() {
    let subjects = |text: &str| {
        let file = File { path: "a.md".to_owned(), bytes: 0, text: text.to_owned() };
        forbidden(&file).into_iter().map(|found| found.subject).collect::<Vec<_>>()
    };
    assert_eq!(subjects("// TODO: later"), ["TODO"]);
    assert_eq!(subjects("see /home/jane/x"), ["/home/"]);
    assert_eq!(subjects("see \"/root/x\""), ["/root/"]);
    assert!(subjects("TODOS, dir/root/x, /home/user/x, /home/$USER, /s/home/.codex, mktodo").is_empty());
}
