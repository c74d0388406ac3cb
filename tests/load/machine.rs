//! What the machine says of processes: memory, time on a core, descriptors.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Clock ticks a second in `/proc`; Linux has had no other number for decades (proc(5)).
const TICKS: f64 = 100.0;

/// Raises this process's limit of descriptors as far as it goes, and says what it is then.
pub(crate) fn raise_descriptors() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of descriptors")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of descriptors")?;
    Ok(hard.max(soft))
}

/// Resident memory in bytes.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let status = read(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("reading VmRSS")?;
    Ok(kibibytes * 1024)
}

/// Seconds on a core since the process began.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = read(process, "stat")?;
    // The name may hold anything; what follows its closing bracket does not. utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').context("reading stat")?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).context("reading stat");
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// How many descriptors are open.
pub(crate) fn descriptors(process: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{process}/fd")).context("reading /proc")?.count())
}

/// The load average of the last minute, which tells whether others were at work.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

fn read(process: u32, what: &str) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{process}/{what}")).with_context(|| format!("reading /proc/{process}/{what}"))
}
