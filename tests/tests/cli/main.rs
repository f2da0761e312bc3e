//! The command-line contract, held by the real binaries with scripted agents: every command, flag and exit code of it.

mod journey;
