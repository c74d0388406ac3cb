use anyhow::{Context, Result};
use std::fmt;
use std::time::Duration;

/// What is held at the beginning is not yet what is held for good.
const WARM_UP: f64 = 0.25;
/// Of what was held after that. An allocator gives back less than it took, and a database fills its cache.
const MORE_MEMORY: f64 = 0.10;
/// Less than this is the noise of an allocator.
const NOISE_KIB: u64 = 1_536;
/// A run that goes on while the sample is taken.
const NOISE_COUNT: u64 = 6;

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Its own memory; what of its program is in memory is the kernel's choice, and grows with what else runs the same file.
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
    /// Processor time since it began, in ticks of 10 ms.
    ticks: u64,
}

impl Held {
    /// # Errors
    /// Where the process is gone, or this is not Linux.
    pub(crate) fn by(process: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("reading the process's status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).with_context(|| format!("no {name} in its status"))
        };
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("reading the process's times")?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th words after it.
        let words: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let tick = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).context("counting its descriptors")?.count();
        Ok(Self {
            memory_kib: number("RssAnon:")?,
            threads: number("Threads:")?,
            descriptors: descriptors as u64,
            ticks: tick(11) + tick(12),
        })
    }
}

/// What a process held, over time.
pub(crate) struct Series {
    name: &'static str,
    samples: Vec<(Duration, Held)>,
}

impl Series {
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, samples: Vec::new() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn add(&mut self, at: Duration, held: Held) {
        self.samples.push((at, held));
    }

    /// The medians of the first and of the last quarter of what came after the warm-up.
    fn ends(&self, of: impl Fn(&Held) -> u64) -> (u64, u64) {
        let begin = (self.samples.len() as f64 * WARM_UP) as usize;
        let warm: Vec<u64> = self.samples.iter().skip(begin).map(|(_, held)| of(held)).collect();
        let quarter = (warm.len() / 4).max(1);
        let first = warm.get(..quarter).unwrap_or(&warm);
        let last = warm.get(warm.len().saturating_sub(quarter)..).unwrap_or(&warm);
        (median(first), median(last))
    }

    /// What grew, in words.
    pub(crate) fn growths(&self) -> Vec<String> {
        let mut growths = Vec::new();
        let (first, last) = self.ends(|held| held.memory_kib);
        if last > first + NOISE_KIB.max((first as f64 * MORE_MEMORY) as u64) {
            growths.push(format!("the {}'s memory, from {first} to {last} KiB", self.name));
        }
        for (what, (first, last)) in
            [("descriptors", self.ends(|held| held.descriptors)), ("threads", self.ends(|held| held.threads))]
        {
            if last > first + NOISE_COUNT {
                growths.push(format!("the {}'s {what}, from {first} to {last}", self.name));
            }
        }
        growths
    }
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (memory, descriptors, threads) =
            (self.ends(|held| held.memory_kib), self.ends(|held| held.descriptors), self.ends(|held| held.threads));
        let share = match (self.samples.first(), self.samples.last()) {
            (Some((began, first)), Some((ended, last))) if ended > began => {
                (last.ticks - first.ticks) as f64 / (*ended - *began).as_secs_f64()
            }
            _ => 0.0,
        };
        write!(
            formatter,
            "{}: {} to {} KiB, {} to {} descriptors, {} to {} threads, {share:.1} % of a processor",
            self.name, memory.0, memory.1, descriptors.0, descriptors.1, threads.0, threads.1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(of: impl Fn(u64) -> Held) -> Series {
        let mut series = Series::of("agent");
        (0..100).for_each(|second| series.add(Duration::from_secs(second), of(second)));
        series
    }

    #[test]
    fn what_grows_is_told_and_what_only_warms_up_is_not() {
        let held = |memory_kib, descriptors, threads| Held { memory_kib, descriptors, threads, ticks: 0 };
        assert!(series(|second| held(10_000 + second.min(20) * 500, 12, 4)).growths().is_empty(), "a warm-up");
        assert!(series(|second| held(10_000 + second % 7 * 100, 12 + second % 4, 4 + second % 3)).growths().is_empty(), "noise");
        assert_eq!(series(|second| held(10_000 + second * 60, 12, 4)).growths().len(), 1);
        assert_eq!(series(|second| held(10_000, 12 + second / 4, 4 + second / 4)).growths().len(), 2);
    }
}
