//! The templates and what they may call. Whatever a template prints passes through `text::clean` unless a filter here has done so already, so no
//! outside text reaches a prompt raw.

use std::fmt::Write as _;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::bounds::BOUNDS;
use super::text;

/// What agents print to report a step while they work.
const SUBTASK_MARK: &str = "Roundtable-Subtask:";

/// The templates, by name.
const TEMPLATES: [(&str, &str); 7] = [
    ("_unit.md.j2", include_str!("templates/_unit.md.j2")),
    ("_work.md.j2", include_str!("templates/_work.md.j2")),
    ("implement.md.j2", include_str!("templates/implement.md.j2")),
    ("fix.md.j2", include_str!("templates/fix.md.j2")),
    ("review.md.j2", include_str!("templates/review.md.j2")),
    ("assign.md.j2", include_str!("templates/assign.md.j2")),
    ("orchestrate.md.j2", include_str!("templates/orchestrate.md.j2")),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Renders a template with `brief` under the name `key`.
pub(super) fn render(template: &str, key: &'static str, brief: &impl Serialize) -> String {
    let context = Value::from_pairs([(key, Value::from(Serde(brief)))]);
    let rendered = ENVIRONMENT.get_template(template).and_then(|found| found.render(context));
    // Templates are compiled in, and the snapshot tests render each with every part filled and with every part empty.
    collapse_blank_lines(&rendered.expect("a compiled-in template renders its own brief"))
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("the default delimiters are valid"));
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::Custom("prompt".into()));
    env.set_formatter(|out, _, value| {
        let written = match value.as_str() {
            Some(printed) if value.is_safe() => out.write_str(printed),
            Some(printed) => out.write_str(&text::clean(printed)),
            None if value.is_none() || value.is_undefined() => Ok(()),
            None => out.write_str(&text::clean(&value.to_string())),
        };
        written.map_err(minijinja::Error::from)
    });
    env.add_global("BOUNDS", Value::from(Serde(BOUNDS)));
    env.add_global("SUBTASK_MARK", Value::from_safe_string(SUBTASK_MARK.to_owned()));
    add_text_filters(&mut env);
    add_list_filters(&mut env);
    for (name, source) in TEMPLATES {
        env.add_template(name, source).expect("a compiled-in template parses");
    }
    env
}

fn add_text_filters(env: &mut Environment<'static>) {
    env.add_filter("line", |s: String, max: Option<usize>| safe(text::line(&s, max.unwrap_or(BOUNDS.line))));
    env.add_filter("head", |s: String, max: usize, rest: &str| safe(text::head(&s, max, rest)));
    env.add_filter("tail", |s: String, max: usize, rest: &str| safe(text::tail(&s, max, rest)));
    // For what a macro printed: cut at a line, cleaned already.
    env.add_filter("cut", |s: String, max: usize, rest: &str| safe(text::head(&s, max, rest)));
    env.add_filter("fence", |s: String, info: Option<&str>| safe(text::fence(&text::clean(&s), info.unwrap_or_default())));
    env.add_filter("quoted", |s: String, indent: usize| safe(quoted(&text::clean(&s), indent)));
    env.add_filter("diff_head", |s: String, whole_bytes: u64| safe(diff_head(&s, whole_bytes)));
}

fn add_list_filters(env: &mut Environment<'static>) {
    env.add_filter("joined", |items: Vec<String>| items.join("\n"));
    env.add_filter("comma", |items: Vec<String>| items.join(", "));
    env.add_filter("path_words", |items: Vec<String>, max: usize| safe(path_words(&items, max)));
    env.add_filter("share", |items: Vec<Value>, whole: usize| share(items.len(), whole));
    env.add_filter("path_list", |items: Vec<String>, empty: &str| safe(bullets(items.iter().map(|path| code(path)), BOUNDS.paths, empty)));
    env.add_filter("refused_list", |items: Vec<Value>| {
        safe(bullets(items.iter().map(|item| refused(&field(item, "path"), &field(item, "why"))), BOUNDS.paths, "- (none)"))
    });
    env.add_filter("changed_list", |items: Vec<Value>| {
        let lines = items.iter().map(|item| format!("{} ({})", code(&field(item, "path")), field(item, "change").replace('_', " ")));
        safe(bullets(lines, BOUNDS.changed, "No file differs."))
    });
    env.add_filter("requirement_texts", |items: Vec<Value>| {
        let texts: Vec<String> = items.iter().map(|item| format!("[{}]\n{}", field(item, "id"), field(item, "text").trim_end())).collect();
        texts.join("\n\n")
    });
    env.add_filter("file_list", |items: Vec<String>, total: u64| safe(file_list(&items, total)));
    env.add_filter("plain_list", |items: Vec<String>, max: usize| {
        let lines: Vec<String> = items.iter().map(|item| text::line(item, BOUNDS.line)).collect();
        safe(text::head(&lines.join("\n"), max, "later lines are left out"))
    });
}

fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

fn field(item: &Value, name: &str) -> String {
    item.get_attr(name).ok().filter(|value| !value.is_none() && !value.is_undefined()).map(|value| value.to_string()).unwrap_or_default()
}

