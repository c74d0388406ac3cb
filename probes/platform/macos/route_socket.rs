//! Questions to the routing table and its answers as bytes (route(4) of macOS): no `unsafe`, and no right is needed to ask.

use netsonde_contract::observation::Route;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `rt_msghdr` (net/route.h): length, version, type, index, flags, which addresses follow, process, sequence, error, use, and measures of the route.
const HEADER: usize = 92;
const VERSION: u8 = 5;
const GET: u8 = 4;
/// Where the header's fields stand.
const FLAGS: usize = 8;
const FOLLOWING: usize = 12;
const PROCESS: usize = 16;
const SEQUENCE: usize = 20;
const ERROR: usize = 24;

const BY_GATEWAY: u32 = 0x2;
/// The addresses that may follow, lowest bit first; others than these are passed over.
const DESTINATION: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const MASK: u32 = 0x4;
const INTERFACE: u32 = 0x10;
const SOURCE: u32 = 0x20;

const INET: u8 = 2;
const INET6: u8 = 30;
const LINK: u8 = 18;
/// An empty `sockaddr_dl`, by which the interface is asked for.
const LINK_BYTES: u8 = 20;

/// "No such process": the table's word for no entry.
const NO_ENTRY: i32 = 3;

/// Asks for the way to an address.
pub(super) fn question(target: IpAddr, process: u32, sequence: u32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[2] = VERSION;
    bytes[3] = GET;
    bytes[FOLLOWING..FOLLOWING + 4].copy_from_slice(&(DESTINATION | INTERFACE).to_ne_bytes());
    bytes[PROCESS..PROCESS + 4].copy_from_slice(&process.to_ne_bytes());
    bytes[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_ne_bytes());
    match target {
        IpAddr::V4(v4) => {
            bytes.extend([16, INET, 0, 0]);
            bytes.extend(v4.octets());
            bytes.extend([0; 8]);
        }
        IpAddr::V6(v6) => {
            bytes.extend([28, INET6, 0, 0, 0, 0, 0, 0]);
            bytes.extend(v6.octets());
            bytes.extend([0; 4]);
        }
    }
    bytes.extend([LINK_BYTES, LINK]);
    bytes.resize(bytes.len() + usize::from(LINK_BYTES) - 2, 0);
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    bytes[..2].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// The answer to that question; nothing where the message is about something else, which everybody who listens hears.
///
/// # Errors
/// Where there is no way.
pub(super) fn answer(bytes: &[u8], target: IpAddr, process: u32, sequence: u32) -> Option<io::Result<Route>> {
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let is_ours = bytes.get(2..4) == Some(&[VERSION, GET]) && number(PROCESS)? == process && number(SEQUENCE)? == sequence;
    let (error, following, flags) = (number(ERROR)?.cast_signed(), number(FOLLOWING)?, number(FLAGS)?);
    if !is_ours {
        return None;
    }
    if error != 0 {
        return Some(Err(without_entry(io::Error::from_raw_os_error(error))));
    }
    let mut route = Route::to(target);
    let (mut entry, mut mask) = (None, None);
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    for bit in (0..u32::BITS).map(|place| 1 << place).filter(|bit| following & bit != 0) {
        let length = usize::from(*rest.first()?);
        let address = rest.get(..length)?;
        match bit {
            DESTINATION => entry = internet(address),
            GATEWAY if flags & BY_GATEWAY != 0 => route.gateway = internet(address),
            MASK => mask = Some(address),
            INTERFACE => route.interface = interface(address),
            SOURCE => route.source = internet(address),
            _ => {}
        }
        // Each takes four bytes at least, and begins at a multiple of four.
        rest = rest.get(length.max(1).next_multiple_of(4)..).unwrap_or_default();
    }
    route.matched = entry.map(|entry| format!("{entry}/{}", prefix_length(mask, entry)));
    Some(Ok(route))
}

fn without_entry(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(NO_ENTRY) { io::ErrorKind::NetworkUnreachable.into() } else { error }
}

/// An address of either family. The kernel writes the link of a link-local one within it, in the second group.
fn internet(address: &[u8]) -> Option<IpAddr> {
    match *address.get(1)? {
        INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(address.get(4..8)?).ok()?).into()),
        INET6 => {
            let mut v6 = Ipv6Addr::from(<[u8; 16]>::try_from(address.get(8..24)?).ok()?);
            if v6.is_unicast_link_local() {
                let [first, _, others @ ..] = v6.segments();
                let [a, b, c, d, e, f] = others;
                v6 = Ipv6Addr::new(first, 0, a, b, c, d, e, f);
            }
            Some(v6.into())
        }
        _ => None,
    }
}

