//! Questions to the kernel's routing tables and packet filter (netlink(7), rtnetlink(7)), as bytes: no `unsafe` and nothing to install.
//!
//! Netlink shows the network namespace of the process; the files under `/sys` show that of whoever mounted them.

use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The kernel answers at once; this only keeps a broken one from holding the check.
const PATIENCE: Duration = Duration::from_secs(1);

/// The kernel fills at most 32 KiB of a dump at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// A host with containers has some thousands of interfaces; what is beyond this many answers is left out.
const MAX_ANSWERS: usize = 20_000;

const HEADER_BYTES: usize = 16;

/// A request under construction.
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// The part of the kernel that is asked (netlink(7), "netlink_family").
    family: i32,
}

/// One answer: its type, and what follows the netlink header.
pub(crate) struct Answer {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// `kind` is an `RTM_GET…`; `header` the structure that rtnetlink(7) puts behind the netlink header; `dump` asks for all there are.
    pub(crate) fn new(kind: u16, dump: bool, header: &[u8]) -> Self {
        let flags = libc::NLM_F_REQUEST | if dump { libc::NLM_F_DUMP } else { 0 };
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(flags).unwrap_or_default().to_ne_bytes());
        bytes.extend_from_slice(header);
        Self { bytes, family: libc::NETLINK_ROUTE }
    }

    /// Asks the packet filter instead of the routing tables.
    pub(crate) fn addressed_to_netfilter(mut self) -> Self {
        self.family = libc::NETLINK_NETFILTER;
        self
    }

    pub(crate) fn attribute(mut self, kind: u16, data: &[u8]) -> Self {
        let length = u16::try_from(data.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Asks, and takes all answers. Blocks for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// The kernel's own answer where it refuses, such as ENETUNREACH for a route that is not there.
    pub(crate) fn answers(mut self) -> io::Result<Vec<Answer>> {
        let length = u32::try_from(self.bytes.len()).map_err(io::Error::other)?;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(self.family)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(&self.bytes)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut answers = Vec::new();
        loop {
            let size = socket.read(&mut buffer)?;
            if read_messages(&buffer[..size], &mut answers)? == Progress::Done || answers.len() >= MAX_ANSWERS {
                return Ok(answers);
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// Takes the messages of one datagram apart (netlink(7), "nlmsghdr").
fn read_messages(mut bytes: &[u8], answers: &mut Vec<Answer>) -> io::Result<Progress> {
    loop {
        let Some(length) =
            number(bytes, 0).map(|length| length as usize).filter(|length| (HEADER_BYTES..=bytes.len()).contains(length))
        else {
            return Ok(Progress::More);
        };
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let flags = i32::from(u16::from_ne_bytes([bytes[6], bytes[7]]));
        let body = &bytes[HEADER_BYTES..length];
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(Progress::Done),
            libc::NLMSG_ERROR => {
                // The negated error number; zero acknowledges.
                return match number(body, 0).map_or(0, |error| error.cast_signed()) {
                    0 => Ok(Progress::Done),
                    error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
                };
            }
            libc::NLMSG_NOOP => {}
            _ => answers.push(Answer { kind, body: body.to_vec() }),
        }
        if flags & libc::NLM_F_MULTI == 0 {
            return Ok(Progress::Done);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

impl Answer {
    /// The attributes behind a header of `header_bytes`.
    pub(crate) fn attributes(&self, header_bytes: usize) -> impl Iterator<Item = (u16, &[u8])> {
        attributes(self.body.get(header_bytes..).unwrap_or_default())
    }
}

/// Type and data of each attribute (rtnetlink(7), "rtattr"), up to the first that does not fit.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
        let kind = u16::from_ne_bytes([*bytes.get(2)?, *bytes.get(3)?]);
        let data = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The upper two bits say how the data is encoded, not what it is (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
        Some((kind & 0x3fff, data))
    })
}

/// The 32-bit number at an offset, in the machine's byte order.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attributes_are_read_past_their_padding() {
        let request = Request::new(0, false, &[]).attribute(3, b"eth0\0").attribute(0x8000 | 18, &[1, 2, 3, 4]);
        let found: Vec<_> = attributes(&request.bytes[HEADER_BYTES..]).collect();
        assert_eq!(found, [(3, b"eth0\0".as_slice()), (18, [1, 2, 3, 4].as_slice())]);
    }

    #[test]
    fn a_refusal_carries_the_kernels_error_number() {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0] = 20;
        bytes[4] = 2;
        bytes.extend_from_slice(&(-101_i32).to_ne_bytes());
        let error = read_messages(&bytes, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_run_on(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut answers = Vec::new();
            let _ = read_messages(&bytes, &mut answers);
            prop_assert!(answers.len() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
