use super::read;
use netsonde_contract::observation::{Capacity, Conntrack, Descriptors};

const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONNTRACK_MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const CONNTRACK_STATISTICS: &str = "/proc/self/net/stat/nf_conntrack";
const OWN_DESCRIPTORS: &str = "/proc/self/fd";
const OWN_LIMITS: &str = "/proc/self/limits";
const SYSTEM_DESCRIPTORS: &str = "/proc/sys/fs/file-nr";

/// Descriptors of this process that are counted; its limit is far below.
const MAX_DESCRIPTORS: usize = 1 << 20;

/// What is used of the machine's bounds; nothing where the system does not tell. Blocks on files.
pub(super) fn read() -> Option<Capacity> {
    let statistics = read::text(CONNTRACK_STATISTICS).unwrap_or_default();
    let conntrack = read::number(CONNTRACK_COUNT).zip(read::number(CONNTRACK_MAX)).map(|(count, max)| Conntrack {
        count,
        max,
        dropped: column(&statistics, "drop"),
        dropped_early: column(&statistics, "early_drop"),
        insert_failed: column(&statistics, "insert_failed"),
    });
    let used = std::fs::read_dir(OWN_DESCRIPTORS).ok().map(|entries| entries.take(MAX_DESCRIPTORS).count() as u64);
    let limit = read::text(OWN_LIMITS).ok().and_then(|text| soft_limit(&text));
    let found = Capacity {
        conntrack,
        own_descriptors: used.zip(limit).map(|(used, limit)| Descriptors { used, limit }),
        system_descriptors: read::text(SYSTEM_DESCRIPTORS).ok().and_then(|text| system_descriptors(&text)),
    };
    (found != Capacity::default()).then_some(found)
}

/// The sum over all processors of one column, in hexadecimal below its name.
pub(super) fn column(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    let values = lines.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok());
    Some(values.fold(0, u64::saturating_add))
}

/// `Max open files` of proc(5), `/proc/[pid]/limits`: the soft limit stands first.
pub(super) fn soft_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Allocated, free and the most there may be.
pub(super) fn system_descriptors(text: &str) -> Option<Descriptors> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let (allocated, free, limit) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Descriptors { used: allocated.saturating_sub(free), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_all_processors_are_added_up_by_the_columns_name() {
        let text = "entries  clashres found new drop early_drop\n00000005 00000000 00000000 00000000 0000000a 00000001\n00000005 00000000 00000000 00000000 00000001 00000000\n";
        assert_eq!((column(text, "drop"), column(text, "early_drop"), column(text, "missing")), (Some(11), Some(1), None));
    }

    #[test]
    fn limits_are_read_past_their_headings() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(text), Some(1_024));
        assert_eq!(
            system_descriptors("1984\t0\t9223372036854775807\n"),
            Some(Descriptors { used: 1_984, limit: i64::MAX as u64 })
        );
        assert_eq!(system_descriptors("none"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_descriptors_below_its_limit() {
        let own = read().unwrap().own_descriptors.unwrap();
        assert!(own.used >= 3 && own.used < own.limit, "{own:?}");
    }
}
