//! What `git fsck` finds wrong: objects that are damaged, and those that refs need and that are gone.

use super::{Git, GitError};

/// Every way in which `git fsck` itself comes to an end: a bit for each kind of problem, or 128 where it cannot go on.
static ENDS: [i32; 65] = ends();

const fn ends() -> [i32; 65] {
    let mut codes = [128; 65];
    let (mut at, mut code) = (0, 0);
    while at < 64 {
        codes[at] = code;
        at += 1;
        code += 1;
    }
    codes
}

impl Git {
    /// Checks the content of every object and that nothing the refs reach is missing. Gives what is damaged, a line each, at most `problems_max`. What
    /// merely breaks today's rules (an old commit without a time zone) is somebody's history, not damage.
    pub async fn fsck(&self, problems_max: usize) -> Result<Vec<String>, GitError> {
        let args = ["--full", "--no-dangling", "--no-reflogs", "--no-progress"];
        let answer = self.invoke("fsck").args(args).long().codes_ok(&ENDS).run().await?;
        let mut problems = problems(&String::from_utf8_lossy(&answer.stdout), problems_max);
        let said = problems_max - problems.len();
        problems.extend(self::problems(&answer.stderr, said));
        // Bit 0 alone may stand for broken rules only.
        if problems.is_empty() && answer.code & !1 != 0 {
            problems.push(format!("git fsck ended with status {}", answer.code));
        }
        Ok(problems)
    }
}

fn problems(text: &str, problems_max: usize) -> Vec<String> {
    const HARMLESS: [&str; 8] = ["notice:", "warning:", "warning in ", "error in ", "dangling ", "unreachable ", "root ", "hint:"];
    let mut problems: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        // `broken link from` has the other end in the next line.
        if goes_on && words.starts_with("to ") {
            if let Some(last) = problems.last_mut() {
                last.push(' ');
                last.push_str(&words);
            }
        } else if problems.len() < problems_max && !HARMLESS.iter().any(|each| line.starts_with(each)) {
            problems.push(words.clone());
        }
        goes_on = words.starts_with("broken link from ");
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_old_habits() {
        let text = "notice: HEAD points to an unborn branch (main)\nbroken link from  commit aa\n              to    tree bb\nmissing tree bb\n\
                    error in commit cc: missingSpaceBeforeDate: invalid author\nwarning in tree dd: zeroPaddedFilemode: x\ndangling blob ee\n";
        assert_eq!(problems(text, 10), ["broken link from commit aa to tree bb", "missing tree bb"]);
        assert_eq!(problems(text, 1).len(), 1);
        assert_eq!(problems("error: packfile x.pack cannot be accessed\nfatal: bad\n", 10).len(), 2);
    }
}
