//! `findings`.

use roundtable_shared::Severity;
use roundtable_shared::view::FindingView;

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
    let severity = paint.style(severity_style(&finding.severity), &finding.severity);
    let unit = paint.style(Style::Strong, &format!("unit {}", finding.task_id));
    let mut text = format!("{unit}  round {}  {severity}  {}\n", finding.round, paint.style(Style::Dim, &finding.reviewer));
    push(&mut text, &finding.summary, 2);
    for issue in &finding.issues {
        let place = match (&issue.file, issue.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            _ => String::new(),
        };
        push(&mut text, &format!("- {}: {place}{}", issue.severity, issue.description), 4);
    }
    if let Some(details) = &finding.details {
        push(&mut text, details, 4);
    }
    text.push('\n');
    text
}

/// The colour of a severity word.
pub fn severity_style(severity: &str) -> Style {
    match Severity::parse(severity) {
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
    use roundtable_shared::Issue;

    use super::*;

    #[test]
    fn issues_with_their_places() {
        let finding = FindingView {
            task_id: "2".into(),
            reviewer: "review-2-1".into(),
            round: 1,
            severity: "critical".into(),
            summary: "Queries are put together from user input.".into(),
            details: Some("Use bound parameters.\nSee the style guide.".into()),
            issues: vec![Issue {
                description: "name is not escaped".into(),
                severity: Severity::Critical,
                file: Some("src/db.py".into()),
                line: Some(42),
            }],
        };
        insta::assert_snapshot!(render(&[finding], Paint::plain()), @r"
        unit 2  round 1  critical  review-2-1
          Queries are put together from user input.
            - critical: src/db.py:42: name is not escaped
            Use bound parameters.
            See the style guide.
        ");
        assert_eq!(render(&[], Paint::plain()), "no findings\n");
    }
}
