//! What a command could not do: what failed, why, and what to do next. Printed once, by `main`.

use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::ProblemView;

use crate::exit::Exit;
use crate::output::paint::{Paint, Style};
use crate::output::text::{WIDTH, wrap};

/// A failure on its way to `main`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    why: Option<String>,
    next: Vec<String>,
    problems: Vec<ProblemView>,
}

/// What commands answer with.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that ends with `exit`.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, next: Vec::new(), problems: Vec::new() }
    }

    /// The thing asked for failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// The user's input is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The coordinator cannot be reached.
    pub fn unreachable(what: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, what)
    }

    /// A refusal that came with an error code.
    pub fn of(code: ErrorCode, what: impl Into<String>) -> Self {
        Self::new(Exit::from(code), what)
    }

    /// Adds the reason.
    #[must_use]
    pub fn why(mut self, why: impl ToString) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Adds something to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Adds problems of a spec, each with its line.
    #[must_use]
    pub fn problems(mut self, problems: Vec<ProblemView>) -> Self {
        self.problems = problems;
        self
    }

    /// How the program ends because of it.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed, in a line.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The whole text, for standard error.
    pub fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&problem_line(problem));
            text.push('\n');
        }
        let label = if self.exit == Exit::Interrupted { "interrupted" } else { "error" };
        push_labelled(&mut text, &paint.style(Style::Problem, label), label, &self.what);
        if let Some(why) = &self.why {
            push_labelled(&mut text, &paint.style(Style::Dim, "  why"), "  why", why);
        }
        for next in &self.next {
            push_labelled(&mut text, &paint.style(Style::Dim, " next"), " next", next);
        }
        text
    }
}

/// `file:line: message`, the form editors and scripts read.
pub fn problem_line(problem: &ProblemView) -> String {
    match problem.line {
        0 => format!("{}: {}", problem.file, problem.message),
        line => format!("{}:{line}: {}", problem.file, problem.message),
    }
}

fn push_labelled(text: &mut String, painted: &str, label: &str, body: &str) {
    let indent = label.chars().count() + 2;
    let body = wrap(body, WIDTH.saturating_sub(indent));
    for (n, line) in body.iter().enumerate() {
        if n == 0 {
            text.push_str(&format!("{painted}: {line}\n"));
        } else {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_what_to_do_next() {
        let failure = Failure::unreachable("no coordinator answers at https://127.0.0.1:7420")
            .why("connection refused")
            .next("start one with `coordinator serve`, or leave --coordinator out");
        assert_eq!(failure.exit(), Exit::Unreachable);
        insta::assert_snapshot!(failure.render(Paint::plain()), @r"
        error: no coordinator answers at https://127.0.0.1:7420
          why: connection refused
         next: start one with `coordinator serve`, or leave --coordinator out
        ");
    }

    #[test]
    fn problems_come_first_each_with_its_line() {
        let problem = |line| ProblemView { file: "tasks.md".into(), line, message: "no tasks, add one".into() };
        let failure = Failure::usage("the spec has 2 errors; nothing was started").problems(vec![problem(0), problem(7)]);
        insta::assert_snapshot!(failure.render(Paint::plain()), @r"
        tasks.md: no tasks, add one
        tasks.md:7: no tasks, add one
        error: the spec has 2 errors; nothing was started
        ");
    }

    #[test]
    fn long_texts_fit_the_width() {
        let failure = Failure::failed("word ".repeat(60)).why("because ".repeat(40)).next("then ".repeat(50));
        assert!(failure.render(Paint::plain()).lines().all(|line| line.chars().count() <= WIDTH));
    }
}
