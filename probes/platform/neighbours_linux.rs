use super::hardware_address;
use super::host_linux::address;
use super::netlink::{Request, number};
use super::routes_linux::interface_name;
use netsonde_contract::observation::Neighbour;
use nix::libc;
use std::io;

/// The size of `ndmsg` (rtnetlink(7)).
const HEADER_BYTES: usize = 12;
/// `NDA_DST` and `NDA_LLADDR` (linux/neighbour.h).
const ADDRESS: u16 = 1;
const HARDWARE_ADDRESS: u16 = 2;

/// The bits of a neighbour's state (linux/neighbour.h). Entries that need no resolution, as multicast has, are left out.
const STATES: [(u16, &str); 7] = [
    (0x01, "incomplete"),
    (0x02, "reachable"),
    (0x04, "stale"),
    (0x08, "delay"),
    (0x10, "probe"),
    (0x20, "failed"),
    (0x80, "permanent"),
];

/// The neighbours of all links, in the kernel's order.
///
/// # Errors
/// The kernel's own, where it does not answer.
pub(crate) fn neighbours() -> io::Result<Vec<Neighbour>> {
    let answers = Request::new(libc::RTM_GETNEIGH, true, &[0; HEADER_BYTES]).answers()?;
    let entries = answers.iter().filter(|answer| answer.kind == libc::RTM_NEWNEIGH).filter_map(|answer| {
        let bits = answer.body.get(8..10)?.try_into().ok().map(u16::from_ne_bytes)?;
        let (_, state) = STATES.iter().find(|(bit, _)| bits & bit != 0)?;
        let find = |wanted| answer.attributes(HEADER_BYTES).find(|(kind, _)| *kind == wanted).map(|(_, data)| data);
        Some(Neighbour {
            address: find(ADDRESS).and_then(address)?,
            interface: interface_name(number(&answer.body, 4)?),
            state: (*state).to_owned(),
            hardware_address: find(HARDWARE_ADDRESS).and_then(hardware_address::text),
            gateway: false,
        })
    });
    Ok(entries.collect())
}
