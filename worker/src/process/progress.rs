//! What is known of a program's output, processor time and provider while it runs, shared between those who measure and those who look.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::sink::Stream;
use crate::backend::Contact;

/// What is known of an attempt's output and processor time while it runs. Shared with whoever reports on it.
#[derive(Debug)]
pub struct Progress {
    since: Instant,
    stdout_bytes: AtomicU64,
    stderr_bytes: AtomicU64,
    elided_bytes: AtomicU64,
    last_output_ms: AtomicU64,
    cpu_ms: AtomicU64,
    contact: AtomicU8,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            stdout_bytes: AtomicU64::new(0),
            stderr_bytes: AtomicU64::new(0),
            elided_bytes: AtomicU64::new(0),
            last_output_ms: AtomicU64::new(0),
            cpu_ms: AtomicU64::new(0),
            contact: AtomicU8::new(0),
        }
    }
}

impl Progress {
    /// Bytes read from stdout so far.
    pub fn stdout_bytes(&self) -> u64 {
        self.stdout_bytes.load(Ordering::Relaxed)
    }

    /// Bytes read from stderr so far.
    pub fn stderr_bytes(&self) -> u64 {
        self.stderr_bytes.load(Ordering::Relaxed)
    }

    /// Bytes not handed to the sink so far.
    pub fn elided_bytes(&self) -> u64 {
        self.elided_bytes.load(Ordering::Relaxed)
    }

    /// Since the last output (or, without any, since the beginning).
    pub fn quiet_for(&self) -> Duration {
        let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(now_ms.saturating_sub(self.last_output_ms.load(Ordering::Relaxed)))
    }

    /// What the sink told of the provider last.
    pub fn contact(&self) -> Contact {
        match self.contact.load(Ordering::Relaxed) {
            1 => Contact::Awaited,
            2 => Contact::Heard,
            3 => Contact::Refusing,
            4 => Contact::Blurred,
            _ => Contact::Unknown,
        }
    }

    /// Tells what is known of the provider.
    pub fn set_contact(&self, contact: Contact) {
        let code = match contact {
            Contact::Unknown => 0,
            Contact::Awaited => 1,
            Contact::Heard => 2,
            Contact::Refusing => 3,
            Contact::Blurred => 4,
        };
        self.contact.store(code, Ordering::Relaxed);
    }

    /// Processor time of the tree at the last look, milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        self.cpu_ms.load(Ordering::Relaxed)
    }

    pub(super) fn set_cpu_ms(&self, cpu_ms: u64) {
        self.cpu_ms.store(cpu_ms, Ordering::Relaxed);
    }

    /// So much of it was not handed over.
    pub(super) fn left_out(&self, bytes: u64) {
        self.elided_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn counter(&self, stream: Stream) -> &AtomicU64 {
        match stream {
            Stream::Stdout => &self.stdout_bytes,
            Stream::Stderr => &self.stderr_bytes,
        }
    }

    /// The agent has written so much more.
    pub(super) fn wrote(&self, stream: Stream, bytes: u64) {
        if bytes > 0 {
            self.counter(stream).fetch_add(bytes, Ordering::Relaxed);
            let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last_output_ms.store(now_ms, Ordering::Relaxed);
        }
    }
}