/// The name within a `sockaddr_dl`: family, index, type, lengths of name, address and selector, and then the name.
fn interface(address: &[u8]) -> Option<String> {
    let length = usize::from(*address.get(5)?);
    let name = address.get(8..8 + length).filter(|name| address[1] == LINK && !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A mask ends where its last byte that is not zero does, whatever its family says. An entry without one is for one address.
fn prefix_length(mask: Option<&[u8]>, entry: IpAddr) -> u32 {
    let (bits, begin) = if entry.is_ipv4() { (32, 4) } else { (128, 8) };
    mask.map_or(bits, |mask| mask.iter().skip(begin).map(|byte| byte.count_ones()).sum::<u32>().min(bits))
}

#[cfg(target_os = "macos")]
mod asking {
    use super::{answer, question, without_entry};
    use netsonde_contract::observation::Route;
    use nix::libc;
    use socket2::{Domain, Socket, Type};
    use std::io::{self, Read, Write};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    /// The kernel answers at once; this only keeps a broken one from holding the check.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// Messages about others' questions that are passed over.
    const MAX_STRAY: usize = 100;
    const BUFFER_BYTES: usize = 2_048;

    /// The route that the system takes to an address. Nothing is sent.
    ///
    /// # Errors
    /// `NetworkUnreachable` where there is none, else the system's own.
    pub(crate) fn route(target: IpAddr) -> io::Result<Route> {
        static SEQUENCE: AtomicU32 = AtomicU32::new(1);
        let (process, sequence) = (std::process::id(), SEQUENCE.fetch_add(1, Ordering::Relaxed));
        let mut socket = Socket::new(Domain::from(libc::AF_ROUTE), Type::RAW, None)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(&question(target, process, sequence)).map_err(without_entry)?;
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..MAX_STRAY {
            let size = socket.read(&mut buffer)?;
            if let Some(found) = answer(&buffer[..size], target, process, sequence) {
                return found;
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The way of each family to everything that no other entry is for.
    pub(crate) fn default_routes() -> Vec<Route> {
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        any.into_iter().filter_map(|target| route(target).ok()).filter(|route| route.gateway.is_some()).collect()
    }
}

#[cfg(target_os = "macos")]
pub(crate) use asking::{default_routes, route};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROCESS_ID: u32 = 4_711;

    /// What the kernel answers: the question's header with flags, and these addresses.
    fn told(flags: u32, error: i32, following: u32, addresses: &[&[u8]]) -> Vec<u8> {
        let mut bytes = question(Ipv4Addr::LOCALHOST.into(), PROCESS_ID, 7);
        bytes.truncate(HEADER);
        bytes[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_ne_bytes());
        bytes[ERROR..ERROR + 4].copy_from_slice(&error.to_ne_bytes());
        bytes[FOLLOWING..FOLLOWING + 4].copy_from_slice(&following.to_ne_bytes());
        for address in addresses {
            bytes.extend_from_slice(address);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<io::Result<Route>> {
        answer(bytes, "192.0.2.1".parse().unwrap(), PROCESS_ID, 7)
    }

    #[test]
    fn a_question_names_the_target_and_asks_for_the_interface() {
        let bytes = question("192.0.2.1".parse().unwrap(), PROCESS_ID, 7);
        assert_eq!((bytes.len(), usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]))), (HEADER + 16 + 20, bytes.len()));
        assert_eq!(bytes[HEADER..HEADER + 8], [16, INET, 0, 0, 192, 0, 2, 1]);
        assert_eq!(question("2001:db8::1".parse().unwrap(), PROCESS_ID, 7).len(), HEADER + 28 + 20);
    }

    #[test]
    fn gateway_interface_and_source_are_read_behind_a_mask_that_is_cut_short() {
        let everything: [u8; 16] = [16, INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let gateway = [16, INET, 0, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let link = [20, LINK, 4, 0, 6, 3, 6, 0, b'e', b'n', b'0', 2, 0, 0, 0, 0, 0, 1, 0, 0];
        let own = [16, INET, 0, 0, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
        let following = DESTINATION | GATEWAY | MASK | INTERFACE | SOURCE;
        let route = read(&told(BY_GATEWAY, 0, following, &[&everything, &gateway, &[0, 0, 0, 0], &link, &own])).unwrap().unwrap();
        assert_eq!((route.gateway, route.source), (Some("10.0.0.1".parse().unwrap()), Some("10.0.0.7".parse().unwrap())));
        assert_eq!((route.interface.as_deref(), route.matched.as_deref()), (Some("en0"), Some("0.0.0.0/0")));
        // On the link the second address is the interface's own hardware.
        let network = [16, INET, 0, 0, 192, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let route =
            read(&told(0, 0, DESTINATION | GATEWAY | MASK, &[&network, &link, &[7, 0, 0, 0, 255, 255, 255]])).unwrap().unwrap();
        assert_eq!((route.gateway, route.matched.as_deref()), (None, Some("192.0.2.0/24")));
    }

    #[test]
    fn the_link_within_a_link_local_gateway_is_no_part_of_its_address() {
        let everything = [28, INET6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut gateway = everything;
        gateway[8..12].copy_from_slice(&[0xfe, 0x80, 0, 4]);
        gateway[23] = 1;
        let route = read(&told(BY_GATEWAY, 0, DESTINATION | GATEWAY, &[&everything, &gateway])).unwrap().unwrap();
        assert_eq!(route.gateway, Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn no_entry_is_no_route_and_others_questions_are_passed_over() {
        let error = read(&told(0, NO_ENTRY, 0, &[])).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        assert!(answer(&told(0, 0, 0, &[]), Ipv4Addr::LOCALHOST.into(), PROCESS_ID, 8).is_none());
        assert!(answer(&told(0, 0, 0, &[]), Ipv4Addr::LOCALHOST.into(), 1, 7).is_none());
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(flags in any::<u32>(), following in any::<u32>(), rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&told(flags, 0, following, &[&rest]));
            let _ = read(&rest);
        }
    }
}
