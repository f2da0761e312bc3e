//! The `worker` binary. Owns nothing but the order of things: helpers of its own first, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = roundtable_worker::process::dispatch_exec_in() {
        return code;
    }
    eprintln!("worker: no command given");
    ExitCode::from(3)
}
