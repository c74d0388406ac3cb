//! Speed, duplex and offloads of network cards (linux/ethtool.h). Unlike the files under `/sys`, these questions are answered for the
//! network namespace of the process.

use netsonde_contract::observation::Interface;
use nix::libc;
use socket2::{Domain, Socket, Type};
use std::os::fd::AsRawFd;

const GET_SETTINGS: u32 = 0x1;
const GET_FLAGS: u32 = 0x25;
/// Large receive offload among the flags.
const LARGE_RECEIVE: u32 = 1 << 15;
/// Questions with a plain yes or no.
const OFFLOADS: [(u32, &str); 6] =
    [(0x14, "rx_checksum"), (0x16, "tx_checksum"), (0x18, "scatter_gather"), (0x1e, "tso"), (0x23, "gso"), (0x2b, "gro")];

/// `struct ethtool_cmd` has 44 bytes, as words.
const SETTINGS_WORDS: usize = 11;
/// Where it has the lower half of the speed with the duplex behind it, and the upper half.
const SPEED_LOW: usize = 3;
const SPEED_HIGH: usize = 7;
const FULL_DUPLEX: u8 = 1;

/// Adds what the cards say; what they do not say stays unknown.
pub(super) fn fill_in(interfaces: &mut [Interface]) {
    let Ok(socket) = Socket::new(Domain::IPV4, Type::DGRAM, None) else { return };
    for interface in interfaces.iter_mut().filter(|interface| !interface.loopback) {
        if let Some(words) = ask(&socket, &interface.name, GET_SETTINGS) {
            (interface.speed_mbit, interface.full_duplex) = speed_and_duplex(&words);
        }
        let is_on = |question: u32| ask(&socket, &interface.name, question).is_some_and(|words| words[1] != 0);
        interface.offloads =
            OFFLOADS.iter().filter(|(question, _)| is_on(*question)).map(|(_, name)| (*name).to_owned()).collect();
        if ask(&socket, &interface.name, GET_FLAGS).is_some_and(|words| words[1] & LARGE_RECEIVE != 0) {
            interface.offloads.push("lro".to_owned());
        }
    }
}

/// A link that is down has a speed of all ones and a duplex of all ones.
fn speed_and_duplex(words: &[u32; SETTINGS_WORDS]) -> (Option<u32>, Option<bool>) {
    let low = words[SPEED_LOW].to_ne_bytes();
    let high = words[SPEED_HIGH].to_ne_bytes();
    let speed = u32::from(u16::from_ne_bytes([low[0], low[1]])) | u32::from(u16::from_ne_bytes([high[0], high[1]])) << 16;
    let is_known = speed != 0 && speed != u32::MAX && speed != u32::from(u16::MAX);
    (is_known.then_some(speed), (low[2] <= FULL_DUPLEX).then_some(low[2] == FULL_DUPLEX).filter(|_| is_known))
}

/// One question about one interface; none where the driver has no answer.
fn ask(socket: &Socket, name: &str, question: u32) -> Option<[u32; SETTINGS_WORDS]> {
    let mut words = [0_u32; SETTINGS_WORDS];
    words[0] = question;
    if name.len() >= libc::IFNAMSIZ {
        return None;
    }
    #[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
    // SAFETY: all-zero bytes are a valid `ifreq`; its name keeps a final zero byte, and its pointer leads to the words, which outlive the
    // call and are as long as the longest of these answers.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request)
    };
    (result == 0).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_put_together_from_its_halves_and_an_unplugged_link_has_none() {
        let mut words = [0_u32; SETTINGS_WORDS];
        let [low, high] = 100_000_u32.to_ne_bytes().chunks_exact(2).map(|half| [half[0], half[1]]).collect::<Vec<_>>()[..] else {
            panic!("two halves")
        };
        let (low, high) = if cfg!(target_endian = "little") { (low, high) } else { (high, low) };
        words[SPEED_LOW] = u32::from_ne_bytes([low[0], low[1], FULL_DUPLEX, 0]);
        words[SPEED_HIGH] = u32::from_ne_bytes([high[0], high[1], 0, 0]);
        assert_eq!(speed_and_duplex(&words), (Some(100_000), Some(true)));
        words[SPEED_LOW] = u32::MAX;
        words[SPEED_HIGH] = u32::from_ne_bytes([0xff, 0xff, 0, 0]);
        assert_eq!(speed_and_duplex(&words), (None, None));
    }

    #[test]
    fn a_name_that_does_not_exist_or_fit_has_no_answer() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        assert_eq!(ask(&socket, "ns-none", GET_SETTINGS), None);
        assert_eq!(ask(&socket, &"n".repeat(40), GET_SETTINGS), None);
    }
}
