//! An agent event as a line or more for a person who looks on. Cleaned here: it goes to a terminal.

use roundtable_shared::{AgentEvent, text};

/// Lines shown of a command's output.
const OUTPUT_LINES_MAX: usize = 12;

/// The text; `None` for what says nothing to a person.
pub(super) fn text(event: &AgentEvent) -> Option<String> {
    let words = match event {
        AgentEvent::Message { text } => text.clone(),
        AgentEvent::Reasoning { text } => format!("· {text}"),
        AgentEvent::Exec { command, ended: false, .. } => format!("$ {command}"),
        AgentEvent::Exec { output, exit_code, .. } => {
            let status = exit_code.filter(|code| *code != 0).map(|code| format!("(exit {code})"));
            let shown = output.as_deref().map(last_lines).into_iter().chain(status);
            shown.collect::<Vec<_>>().join("\n")
        }
        AgentEvent::FileChange { paths, ok: true } => format!("changed {}", paths.join(", ")),
        AgentEvent::FileChange { paths, ok: false } => format!("could not change {}", paths.join(", ")),
        AgentEvent::Subtask { id, status } => format!("step {id}: {status}"),
        AgentEvent::Warning { text } => format!("warning: {text}"),
        AgentEvent::Raw { text, .. } => text.clone(),
        AgentEvent::Elided { bytes } => format!("… {bytes} bytes …"),
        AgentEvent::Completed => "done".to_owned(),
        AgentEvent::Failed { message } => format!("failed: {message}"),
        AgentEvent::Started { .. } | AgentEvent::Usage { .. } => return None,
    };
    let words = text::plain(words.trim_end());
    (!words.trim().is_empty()).then_some(words)
}

fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    let begin = lines.len().saturating_sub(OUTPUT_LINES_MAX);
    let left_out = if begin > 0 { format!("… {begin} lines …\n") } else { String::new() };
    left_out + &lines[begin..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_tame_text() {
        let exec = |output: &str, code| AgentEvent::Exec {
            command: "make".into(),
            output: Some(output.into()),
            exit_code: Some(code),
            ended: true,
        };
        let begun = AgentEvent::Exec { command: "make \u{1b}[2J".into(), output: None, exit_code: None, ended: false };
        assert_eq!(text(&begun).as_deref(), Some("$ make "));
        assert_eq!(text(&exec("ok\n", 0)).as_deref(), Some("ok"));
        assert_eq!(text(&exec("", 0)), None);
        let long: String = (0..40).map(|n| format!("{n}\n")).collect();
        let shown = text(&exec(&long, 2)).unwrap_or_default();
        assert!(shown.starts_with("… 28 lines …\n28\n") && shown.ends_with("39\n(exit 2)"), "{shown}");
        assert_eq!(text(&AgentEvent::Message { text: "a\u{7}b\n".into() }).as_deref(), Some("ab"));
        assert_eq!(text(&AgentEvent::Usage { usage: Default::default() }), None);
    }
}
