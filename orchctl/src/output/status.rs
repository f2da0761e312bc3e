//! `status`.

use roundtable_shared::RunStatus;
use roundtable_shared::view::{MissingLabelsView, ParkView, StatusView, WaitedView, Word};

use super::paint::{Paint, Style};
use super::table::facts;
use super::text::{count, duration, figure, short, with_command};
use super::units;
use crate::reach::Reach;

/// Units shown of each group.
const UNITS_EACH_MAX: usize = 40;
/// Notices shown.
const NOTICES_MAX: usize = 5;

/// Nothing to show, and what to do about it.
pub const NO_RUNS: &str = "no runs yet; start one with: orchctl run --spec DIR\n";

/// A run at a glance, problems first.
pub fn render(status: &StatusView, reach: &Reach, paint: Paint) -> String {
    if status.run.is_empty() {
        return NO_RUNS.to_owned();
    }
    let mut text = headline(status, paint);
    text.push_str(&alarms(status, reach, paint));
    let branch = format!("{} at {} (base {})", status.branch, short(&status.head), short(&status.base));
    text.push_str(&facts(
        &[
            ("spec", status.spec.clone()),
            ("branch", branch),
            ("mode", status.mode.to_string()),
            ("tokens", usage(&status.usage)),
            ("waited", waited(&status.waited)),
        ],
        paint,
    ));
    text.push('\n');
    text.push_str(&units::table(&status.units, UNITS_EACH_MAX).render(paint));
    for notice in status.notices.iter().rev().take(NOTICES_MAX).rev() {
        text.push_str(&note(notice, paint));
    }
    text
}

/// A notice, wrapped.
pub(super) fn note(notice: &str, paint: Paint) -> String {
    let mut text = String::new();
    for (n, line) in super::text::wrap(notice, 72).iter().enumerate() {
        let label = if n == 0 { "note: " } else { "      " };
        text.push_str(&format!("{}{line}\n", paint.style(Style::Dim, label)));
    }
    text
}

/// `login-k3f9qa  running, 4 of 9 units, 2 running, 12m31s`
fn headline(status: &StatusView, paint: Paint) -> String {
    let running = match status.counts.running() {
        0 => String::new(),
        n => format!(", {n} running"),
    };
    let state = paint.style(standing_style(&status.status), &status.status.to_string());
    let done = format!("{} of {} units", status.counts.completed(), status.counts.total());
    format!("{}  {state}, {done}{running}, {}\n", paint.style(Style::Strong, &status.run), duration(status.elapsed_ms))
}

/// The colour of how a run stands.
pub(super) fn standing_style(status: &Word<RunStatus>) -> Style {
    match status.known() {
        Some(RunStatus::Complete) => Style::Good,
        Some(RunStatus::Waiting | RunStatus::Halted | RunStatus::Incomplete) => Style::Problem,
        Some(RunStatus::Paused) => Style::Warning,
        Some(RunStatus::Assigning | RunStatus::Running) | None => Style::Live,
    }
}

fn alarms(status: &StatusView, reach: &Reach, paint: Paint) -> String {
    let mut text = problems(status, paint);
    let mut alarm = |said: &str, command: String| {
        text.push_str(&format!("{}\n", paint.style(Style::Problem, &format!("! {}", with_command(said, &command)))));
    };
    let decisions = match status.decisions {
        0 => None,
        1 => Some("1 decision waits for you".to_owned()),
        n => Some(format!("{n} decisions wait for you")),
    };
    if let Some(decisions) = decisions {
        alarm(&decisions, reach.command(&format!("orchctl decisions {}", status.run)));
    }
    let going = matches!(status.status.known(), Some(RunStatus::Running | RunStatus::Assigning));
    if going && status.slots == 0 {
        let wanted = status.missing.first().map_or("codex", String::as_str);
        alarm("nobody is here to work; run again, or join", reach.join(wanted));
    } else if going {
        status.missing.iter().for_each(|wanted| alarm(&format!("nobody offers {wanted} yet"), reach.join(wanted)));
        status.missing_labels.iter().for_each(|lacking| alarm(&nobody_has(lacking), reach.join_with(&lacking.labels, &lacking.backend)));
    }
    if status.status == RunStatus::Halted {
        alarm("halted; go on with the same as before", reach.command("orchctl run --spec DIR"));
    }
    if status.status == RunStatus::Paused {
        alarm("paused; go on with", reach.command(&format!("orchctl resume {}", status.run)));
    }
    text
}

/// `nobody who offers codex has gpu, zone=eu`
pub fn nobody_has(lacking: &MissingLabelsView) -> String {
    format!("nobody who offers {} has {}", super::text::backend(&lacking.backend), lacking.labels.join(", "))
}

