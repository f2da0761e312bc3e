//! Just enough Rust to count lines: blanks out comments and literals, finds functions and test code. No parser: what compiles is well formed.

use std::ops::Range;

/// A file with the content of comments, strings and characters replaced by blanks, line for line.
pub struct Source {
    pub code: String,
    line_starts: Vec<usize>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// First line, from 1.
    pub line: usize,
    pub lines: usize,
}

impl Source {
    pub fn new(text: &str) -> Self {
        let code = blank(text);
        let line_starts =
            std::iter::once(0).chain(code.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1)).collect();
        Self { code, line_starts }
    }

    /// The line of a byte, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// Every function with a body, in order, those in tests included.
    pub fn functions(&self) -> Vec<(Range<usize>, Function)> {
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name = identifier(&self.code[at + 2..]);
            let Some(end) = self.item_end(at).filter(|_| !name.is_empty()) else { continue };
            if self.code.as_bytes()[end - 1] != b'}' {
                continue;
            }
            let line = self.line_of(at);
            found.push((at..end, Function { name, line, lines: self.line_of(end - 1) - line + 1 }));
        }
        found
    }

    /// The tests of the file, each with the modules of the file that it lies in: `tests::name`.
    pub fn test_names(&self) -> Vec<String> {
        let modules: Vec<(Range<usize>, String)> = words(&self.code, "mod")
            .filter_map(|at| {
                let end = self.item_end(at)?;
                let is_inline = self.code.as_bytes()[end - 1] == b'}';
                is_inline.then(|| (at..end, identifier(&self.code[at + 3..])))
            })
            .collect();
        let functions: Vec<usize> = words(&self.code, "fn").collect();
        let marks = ["#[test]", "#[tokio::test"].iter().flat_map(|mark| self.code.match_indices(mark));
        let of_mark = marks.filter_map(|(mark, _)| {
            let at = *functions.get(functions.partition_point(|at| *at < mark))?;
            let within = modules.iter().filter(|(range, _)| range.contains(&at)).map(|(_, name)| name.clone());
            Some(within.chain([identifier(&self.code[at + 2..])]).collect::<Vec<_>>().join("::"))
        });
        of_mark.collect()
    }

    /// Bytes of items marked `#[cfg(test)]` or `#[test]`, attribute included.
    pub fn tests(&self) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for mark in ["#[cfg(test)]", "#[test]", "#[tokio::test"] {
            for (at, _) in self.code.match_indices(mark) {
                let after = at + self.code[at..].find(']').map_or(mark.len(), |end| end + 1);
                found.extend(self.item_end(after).map(|end| at..end));
            }
        }
        found.sort_by_key(|range| range.start);
        found
    }

    /// Where the item that begins at `at` ends: after its `;`, or after its block.
    fn item_end(&self, at: usize) -> Option<usize> {
        let mut nested = 0_i32;
        for (offset, byte) in self.code.as_bytes()[at..].iter().enumerate() {
            match byte {
                b'(' | b'[' => nested += 1,
                b')' | b']' => nested -= 1,
                b';' if nested == 0 => return Some(at + offset + 1),
                b'{' if nested == 0 => return self.block_end(at + offset),
                _ => {}
            }
        }
        None
    }

    /// After the brace that closes the one at `open`.
    fn block_end(&self, open: usize) -> Option<usize> {
        let mut depth = 0_i32;
        for (offset, byte) in self.code.as_bytes()[open..].iter().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(open + offset + 1);
            }
        }
        None
    }
}

/// The name that a text begins with.
fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Where `word` stands as a word of its own.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let whole = move |at: usize| !part(code[..at].chars().next_back()) && !part(code[at + word.len()..].chars().next());
    code.match_indices(word).map(|(at, _)| at).filter(move |at| whole(*at))
}

/// Replaces the content of comments and literals by blanks; line breaks stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let before = at.checked_sub(1).map(|at| bytes[at]);
        let end = literal_end(bytes, at, before);
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            code.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8(code).expect("only whole literals were replaced")
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize, before: Option<u8>) -> usize {
    let rest = &bytes[at..];
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !in_word => at + raw_string(&rest[1..]).map_or(0, |length| length + 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => at + raw_string(&rest[2..]).map_or(0, |length| length + 2),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        // A lifetime has no quote after its first character, however many bytes that has.
        [b'\'', first, ..] => {
            let width = 1 + rest[2..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
            if *first != b'\'' && rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `#…"…"#…`; `None` if it is no raw string (a raw identifier, say).
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'#'; hashes];
    close.insert(0, b'"');
    let body = &rest[hashes + 1..];
    let end = body.windows(close.len()).position(|window| window == close)?;
    Some(hashes + 1 + end + close.len())
}

#[test]
fn literals_and_comments_are_blanked() {
    let text = "a(\"{\\\"\", '{', '\\'', 'é', b\"}\", r#\"}\"{\"#, c\"{\") /* { /* } */ { */ <'a> // {\n'b: loop r#fn";
    let code = Source::new(text).code;
    assert_eq!(code.len(), text.len());
    assert!(!code.contains(['{', '}', '"']), "{code}");
    assert!(code.contains("<'a>") && code.contains("'b: loop r#fn") && code.contains('\n'));
}

#[test]
fn functions_are_found_and_measured() {
    let text = "trait T { fn none(&self) -> [u8; 2]; }\nfn one() where A: B<{ 1 }>, {}\n/* fn no() {} */\nfn two(a: [u8; 3]) {\n  let s = \"}\";\n  fn inner() {\n  }\n}\n";
    let found: Vec<(String, usize, usize)> =
        Source::new(text).functions().into_iter().map(|(_, function)| (function.name, function.line, function.lines)).collect();
    assert_eq!(found, [("one".into(), 2, 1), ("two".into(), 4, 5), ("inner".into(), 6, 2)]);
}

#[test]
fn test_code_is_found() {
    let text = "fn a() {}\n#[cfg(test)]\nuse x;\n#[cfg(test)]\nmod tests {\n  #[test]\n  fn b() {}\n}\n#[tokio::test(flavor = \"x\")]\nasync fn c() {}\n";
    let source = Source::new(text);
    let lines: Vec<(usize, usize)> =
        source.tests().iter().map(|range| (source.line_of(range.start), source.line_of(range.end - 1))).collect();
    assert_eq!(lines, [(2, 3), (4, 8), (6, 7), (9, 10)]);
}

#[test]
fn tests_are_called_as_their_crate_calls_them() {
    let text = "fn helper() {}\n#[test]\nfn top() {}\nmod other;\nmod tests {\n  fn no() {}\n  #[tokio::test(flavor = \"x\")]\n  #[ignore = \"fn b()\"]\n  async fn deep() {}\n  \
                mod more { #[test] fn most() {} }\n}\n// #[test]\nfn last() {}\n";
    let mut names = Source::new(text).test_names();
    names.sort();
    assert_eq!(names, ["tests::deep", "tests::more::most", "top"]);
}
