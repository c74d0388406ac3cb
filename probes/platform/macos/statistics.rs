//! What the kernel counts: structures of 32-bit numbers behind `net.inet.*.stats` (netinet/tcp_var.h, udp_var.h, ip_var.h of XNU), under the names that
//! Linux gives to the same.

use netsonde_contract::observation::Counter;

/// A counter's name, and the place of its number in the structure.
type Places = &'static [(&'static str, usize)];

const GROUPS: [(&str, Places); 3] = [
    (
        "net.inet.ip.stats",
        &[
            ("Ip.InReceives", 0),
            ("Ip.ReasmFails", 8),
            ("Ip.OutRequests", 15),
            ("Ip.OutDiscards", 16),
            ("Ip.FragFails", 20),
            ("Ip.OutNoRoutes", 22),
        ],
    ),
    (
        "net.inet.tcp.stats",
        &[
            ("Tcp.ActiveOpens", 0),
            ("Tcp.AttemptFails", 4),
            ("TcpExt.TCPTimeouts", 10),
            ("Tcp.OutSegs", 15),
            ("Tcp.RetransSegs", 18),
            ("Tcp.InSegs", 25),
            ("Tcp.InCsumErrors", 28),
        ],
    ),
    (
        "net.inet.udp.stats",
        &[("Udp.InDatagrams", 0), ("Udp.InCsumErrors", 2), ("Udp.NoPorts", 4), ("Udp.RcvbufErrors", 6), ("Udp.OutDatagrams", 9)],
    ),
];

/// Those that are not zero; none of what is beyond the end of the structure.
fn read(structure: &[u8], places: Places) -> Vec<Counter> {
    let number = |place: usize| structure.get(place * 4..place * 4 + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let counted = places.iter().filter_map(|(name, place)| Some((name, number(*place).filter(|value| *value > 0)?)));
    counted.map(|(name, value)| Counter { name: (*name).to_owned(), value: value.into() }).collect()
}

/// All that are counted now.
#[cfg(target_os = "macos")]
pub(crate) fn counters() -> Vec<Counter> {
    GROUPS.iter().flat_map(|(name, places)| read(&structure(name), places)).collect()
}

/// The structure behind a name; empty where there is none (sysctlbyname(3)).
#[cfg(target_os = "macos")]
fn structure(name: &str) -> Vec<u8> {
    /// Larger than each of them.
    const MAX_BYTES: usize = 4_096;
    let Ok(name) = std::ffi::CString::new(name) else { return Vec::new() };
    let (mut bytes, mut length) = (vec![0_u8; MAX_BYTES], MAX_BYTES);
    #[expect(unsafe_code, reason = "sysctlbyname has no safe wrapper")]
    // SAFETY: the name ends in a zero byte, the kernel writes at most `length` bytes, all within `bytes`, and nothing is set.
    let result =
        unsafe { nix::libc::sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &raw mut length, std::ptr::null_mut(), 0) };
    bytes.truncate(if result == 0 { length } else { 0 });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_at_their_places_and_none_behind_the_end() {
        let structure: Vec<u8> = (0..20_u32).flat_map(u32::to_ne_bytes).collect();
        let found = read(&structure, GROUPS[1].1);
        let found: Vec<_> = found.iter().map(|counter| (counter.name.as_str(), counter.value)).collect();
        assert_eq!(found, [("Tcp.AttemptFails", 4), ("TcpExt.TCPTimeouts", 10), ("Tcp.OutSegs", 15), ("Tcp.RetransSegs", 18)]);
    }

    #[test]
    fn every_counter_has_a_name_and_a_place_of_its_own() {
        for (group, places) in GROUPS {
            for (index, (name, place)) in places.iter().enumerate() {
                assert!(places[..index].iter().all(|(other, before)| other != name && before < place), "{group}: {name}");
            }
        }
    }
}