/// A path between backticks, in one line.
fn code(path: &str) -> String {
    format!("`{}`", text::line(path, BOUNDS.line).replace('`', "\\u{60}"))
}

/// Paths in one line, each between backticks; those that do not fit are counted.
fn path_words(paths: &[String], bytes_max: usize) -> String {
    let mut out = String::new();
    for (shown, path) in paths.iter().enumerate() {
        let word = code(path);
        if out.len() + word.len() > bytes_max {
            let _ = write!(out, " and {} more", paths.len() - shown);
            return out;
        }
        let _ = write!(out, "{}{word}", if shown == 0 { "" } else { ", " });
    }
    out
}

/// What the text of each of so many may take of a whole, so that the later ones are not left out for the length of the first; the rest is for headings.
fn share(count: usize, whole: usize) -> usize {
    (whole * 3 / 5 / count.max(1)).clamp(1 << 10, 24 << 10)
}

fn refused(path: &str, why: &str) -> String {
    if why.is_empty() { code(path) } else { format!("{} — {}", code(path), text::line(why, BOUNDS.line)) }
}

/// A bullet list of at most about `bytes_max` bytes that says how many entries it leaves out.
fn bullets(lines: impl ExactSizeIterator<Item = String>, bytes_max: usize, empty: &str) -> String {
    let total = lines.len();
    if total == 0 {
        return empty.to_owned();
    }
    let mut out = String::new();
    for (shown, line) in lines.enumerate() {
        if out.len() + line.len() > bytes_max {
            let _ = write!(out, "- and {} more, not shown", total - shown);
            return out;
        }
        let _ = writeln!(out, "- {line}");
    }
    out.truncate(out.trim_end().len());
    out
}

fn quoted(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let lines: Vec<String> =
        text.lines().map(|line| if line.trim().is_empty() { format!("{margin}>") } else { format!("{margin}> {line}") }).collect();
    lines.join("\n")
}

/// The diff's head with a note of what is missing against the whole, which may be more than was read.
fn diff_head(diff: &str, whole_bytes: u64) -> String {
    let shown = text::head(diff, BOUNDS.diff, "read the other files in the worktree before you judge");
    let read = u64::try_from(diff.len()).unwrap_or(u64::MAX);
    if diff.len() > BOUNDS.diff || whole_bytes <= read {
        return shown;
    }
    format!("{shown}\n[cut here: the first {read} of {whole_bytes} bytes were read; read the other files in the worktree before you judge]")
}

/// Paths one a line; where they do not fit, whole directories are counted instead of dropped silently.
fn file_list(files: &[String], total: u64) -> String {
    let mut out = String::new();
    let mut shown = 0_u64;
    for file in files {
        let line = text::line(file, BOUNDS.line);
        if out.len() + line.len() > BOUNDS.files {
            break;
        }
        let _ = writeln!(out, "{line}");
        shown += 1;
    }
    if total > shown {
        let _ = writeln!(out, "[{} of {total} paths are shown; look at the repository for the others]", shown);
    }
    out
}

/// One blank line before headings, one at most between paragraphs, none at the ends; what stands between fences stays as it is.
fn collapse_blank_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<String> = None;
    let mut blank = true;
    for line in text.lines() {
        let bare = line.trim();
        match &fence {
            Some(open) if bare == open => fence = None,
            Some(_) => {}
            None if bare.starts_with("```") => fence = Some(bare.chars().take_while(|c| *c == '`').collect()),
            None if bare.is_empty() => {
                if !blank {
                    out.push('\n');
                }
                blank = true;
                continue;
            }
            None if is_heading(line) && !blank => out.push('\n'),
            None => {}
        }
        blank = false;
        out.push_str(if fence.is_some() { line } else { line.trim_end() });
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn is_heading(line: &str) -> bool {
    line.starts_with("# ") || line.starts_with("## ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_collapse_outside_of_fences_only() {
        let text = "\n\na\n\n\n\nb  \n````x\n\n\n```\n\n````\n\n\n";
        assert_eq!(collapse_blank_lines(text), "a\n\nb\n````x\n\n\n```\n\n````\n");
    }

    #[test]
    fn lists_say_what_they_leave_out() {
        let lines: Vec<String> = (0..100).map(|n| format!("entry {n}")).collect();
        let list = bullets(lines.into_iter(), 40, "none");
        assert_eq!(list, "- entry 0\n- entry 1\n- entry 2\n- entry 3\n- and 96 more, not shown");
        assert_eq!(bullets(Vec::new().into_iter(), 40, "none"), "none");
        assert!(file_list(&["a".to_owned()], 3).ends_with("[1 of 3 paths are shown; look at the repository for the others]\n"));
    }

    #[test]
    fn a_cut_diff_says_so_whoever_cut_it() {
        assert_eq!(diff_head("+x\n", 3), "+x");
        assert!(diff_head("+x\n", 9000).contains("the first 3 of 9000 bytes were read"));
        let long = "+line of a change\n".repeat(20_000);
        let shown = diff_head(&long, long.len() as u64);
        assert!(shown.len() < BOUNDS.diff + 200 && shown.contains("bytes are shown"), "{}", shown.len());
    }
}
