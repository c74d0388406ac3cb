//! The parser of the packets that answer SYNs.

use super::answer;
use crate::clock::Clock;
use std::net::{Ipv6Addr, SocketAddr};

/// Packets of both families; seeds come from these addresses.
pub(crate) fn answer(bytes: &[u8]) {
    for remote in [SocketAddr::from(([192, 0, 2, 1], 443)), SocketAddr::from((Ipv6Addr::LOCALHOST, 443))] {
        answer::fuzz(bytes, remote, Clock::start());
    }
}
