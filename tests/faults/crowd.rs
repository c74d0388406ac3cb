//! Ten thousand bundles that wait: what the agent's spool takes to begin with them, in time and memory.

use crate::tally::Tally;
use anyhow::{Context, Result};
use netsonde_agent::faults::{Keeper, waiting};
use netsonde_disk::Disk;
use std::path::Path;

const BUNDLES: u64 = 10_000;
/// As a run of one target makes it.
const BYTES: usize = 12_000;
/// Reading them all again may take so long on a machine that does much else.
const LONGEST_MS: u128 = 60_000;
/// The queue and the scan together stay below this, however large the bundles are.
const MOST_KIB: u64 = 64 << 10;

pub(crate) fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    // In memory where there is such a place: what is measured is the spool, not the disk's patience.
    let place =
        ["/dev/shm", "/tmp"].into_iter().map(Path::new).find(|place| place.is_dir()).context("no folder for temporary files")?;
    let folder = tempfile::Builder::new().prefix("netsonde-faults-").tempdir_in(place).context("making a folder")?;
    let keeper = Keeper::begin_at(Disk::system(), folder.path().join("spool"))?;
    let clock = netsonde_agent::load::Clock::start();
    for number in 1..=BUNDLES {
        keeper.fill(number, &vec![(number % 251) as u8; BYTES]).context("filling the spool")?;
    }
    let (filled, before) = (clock.now(), resident_kib());
    let (found, _) = waiting(&keeper);
    let took = clock.now().saturating_sub(filled).as_millis();
    let grew = resident_kib().saturating_sub(before);
    println!("{found} bundles of {BYTES} bytes wait in {}: read in {took} ms, {grew} KiB of memory more", place.display());
    tally.acknowledged += BUNDLES;
    if found as u64 != BUNDLES {
        tally.lost.push(format!("{found} of {BUNDLES} bundles are found again"));
    }
    if took > LONGEST_MS || grew > MOST_KIB {
        tally.wanting.push(format!("{BUNDLES} bundles cost {took} ms and {grew} KiB"));
    }
    Ok(tally)
}

/// This process's memory. Nothing where the system does not tell it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
