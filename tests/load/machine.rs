//! What the machine says of processes: memory, time on a core, descriptors.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::Duration;

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
    kibibytes(process, "VmRSS:")
}

/// Resident memory that is no page of a file.
pub(crate) fn own(process: u32) -> Result<u64> {
    kibibytes(process, "RssAnon:")
}

fn kibibytes(process: u32, name: &str) -> Result<u64> {
    let status = read(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("reading {name}"))?;
    Ok(kibibytes * 1024)
}

/// What all threads of a process have taken of the machine since they began.
pub(crate) struct Use {
    pub(crate) threads: usize,
    /// How often a thread gave up its core to wait, and so was woken again.
    pub(crate) wake_ups: u64,
    pub(crate) cpu: Duration,
}

impl Use {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let mut sum = Self { threads: 0, wake_ups: 0, cpu: Duration::ZERO };
        for thread in std::fs::read_dir(format!("/proc/{process}/task")).context("reading /proc")? {
            let thread = thread.context("reading /proc")?.path();
            let status = std::fs::read_to_string(thread.join("status")).context("reading a thread's status")?;
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            // The time on a core in nanoseconds comes first (Documentation/scheduler/sched-stats.rst); utime counts whole ticks only.
            let times = std::fs::read_to_string(thread.join("schedstat")).context("reading a thread's schedstat")?;
            let on_core = times.split_whitespace().next().and_then(|first| first.parse().ok()).context("reading schedstat")?;
            sum.threads += 1;
            sum.wake_ups += switches.and_then(|count| count.trim().parse::<u64>().ok()).context("reading a thread's status")?;
            sum.cpu += Duration::from_nanos(on_core);
        }
        Ok(sum)
    }
}

/// Seconds on a core since the process began.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = read(process, "stat")?;
    // The name may hold anything; what follows its closing bracket does not. utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').context("reading stat")?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).context("reading stat");
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Seconds that all cores together have been at work since the machine started, for whomever.
pub(crate) fn busy_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let fields: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, then idle and iowait, then irq and softirq (proc(5)).
    let [user, nice, system, _, _, irq, softirq, ..] = fields[..] else { anyhow::bail!("/proc/stat has another form") };
    Ok((user + nice + system + irq + softirq) / TICKS)
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