/// What is wrong with the coordinator itself, and with providers.
fn problems(status: &StatusView, paint: Paint) -> String {
    let told = status.problems.iter().cloned().chain(status.parks.iter().map(parked));
    let lines = told.flat_map(|problem| super::text::wrap(&problem, 76).into_iter().enumerate());
    lines.map(|(n, line)| format!("{}\n", paint.style(Style::Problem, &format!("{}{line}", if n == 0 { "! " } else { "  " })))).collect()
}

/// `120.3k in (40.1k cached), 4.5k out, $0.42`; empty if nothing is known.
pub fn usage(usage: &roundtable_shared::Usage) -> String {
    if usage.input_tokens == 0 && usage.output_tokens == 0 && usage.cost_usd.is_none() {
        return String::new();
    }
    let cached = if usage.cached_input_tokens > 0 { format!(" ({} cached)", figure(usage.cached_input_tokens)) } else { String::new() };
    let cost = match usage.cost_usd {
        Some(dollars) if dollars > 0.0 && dollars < 0.005 => ", under $0.01".to_owned(),
        Some(dollars) => format!(", ${dollars:.2}"),
        None => String::new(),
    };
    format!("{} in{cached}, {} out{cost}", figure(usage.input_tokens), figure(usage.output_tokens))
}

/// `3m10s for people, 45s for machines`: what a run waited for beside the time it could work; empty if nothing kept it for a second.
pub fn waited(waited: &WaitedView) -> String {
    let each = [(waited.people_ms, "people"), (waited.provider_ms, "providers"), (waited.machines_ms, "machines")];
    let long = each.into_iter().filter(|(ms, _)| *ms >= 1_000);
    long.map(|(ms, whom)| format!("{} for {whom}", duration(ms))).collect::<Vec<_>>().join(", ")
}

/// `codex: 429 Too Many Requests on host-b, again in 30 s; 2 units wait`.
pub fn parked(park: &ParkView) -> String {
    let model = if park.model.is_empty() { String::new() } else { format!(" ({})", park.model) };
    let place = park.worker.as_ref().map_or_else(String::new, |worker| format!(" on {worker}"));
    let waits = match park.units_waiting {
        0 => String::new(),
        1 => "; 1 unit waits".to_owned(),
        n => format!("; {n} units wait"),
    };
    format!("{}{model}: {}{place}, {}{waits}", super::text::backend(&park.backend), park.cause, park.goes_on)
}

/// Who is waited for, and how that one comes.
pub fn nobody_offers(backend: &str, reach: &Reach) -> String {
    format!("nobody offers {backend} yet: `{}`", reach.join(backend))
}

/// `2 decisions wait`.
pub fn decisions_wait(n: u32) -> String {
    if n == 1 { "1 decision waits".to_owned() } else { format!("{} wait", count(u64::from(n), "decision")) }
}

#[cfg(test)]
pub(crate) mod samples {
    //! A status for tests.
    use roundtable_shared::view::{Counts, StatusView, WaitedView};
    use roundtable_shared::{Mode, RunStatus, Usage};

    use crate::output::units::samples::some_units;

