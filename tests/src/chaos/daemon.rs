//! A program that is kept running on its host, as an init system would: started again a moment after it has ended, unless a fault holds it down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::host::Host;
use crate::harness::{Output, Process, Signal};

/// Pause before a program that has ended is started again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// How long one that was asked to end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(100);
/// How many ends are kept to be told.
const ENDS_MAX: usize = 20;

/// One program on one host.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) host: Arc<Host>,
    program: &'static str,
    args: Vec<String>,
    env: Vec<(String, String)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    process: Option<Process>,
    /// Added to its environment whenever it is started.
    more_env: Vec<(String, String)>,
    /// A fault keeps it down.
    is_held: bool,
    ended_at: Option<Instant>,
    ends: Vec<String>,
    starts: usize,
}

impl Daemon {
    /// Not started yet.
    pub(super) fn new(host: Arc<Host>, program: &'static str, args: Vec<String>, env: Vec<(String, String)>) -> Self {
        Self { host, program, args, env, state: Mutex::new(State { is_held: true, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, with this beside its environment until it is started with something else.
    pub(super) fn start(&self, more_env: Vec<(String, String)>) {
        let mut state = self.state();
        state.more_env = more_env;
        state.is_held = false;
        if state.process.is_none() {
            self.spawn(&mut state);
        }
    }

    fn spawn(&self, state: &mut State) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let env = [self.env.as_slice(), &state.more_env].concat();
        state.process = Some(self.host.start(self.program, &args, &env, None));
        state.starts += 1;
        state.ended_at = None;
    }

    /// Looks after it.
    pub(super) fn look(&self) {
        let mut state = self.state();
        if state.is_held {
            return;
        }
        if let Some(process) = state.process.take_if(|process| !process.is_running()) {
            note(&mut state, process);
            state.ended_at = Some(Instant::now());
        }
        if state.process.is_none() && state.ended_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER) {
            self.spawn(&mut state);
        }
    }

    /// Ends it by `how`, or by a kill where that leaves it, and keeps it down.
    pub(super) fn take_down(&self, how: impl FnOnce()) {
        let mut state = self.state();
        state.is_held = true;
        how();
        if let Some(process) = state.process.take() {
            note(&mut state, process);
        }
    }

    /// Sends it a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        let mut state = self.state();
        if let Some(process) = state.process.as_mut()
            && process.is_running()
        {
            process.signal(signal);
        }
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        let mut state = self.state();
        let process = state.process.as_mut()?;
        process.is_running().then(|| process.pid())
    }

    /// Whether it has said this since it was last started.
    pub(super) fn has_said(&self, text: &str) -> bool {
        self.state().process.as_ref().is_some_and(|process| process.stderr().contains(text))
    }

    /// Asks it to end and waits for that.
    pub(super) fn end(&self) -> Option<Output> {
        let process = {
            let mut state = self.state();
            state.is_held = true;
            state.process.take()
        };
        process.map(|mut process| {
            if process.is_running() {
                process.signal(Signal::TERM);
            }
            process.wait_within(ENDS_WITHIN)
        })
    }

    /// How often it was started.
    pub(super) fn starts(&self) -> usize {
        self.state().starts
    }

    /// All that is known of it, for a failure's text.
    pub(super) fn said(&self) -> String {
        let state = self.state();
        let now = state.process.as_ref().map(Process::said).unwrap_or_default();
        format!("{}\n{now}", state.ends.join("\n"))
    }
}

/// Keeps how it ended.
fn note(state: &mut State, process: Process) {
    let ended = process.kill();
    if state.ends.len() == ENDS_MAX {
        state.ends.remove(0);
    }
    state.ends.push(ended.said());
}
