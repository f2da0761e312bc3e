//! `explain`.

use roundtable_shared::view::ExplainView;

use super::paint::{Paint, Style};
use super::table::{Cell, Table};
use super::text::{backend, wrap};

/// Why a unit is where it is.
pub fn render(explain: &ExplainView, paint: Paint) -> String {
    let mut text = format!("{}  {}\n", paint.style(Style::Strong, &format!("unit {}", explain.unit)), explain.status);
    for line in wrap(&explain.text, 80) {
        text.push_str(&format!("{line}\n"));
    }
    if !explain.waiting.is_empty() {
        let mut table = Table::new(["waits for", "on", "because"], 2);
        for wait in &explain.waiting {
            let because = if wait.path.is_empty() || wait.text.contains(&wait.path) {
                wait.text.clone()
            } else {
                format!("{} ({})", wait.text, wait.path)
            };
            let on = backend(&wait.on);
            let because = because.replace(&wait.on, &on);
            table.row([wait.kind.to_string().into(), Cell::new(Style::Strong, on), because.into()]);
        }
        text.push('\n');
        text.push_str(&table.render(paint));
    }
    text
}

#[cfg(test)]
mod tests {
    use roundtable_shared::{UnitState, WaitKind};

    use super::*;
    use crate::output::units::samples::waiting;

    #[test]
    fn reasons_in_a_table() {
        let view = ExplainView {
            run: "r".into(),
            unit: "4".into(),
            status: UnitState::NotStarted.into(),
            waiting: vec![
                waiting(WaitKind::Hazard, "3", "unit 3 writes src/cli.py, which this one reads"),
                waiting(WaitKind::Slot, "codex", "both slots are busy"),
            ],
            text: "Unit 4 has not started: it waits for unit 3, and then for a free slot.".into(),
        };
        insta::assert_snapshot!(render(&view, Paint::plain()), @r"
        unit 4  not_started
        Unit 4 has not started: it waits for unit 3, and then for a free slot.

        waits for  on     because
        hazard     3      unit 3 writes src/cli.py, which this one reads
        slot       codex  both slots are busy
        ");
    }
}