    pub(crate) fn status() -> StatusView {
        let mut counts = Counts::new(5, 6, 1);
        let units = some_units();
        units.iter().filter(|unit| unit.runs).for_each(|unit| counts.add(&unit.status));
        StatusView {
            run: "query-tool-k3f9qa".into(),
            spec: "/home/ann/query/.specs/query-tool".into(),
            status: RunStatus::Running.into(),
            mode: Mode::Llm.into(),
            branch: "roundtable/query-tool-k3f9qa".into(),
            base: "9f8e7d6c5b4a39281706".into(),
            head: "1a2b3c4d5e6f708192a3".into(),
            units,
            counts,
            decisions: 1,
            usage: Usage { input_tokens: 120_345, cached_input_tokens: 40_100, output_tokens: 4_512, cost_usd: Some(0.4249) },
            notices: vec!["backend gemini is offered by nobody; units of type ui go to codex".into()],
            busy: true,
            check: None,
            paused: None,
            elapsed_ms: 751_000,
            waited: WaitedView::default(),
            exit: None,
            slots: 4,
            missing: Vec::new(),
            missing_labels: Vec::new(),
            problems: Vec::new(),
            parks: Vec::new(),
            runs: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::{WIDTH, width};

    #[test]
    fn a_run_at_a_glance() {
        let text = render(&samples::status(), &Reach::default(), Paint::plain());
        insta::assert_snapshot!(text, @r"
        query-tool-k3f9qa  running, 1 of 5 units, 1 running, 12m31s
        ! 1 decision waits for you: orchctl decisions query-tool-k3f9qa
        spec    /home/ann/query/.specs/query-tool
        branch  roundtable/query-tool-k3f9qa at 1a2b3c4d5e (base 9f8e7d6c5b)
        mode    llm
        tokens  120.3k in (40.1k cached), 4.5k out, $0.42

           unit  state        owner  tries  title
        !  2     blocked      codex      1  Query parser with a rather long title that…
                 the third fix still has critical findings
        ●  3     in_progress  codex      1  Command line
                 implement by codex on host-1 for 2m10s
        ·  4     not_started  codex         Documentation
                 after 3, which writes src/cli.py that this one reads (+1 more)
        ·  5     blocked      codex         Optimiser
                 blocked by unit 2
        ✓  1     completed    codex      2  Store
        -  6     left out                   Benchmarks
        note: backend gemini is offered by nobody; units of type ui go to codex
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn says_when_nobody_works_and_when_there_is_nothing() {
        let alone = StatusView { slots: 0, ..samples::status() };
        assert!(render(&alone, &Reach::default(), Paint::plain()).contains("nobody is here to work"));
        let missing = || vec!["gemini".to_owned()];
        let alone = StatusView { slots: 0, missing: missing(), ..samples::status() };
        assert!(
            render(&alone, &Reach::default(), Paint::plain())
                .contains("! nobody is here to work; run again, or join: worker join --backend gemini")
        );
        let waiting = StatusView { missing: missing(), ..samples::status() };
        assert!(render(&waiting, &Reach::default(), Paint::plain()).contains("! nobody offers gemini yet: worker join --backend gemini"));
        let lacking = MissingLabelsView { backend: "codex".into(), labels: vec!["gpu".into(), "zone=eu".into()] };
        let lacking = StatusView { missing_labels: vec![lacking], ..samples::status() };
        let lacking = render(&lacking, &Reach::default(), Paint::plain());
        assert!(lacking.contains("! nobody who offers codex has gpu, zone=eu"), "{lacking}");
        assert!(lacking.contains("worker join --label gpu --label zone=eu --backend codex"), "{lacking}");
        let full = "the data directory cannot be written: No space left on device; retrying, nothing is lost";
        let full = render(&StatusView { problems: vec![full.to_owned()], ..samples::status() }, &Reach::default(), Paint::plain());
        assert!(
            full.contains("\n! the data directory cannot be written: No space left on device; retrying,\n  nothing is lost\n"),
            "{full}"
        );
        assert_eq!(render(&StatusView::default(), &Reach::default(), Paint::plain()), NO_RUNS);
    }

    #[test]
    fn what_it_waited_for_is_told_apart_once_it_lasted_a_second() {
        let long = WaitedView { people_ms: 190_000, provider_ms: 999, machines_ms: 45_000 };
        assert_eq!(waited(&long), "3m10s for people, 45s for machines");
        assert_eq!(waited(&WaitedView { provider_ms: 1_000, ..WaitedView::default() }), "1s for providers");
        assert_eq!(waited(&WaitedView { people_ms: 999, ..WaitedView::default() }), "");
        let text = render(&StatusView { waited: long, ..samples::status() }, &Reach::default(), Paint::plain());
        assert!(text.contains("\nwaited  3m10s for people, 45s for machines\n"), "{text}");
    }

    #[test]
    fn a_provider_that_refuses_is_named_with_what_waits() {
        let park = ParkView {
            backend: "codex".into(),
            cause: "429 Too Many Requests".into(),
            worker: Some("host-b".into()),
            goes_on: "again in 30 s".into(),
            units_waiting: 2,
            ..ParkView::default()
        };
        let status = StatusView { parks: vec![park.clone()], ..samples::status() };
        let text = render(&status, &Reach::default(), Paint::plain());
        assert!(text.contains("\n! codex: 429 Too Many Requests on host-b, again in 30 s; 2 units wait\n"), "{text}");
        let played = ParkView { backend: "scripted:/tmp/play.json".into(), units_waiting: 0, ..park.clone() };
        assert_eq!(parked(&played), "scripted:play.json: 429 Too Many Requests on host-b, again in 30 s");
        let park =
            ParkView { backend: "codex".into(), model: "m-1".into(), units_waiting: 1, goes_on: "unit 2 tries it now".into(), ..park };
        assert_eq!(parked(&park), "codex (m-1): 429 Too Many Requests on host-b, unit 2 tries it now; 1 unit waits");
    }
}
