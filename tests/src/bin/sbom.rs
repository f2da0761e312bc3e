//! Prints what the programs are made of, as CycloneDX: `cargo metadata --format-version 1 | sbom --lock Cargo.lock`. Used by `.ci/release`.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

/// Prints what the programs are made of, from `cargo metadata` on standard input.
#[derive(Parser)]
struct Args {
    /// The lock file, for checksums.
    #[arg(long)]
    lock: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut metadata = String::new();
    std::io::stdin().read_to_string(&mut metadata).context("standard input cannot be read")?;
    let lock = std::fs::read_to_string(&args.lock).with_context(|| format!("{} cannot be read", args.lock.display()))?;
    println!("{:#}", roundtable_tests::sbom::cyclonedx(&metadata, &lock)?);
    Ok(())
}
