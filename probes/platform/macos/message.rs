//! Messages of a socket with the hop limit that they had left (recvmsg(2) and ip6(4) of macOS).

/// `struct cmsghdr` of <sys/socket.h>: length with this header, level and type, each of four bytes; data and the next header are at multiples of four.
const HEADER: usize = 12;
const ALIGNMENT: usize = 4;
/// `IPPROTO_IPV6` and `IPV6_HOPLIMIT` of <netinet6/in6.h>.
const HOP_LIMIT: (u32, u32) = (41, 47);

/// The hop limit among control messages.
fn hop_limit(mut control: &[u8]) -> Option<u8> {
    loop {
        let number = |at: usize| Some(u32::from_ne_bytes(control.get(at..at + 4)?.try_into().ok()?));
        let length = usize::try_from(number(0)?).ok().filter(|length| *length >= HEADER)?;
        if (number(4)?, number(8)?) == HOP_LIMIT && length >= HEADER + 4 {
            return u8::try_from(number(HEADER)?).ok();
        }
        control = control.get(length.next_multiple_of(ALIGNMENT)..)?;
    }
}

/// Takes the next message without waiting; none where there is none.
#[cfg(target_os = "macos")]
pub(crate) fn receive_message(socket: &socket2::Socket, buffer: &mut [u8]) -> Option<crate::platform::trace_socket::Arrival> {
    use crate::platform::trace_socket::{Arrival, What};
    use nix::libc;
    use socket2::SockAddr;
    use std::os::fd::AsRawFd;

    /// Room for a few control messages, aligned as their headers are.
    const CONTROL_WORDS: usize = 32;
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u32; CONTROL_WORDS];
    let room = libc::socklen_t::try_from(size_of_val(&control)).ok()?;
    #[expect(unsafe_code, reason = "nix knows no hop limits of macOS")]
    // SAFETY: the structure is of integers and pointers, for which zero is a value; it points at `slice`, `control` and the address, which outlive
    // the call, with their true lengths; the kernel writes an address of the length that it states.
    let (result, filled) = unsafe {
        let mut filled = 0;
        let result = SockAddr::try_init(|name, name_length| {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_name = name.cast();
            header.msg_namelen = *name_length;
            header.msg_iov = &raw mut slice;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = room;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT);
            *name_length = header.msg_namelen;
            filled = header.msg_controllen;
            usize::try_from(length).map_err(|_| std::io::Error::last_os_error())
        });
        (result, filled)
    };
    let (length, from) = result.ok()?;
    let control: Vec<u8> = control.into_iter().flat_map(u32::to_ne_bytes).take(usize::try_from(filled).ok()?).collect();
    Some(Arrival { length, peer: from.as_socket(), stamp_ns: None, ttl: hop_limit(&control), what: What::Packet })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + data.len()).unwrap();
        let mut bytes: Vec<u8> = [length, level, kind].into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    #[test]
    fn the_hop_limit_is_found_behind_an_entry_of_an_odd_length() {
        let limit = entry(41, 47, &57_u32.to_ne_bytes());
        assert_eq!(hop_limit(&limit), Some(57));
        assert_eq!(hop_limit(&[entry(0, 24, &[64]), limit.clone()].concat()), Some(57));
        assert_eq!(hop_limit(&entry(41, 46, &57_u32.to_ne_bytes())), None, "another option");
        for length in 0..limit.len() {
            assert_eq!(hop_limit(&limit[..length]), None, "{length} bytes");
        }
        assert_eq!(hop_limit(&[0; 64]), None, "an entry without a length would never end");
    }
}
