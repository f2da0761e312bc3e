//! The program as it is built: that it starts, and says what it is. What it does is held by the suite `cli` of the tests crate, for which this
//! file also makes cargo build the program.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn orchctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orchctl")).args(args).env_clear().output().unwrap()
}

#[test]
fn it_says_which_release_it_is() {
    let out = orchctl(&["--version"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && text.starts_with(concat!("orchctl ", env!("CARGO_PKG_VERSION"), " (")), "{text}");
}

#[test]
fn wrong_usage_is_exit_3_and_says_so_on_standard_error_alone() {
    let out = orchctl(&["fly"]);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(3), 0));
    assert!(String::from_utf8(out.stderr).unwrap().contains("fly"));
}
