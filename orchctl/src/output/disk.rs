//! `du`: what takes the room, the largest first, and what is to be done about it.

use roundtable_shared::text::bytes;
use roundtable_shared::view::{DiskView, Word};

use super::paint::{Paint, Style};
use super::table::{Cell, Table, facts};
use super::text::{count, short};

/// Runs listed.
const RUNS_MAX: usize = 20;

/// Runs by size, then repositories, workers and the rest.
pub fn render(disk: &DiskView, paint: Paint) -> String {
    let whole = format!("{} in {}, {} free", bytes(disk.bytes), disk.data_dir, bytes(disk.free_bytes));
    let mut text = facts(&[("in all", whole)], paint);
    let mut runs: Vec<_> = disk.runs.iter().collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.bytes()));
    if !runs.is_empty() {
        let mut table = Table::new(["run", "size", "status"], 0).right(1);
        for run in runs.iter().take(RUNS_MAX) {
            let status = match &run.status {
                none if *none == Word::default() => "no such run".to_owned(),
                status if run.to_accept => format!("{status}, not accepted"),
                status => status.to_string(),
            };
            table.row([Cell::new(Style::Strong, run.run.clone()), bytes(run.bytes()).into(), status.into()]);
        }
        text.push('\n');
        text.push_str(&table.render(paint));
        if runs.len() > RUNS_MAX {
            text.push_str(&format!("… and {} (all with --json)\n", count((runs.len() - RUNS_MAX) as u64, "more run")));
        }
    }
    text.push('\n');
    text.push_str(&facts(&rest(disk), paint));
    text.push_str(&format!("\n{}\n  orchctl runs prune --dry-run\n", paint.style(Style::Dim, "next")));
    text
}

fn rest(disk: &DiskView) -> Vec<(&'static str, String)> {
    let mut rest = Vec::new();
    for each in &disk.repositories {
        let runs = count(u64::from(each.runs), "run");
        rest.push(("repository", format!("{} in {}, of {runs}", bytes(each.bytes), short(&each.repository))));
    }
    for each in &disk.workers {
        let parts =
            [("worktrees", each.trees_bytes), ("objects", each.cache_bytes), ("spool", each.spool_bytes), ("other", each.other_bytes)];
        let parts = parts.map(|(part, size)| format!("{part} {}", bytes(size)));
        rest.push(("worker", format!("{} in {}: {}", bytes(each.bytes()), each.worker, parts.join(", "))));
    }
    rest.push(("log", format!("{}, of all runs, also removed ones", bytes(disk.log_bytes))));
    if disk.ballast_bytes > 0 {
        rest.push(("ballast", format!("{} kept by the workers of this host for a full disk", bytes(disk.ballast_bytes))));
    }
    rest.push(("mirrors", format!("{}, the last texts of mirror files", bytes(disk.mirrors_bytes))));
    rest.push(("other", bytes(disk.other_bytes)));
    rest
}

#[cfg(test)]
mod tests {
    use roundtable_shared::RunStatus;
    use roundtable_shared::view::{RepositoryDisk, RunDisk, WorkerDisk};

    use super::*;

    #[test]
    fn the_largest_run_comes_first_and_what_is_kept_for_whom_is_said() {
        let run = |run: &str, status: Word<RunStatus>, to_accept, events_bytes| RunDisk {
            run: run.into(),
            status,
            to_accept,
            events_bytes,
            ..RunDisk::default()
        };
        let disk = DiskView {
            data_dir: "/srv/roundtable".into(),
            bytes: 3 << 30,
            free_bytes: 90 << 30,
            log_bytes: 4 << 20,
            runs: vec![
                run("login-aaaaaa", RunStatus::Complete.into(), true, 1 << 20),
                run("search-k3f9qa", RunStatus::Running.into(), false, 300 << 20),
                run("old", Word::default(), false, 512),
            ],
            repositories: vec![RepositoryDisk { repository: "0123456789abcdef".into(), bytes: 1 << 30, runs: 2 }],
            workers: vec![WorkerDisk { worker: "host-1".into(), cache_bytes: 1 << 30, spool_bytes: 2 << 20, ..WorkerDisk::default() }],
            ballast_bytes: 64 << 20,
            mirrors_bytes: 8 << 10,
            other_bytes: 20 << 10,
        };
        insta::assert_snapshot!(render(&disk, Paint::plain()), @r"
        in all  3.0 GiB in /srv/roundtable, 90.0 GiB free

        run                 size  status
        search-k3f9qa  300.0 MiB  running
        login-aaaaaa     1.0 MiB  complete, not accepted
        old                512 B  no such run

        repository  1.0 GiB in 0123456789, of 2 runs
        worker      1.0 GiB in host-1: worktrees 0 B, objects 1.0 GiB, spool 2.0 MiB,
                    other 0 B
        log         4.0 MiB, of all runs, also removed ones
        ballast     64.0 MiB kept by the workers of this host for a full disk
        mirrors     8.0 KiB, the last texts of mirror files
        other       20.0 KiB

        next
          orchctl runs prune --dry-run
        ");
    }
}
