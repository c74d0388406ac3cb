use super::read;
use netsonde_contract::observation::{Pressure, SystemLoad};

const AVERAGE: &str = "/proc/loadavg";
const PROCESSORS: &str = "/proc/stat";
const MEMORY: &str = "/proc/meminfo";

/// How busy the machine is; nothing where the system does not tell. Blocks on files.
pub(super) fn read() -> Option<SystemLoad> {
    #[cfg(windows)]
    if let Some(found) = crate::platform::windows::load::load() {
        return Some(found);
    }
    let average = read::text(AVERAGE).ok();
    let memory = read::text(MEMORY).unwrap_or_default();
    let processors = read::text(PROCESSORS).map_or(0, |text| processors(&text));
    let pressure = ["cpu", "memory", "io"].into_iter().filter_map(|of| {
        let text = read::text(&format!("/proc/pressure/{of}")).ok()?;
        pressure(of, &text)
    });
    let swap = bytes(&memory, "SwapTotal").zip(bytes(&memory, "SwapFree"));
    let found = SystemLoad {
        processors,
        average: average.as_deref().and_then(averages),
        runnable: average.as_deref().and_then(runnable),
        pressure: pressure.collect(),
        memory_total_bytes: bytes(&memory, "MemTotal"),
        memory_available_bytes: bytes(&memory, "MemAvailable"),
        swap_used_bytes: swap.map(|(total, free)| total.saturating_sub(free)),
    };
    (found != SystemLoad::default()).then_some(found)
}

pub(super) fn averages(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let three = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
    three.iter().all(|number| number.is_finite()).then_some(three)
}

/// `2/345`: of 345 processes 2 run or wait for a processor.
pub(super) fn runnable(text: &str) -> Option<u32> {
    text.split_whitespace().nth(3)?.split('/').next()?.parse().ok()
}

/// A line for each processor, beside the one for all.
pub(super) fn processors(text: &str) -> u32 {
    let lines =
        text.lines().filter(|line| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())));
    u32::try_from(lines.count()).unwrap_or(u32::MAX)
}

pub(super) fn pressure(of: &str, text: &str) -> Option<Pressure> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = |name: &str| {
        let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
        found.parse::<f64>().ok().filter(|value| value.is_finite())
    };
    Some(Pressure { of: of.to_owned(), some_10_s: value("avg10")?, some_60_s: value("avg60")? })
}

/// Lines such as `MemTotal:  4027392 kB`.
pub(super) fn bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_pressure_and_memory_are_read_by_name() {
        assert_eq!(averages("2.37 1.15 1.31 3/100 21671\n"), Some([2.37, 1.15, 1.31]));
        assert_eq!((runnable("2.37 1.15 1.31 3/100 21671\n"), averages("NaN 1 1")), (Some(3), None));
        let found = pressure("cpu", "some avg10=28.18 avg60=31.67 avg300=11.46 total=3503126953\nfull avg10=0.00\n").unwrap();
        assert_eq!((found.some_10_s, found.some_60_s), (28.18, 31.67));
        assert_eq!(bytes("MemTotal:    2 kB\nMemAvailable: 1 kB\n", "MemAvailable"), Some(1_024));
        assert_eq!(processors("cpu  1 2\ncpu0 1 2\ncpu1 1 2\nintr 5\n"), 2);
    }
}
