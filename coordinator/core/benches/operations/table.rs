//! Runs each operation under callgrind and holds its count against the one that is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// A count may be higher by one in so many.
const MORE: u64 = 10;

pub fn run(names: &[&str], write: bool) -> ExitCode {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/operations/counts.txt");
    let kept: BTreeMap<String, u64> = std::fs::read_to_string(&path).unwrap_or_default().lines().filter_map(line).collect();
    let (mut is_good, mut text) = (true, String::new());
    println!("{:<32} {:>14} {:>14}", "operation", "instructions", "kept");
    for name in names {
        let count = match count(name) {
            Ok(count) => count,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let before = kept.get(*name).copied();
        let is_dear = before.is_none_or(|before| count > before + before / MORE);
        is_good &= !is_dear;
        let verdict = match before {
            Some(_) if is_dear => "more than a tenth dearer",
            Some(before) if count < before - before / MORE => "cheaper: keep it with --write",
            Some(_) => "",
            None => "not kept yet",
        };
        println!("{name:<32} {count:>14} {:>14} {verdict}", before.map_or_else(String::new, |before| before.to_string()));
        text += &format!("{count:>12}  {name}\n");
    }
    if write {
        std::fs::write(&path, text).expect("counts.txt can be written");
        return ExitCode::SUCCESS;
    }
    if !is_good {
        println!(
            "an operation has become dearer: mend it, or keep the new count with `cargo bench -p roundtable-core --bench operations -- --write`"
        );
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(line: &str) -> Option<(String, u64)> {
    let (count, name) = line.trim().split_once("  ")?;
    Some((name.to_owned(), count.parse().ok()?))
}

/// The instructions of one operation, in a process of its own.
fn count(name: &str) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no", "--toggle-collect=*counted*"])
        .arg(program)
        .arg(format!("--only={name}"))
        .output()
        .map_err(|error| format!("valgrind cannot be started ({error}): install it"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :")).and_then(|(_, count)| count.trim().parse().ok());
    collected.filter(|count| *count > 0 && ran.status.success()).ok_or_else(|| format!("nothing was counted:\n{said}"))
}
