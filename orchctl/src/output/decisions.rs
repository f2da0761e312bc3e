//! `decisions`.

use roundtable_shared::time::WallMs;
use roundtable_shared::view::DecisionView;

use super::paint::{Paint, Style};
use super::runs::ago;
use super::text::{WIDTH, pad, width, wrap};

/// What waits for a person, each with its evidence and the exact command per option.
pub fn render(decisions: &[DecisionView], now: WallMs, paint: Paint) -> String {
    if decisions.is_empty() {
        return "no decisions wait\n".to_owned();
    }
    decisions.iter().map(|decision| one(decision, now, paint)).collect::<Vec<_>>().join("\n")
}

fn one(decision: &DecisionView, now: WallMs, paint: Paint) -> String {
    let style = if decision.answer.is_some() { Style::Dim } else { Style::Problem };
    let about = if decision.task_id.is_empty() { String::new() } else { format!("  about {}", decision.task_id) };
    let escalated = if decision.escalated { paint.style(Style::Problem, "  ESCALATED: open for more than a day") } else { String::new() };
    let mut text = format!("{}  {}  {}{about}\n", paint.style(style, &decision.id), decision.priority, decision.run);
    push(&mut text, &decision.context, 2);
    text.push_str(&format!("  {}{escalated}\n", paint.style(Style::Dim, &format!("asked {}", ago(&decision.created_at, now)))));
    for (n, option) in decision.options.iter().enumerate() {
        let keyword = decision.keywords.get(n).map(String::as_str).unwrap_or_default();
        push(&mut text, &format!("{}. {option} [{keyword}]", n + 1), 2);
        if let Some(command) = decision.commands.get(n) {
            text.push_str(&format!("     {}\n", paint.style(Style::Live, command)));
        }
    }
    let label = width("evidence  ");
    for (n, evidence) in decision.evidence.iter().enumerate() {
        let name = if n == 0 { "evidence" } else { "" };
        text.push_str(&format!("  {}{evidence}\n", paint.style(Style::Dim, &pad(name, label))));
    }
    if let Some(answer) = &decision.answer {
        let note = answer.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        push(&mut text, &format!("answered {} by {} {}{note}", answer.choice, answer.by, ago(&answer.at, now)), 2);
    }
    text
}

fn push(text: &mut String, body: &str, indent: usize) {
    for (n, line) in wrap(body, WIDTH - indent - 3).iter().enumerate() {
        let hanging = if n > 0 && body.starts_with(|c: char| c.is_ascii_digit()) { indent + 3 } else { indent };
        text.push_str(&format!("{:hanging$}{line}\n", ""));
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Decisions for tests.
    use roundtable_shared::Priority;
    use roundtable_shared::time::WallMs;
    use roundtable_shared::view::DecisionView;

    pub(crate) fn decision() -> DecisionView {
        let keywords = ["resume", "skip", "abort"].map(str::to_owned).to_vec();
        let options = ["I've fixed it manually - resume", "Skip this task - continue without it", "Abort orchestration"];
        DecisionView {
            id: "human-fallback-2".into(),
            task_id: "2".into(),
            priority: Priority::Critical.into(),
            context: "The third fix of unit 2 (Query parser) still has critical findings: queries are put together from user input.".into(),
            options: options.map(str::to_owned).to_vec(),
            commands: keywords.iter().map(|keyword| format!("orchctl decide query-tool-k3f9qa/human-fallback-2 {keyword}")).collect(),
            keywords,
            created_at: WallMs(1_000_000).rfc3339(),
            run: "query-tool-k3f9qa".into(),
            evidence: vec!["orchctl diff query-tool-k3f9qa 2".into(), "orchctl findings query-tool-k3f9qa 2".into()],
            ..DecisionView::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::AnswerView;

    use super::*;

    #[test]
    fn options_with_their_commands() {
        let text = render(&[samples::decision()], WallMs(8_800_000), Paint::plain());
        insta::assert_snapshot!(text, @r"
        human-fallback-2  critical  query-tool-k3f9qa  about 2
          The third fix of unit 2 (Query parser) still has critical findings: queries
          are put together from user input.
          asked 2h10m ago
          1. I've fixed it manually - resume [resume]
             orchctl decide query-tool-k3f9qa/human-fallback-2 resume
          2. Skip this task - continue without it [skip]
             orchctl decide query-tool-k3f9qa/human-fallback-2 skip
          3. Abort orchestration [abort]
             orchctl decide query-tool-k3f9qa/human-fallback-2 abort
          evidence  orchctl diff query-tool-k3f9qa 2
                    orchctl findings query-tool-k3f9qa 2
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn answered_ones_say_who_and_when() {
        let answer =
            AnswerView { choice: "skip".into(), by: "ann".into(), at: WallMs(2_000_000).rfc3339(), note: Some("not needed".into()) };
        let decision = DecisionView { answer: Some(answer), escalated: true, ..samples::decision() };
        let text = render(&[decision], WallMs(8_000_000), Paint::plain());
        assert!(text.contains("answered skip by ann 1h40m ago: not needed") && text.contains("ESCALATED"), "{text}");
        assert_eq!(render(&[], WallMs(0), Paint::plain()), "no decisions wait\n");
    }
}
