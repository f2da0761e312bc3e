//! `findings`.

use roundtable_shared::Severity;
use roundtable_shared::view::{FindingView, Word};

use super::paint::{Paint, Style};
use super::text::{WIDTH, wrap};

/// Findings as reviewers gave them, the worst of each unit first.
pub fn render(findings: &[FindingView], paint: Paint) -> String {
    if findings.is_empty() {
        return "no findings\n".to_owned();
    }
    findings.iter().map(|finding| one(finding, paint)).collect()
}

fn one(finding: &FindingView, paint: Paint) -> String {
    let severity = paint.style(severity_style(&finding.severity), &finding.severity.to_string());
    let unit = paint.style(Style::Strong, &format!("unit {}", finding.task_id));
    let mut text = format!("{unit}  round {}  {severity}  {}\n", finding.round, paint.style(Style::Dim, &finding.reviewer));
    push(&mut text, &finding.summary, 2);
    for issue in &finding.issues {
        let place = match (&issue.file, issue.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            _ => String::new(),
        };
        let id = if issue.id.is_empty() { String::new() } else { format!(" [{}]", issue.id) };
        push(&mut text, &format!("- {}: {place}{}{id}", issue.severity, issue.description), 4);
        if let Some(shown) = &issue.reproduced {
            let exit = shown.exit_code.map_or_else(String::new, |code| format!(" (exit code {code})"));
            push(&mut text, &format!("reproduced by `{}`{exit}", shown.command), 6);
        }
        answered(&mut text, finding, &issue.id);
    }
    answered(&mut text, finding, &finding.id);
    if let Some(details) = &finding.details {
        push(&mut text, details, 4);
    }
    for verdict in &finding.earlier {
        let note = verdict.note.as_deref().map_or_else(String::new, |note| format!(": {note}"));
        push(&mut text, &format!("{} is {}{note}", verdict.id, verdict.verdict), 4);
    }
    text.push('\n');
    text
}

/// What the owner said to the point of that id.
fn answered(text: &mut String, finding: &FindingView, id: &str) {
    for answer in finding.answers.iter().filter(|answer| !id.is_empty() && answer.finding == id) {
        if let Some(fixed) = &answer.fixed {
            push(text, &format!("the owner fixed it: {fixed}"), 6);
        }
        if let Some(why) = &answer.why_not {
            push(text, &format!("the owner left it: {why}"), 6);
        }
    }
}

/// The colour of a severity.
pub fn severity_style(severity: &Word<Severity>) -> Style {
    match severity.known() {
        Some(Severity::None) => Style::Good,
        Some(Severity::Minor) => Style::Warning,
        _ => Style::Problem,
    }
}

fn push(text: &mut String, body: &str, indent: usize) {
    for line in wrap(body, WIDTH - indent) {
        text.push_str(format!("{:indent$}{line}", "").trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::IssueView;
    use roundtable_shared::{FindingAnswer, Reproduced};

    use super::*;

    #[test]
    fn issues_with_their_places() {
        let finding = FindingView {
            id: "review-2-1".into(),
            task_id: "2".into(),
            reviewer: "review-2-1".into(),
            round: 1,
            severity: Severity::Critical.into(),
            summary: "Queries are put together from user input.".into(),
            details: Some("Use bound parameters.\nSee the style guide.".into()),
            issues: vec![IssueView {
                id: "review-2-1.1".into(),
                description: "name is not escaped".into(),
                severity: Severity::Critical.into(),
                file: Some("src/db.py".into()),
                line: Some(42),
                reproduced: Some(Reproduced { command: "make test".into(), exit_code: Some(2) }),
            }],
            earlier: Vec::new(),
            answers: vec![FindingAnswer { finding: "review-2-1.1".into(), fixed: None, why_not: Some("it is a constant".into()) }],
        };
        insta::assert_snapshot!(render(&[finding], Paint::plain()), @r"
        unit 2  round 1  critical  review-2-1
          Queries are put together from user input.
            - critical: src/db.py:42: name is not escaped [review-2-1.1]
              reproduced by `make test` (exit code 2)
              the owner left it: it is a constant
            Use bound parameters.
            See the style guide.
        ");
        assert_eq!(render(&[], Paint::plain()), "no findings\n");
    }
}
