//! Which pane is in which window: at most nine windows, in each the live panes and a few that have ended. Bookkeeping only; tmux is asked elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Windows at once: a number key each.
pub(super) const WINDOWS_MAX: usize = 9;
/// Panes of a window, as long as some have ended: the oldest of those gives way.
pub(super) const PANES_MAX: usize = 4;

/// A pane of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pane {
    /// As tmux names it.
    pub id: String,
    /// What it shows.
    pub log: PathBuf,
    /// Its attempt has ended.
    pub is_over: bool,
}

#[derive(Debug, Default)]
struct Window {
    /// As tmux names it.
    id: String,
    /// Oldest first.
    panes: Vec<Pane>,
}

/// Where the next pane goes.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Into a window of its own.
    New,
    /// Into that window.
    In {
        /// As we call it.
        name: String,
        /// As tmux does.
        window: String,
    },
    /// Into one of its own once that one is gone, in which all has ended.
    Instead(String),
}

/// The windows, by the names of target windows.
#[derive(Debug, Default)]
pub(super) struct Windows(BTreeMap<String, Window>);

impl Windows {
    /// Where a pane for that target window goes: later ones share.
    pub(super) fn place(&self, name: &str) -> Place {
        let within = |(name, window): (&String, &Window)| Place::In { name: name.clone(), window: window.id.clone() };
        if let Some(known) = self.0.get_key_value(name) {
            return within(known);
        }
        if self.0.len() < WINDOWS_MAX {
            return Place::New;
        }
        match self.0.iter().find(|(_, window)| window.panes.iter().all(|pane| pane.is_over)) {
            Some((old, _)) => Place::Instead(old.clone()),
            None => self.0.iter().min_by_key(|(_, window)| window.panes.len()).map_or(Place::New, within),
        }
    }

    /// A pane is there; those that give way to it.
    pub(super) fn add(&mut self, name: &str, window: String, pane: Pane) -> Vec<Pane> {
        let entry = self.0.entry(name.to_owned()).or_default();
        entry.id = window;
        entry.panes.push(pane);
        let mut surplus = Vec::new();
        while entry.panes.len() > PANES_MAX {
            let Some(at) = entry.panes.iter().position(|pane| pane.is_over) else { break };
            surplus.push(entry.panes.remove(at));
        }
        surplus
    }

    /// The pane's attempt has ended; it stays until another needs the room.
    pub(super) fn over(&mut self, pane: &str) {
        let mut panes = self.0.values_mut().flat_map(|window| &mut window.panes);
        if let Some(pane) = panes.find(|known| known.id == pane) {
            pane.is_over = true;
        }
    }

    /// A window is given up; its panes.
    pub(super) fn take(&mut self, name: &str) -> Vec<Pane> {
        self.0.remove(name).map(|window| window.panes).unwrap_or_default()
    }

    /// All are given up.
    pub(super) fn take_all(&mut self) -> Vec<Pane> {
        std::mem::take(&mut self.0).into_values().flat_map(|window| window.panes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(id: &str) -> Pane {
        Pane { id: id.to_owned(), log: PathBuf::from(id), is_over: false }
    }

    fn full() -> Windows {
        let mut windows = Windows::default();
        for n in 1..=WINDOWS_MAX {
            assert_eq!(windows.place(&format!("task-{n}")), Place::New);
            windows.add(&format!("task-{n}"), format!("@{n}"), pane(&format!("%{n}")));
        }
        windows
    }

    #[test]
    fn a_tenth_target_window_shares_until_another_is_idle() {
        let mut windows = full();
        let within = |n: usize| Place::In { name: format!("task-{n}"), window: format!("@{n}") };
        assert_eq!(windows.place("task-5"), within(5));
        windows.add("task-1", "@1".to_owned(), pane("%10"));
        assert_eq!(windows.place("task-10"), within(2), "the emptiest that is busy");
        windows.over("%7");
        assert_eq!(windows.place("task-10"), Place::Instead("task-7".to_owned()));
        assert_eq!(windows.take("task-7").len(), 1);
        assert_eq!(windows.place("task-10"), Place::New);
        assert_eq!(windows.take_all().len(), WINDOWS_MAX);
    }

    #[test]
    fn panes_that_have_ended_give_way_and_live_ones_never() {
        let mut windows = Windows::default();
        for n in 0..PANES_MAX + 2 {
            assert!(windows.add("w", "@1".to_owned(), pane(&format!("%{n}"))).is_empty(), "all are live");
        }
        windows.over("%1");
        windows.over("%3");
        windows.over("%nobody");
        let surplus: Vec<String> = windows.add("w", "@1".to_owned(), pane("%9")).into_iter().map(|pane| pane.id).collect();
        assert_eq!(surplus, ["%1", "%3"], "the oldest first");
    }
}
