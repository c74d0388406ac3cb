//! What Windows says of an echo request (`IP_STATUS` of <ipexport.h>) in the numbers of ICMP (RFC 792, RFC 4443). Pure.
//!
//! The interface gives a word of its own for each kind of ICMP error, which stands for one type and code at least: where several codes
//! share a word, the most common is given.

use netsonde_contract::failure::{Failure, FailureCode, IcmpError, Step};
use std::net::IpAddr;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reply,
    Error(IcmpError),
    Silence,
    /// It did not leave this machine.
    Unsent(Failure),
}

const SUCCESS: u32 = 0;
const NET_UNREACHABLE: u32 = 11_002;
const HOST_UNREACHABLE: u32 = 11_003;
const NO_RESOURCES: u32 = 11_006;
const PACKET_TOO_BIG: u32 = 11_009;
const TIMED_OUT: u32 = 11_010;

/// Status, type and code of ICMP.
const V4: [(u32, u8, u8); 10] = [
    (NET_UNREACHABLE, 3, 0),
    (HOST_UNREACHABLE, 3, 1),
    (11_004, 3, 2),
    (11_005, 3, 3),
    (PACKET_TOO_BIG, 3, 4),
    (11_012, 3, 5),
    (11_013, 11, 0),
    (11_014, 11, 1),
    (11_015, 12, 0),
    (11_016, 4, 0),
];

/// Status, type and code of ICMPv6, which reads some of the words in another sense.
const V6: [(u32, u8, u8); 12] = [
    (NET_UNREACHABLE, 1, 0),
    (HOST_UNREACHABLE, 1, 3),
    (11_004, 1, 1),
    (11_005, 1, 4),
    (PACKET_TOO_BIG, 2, 0),
    (11_013, 3, 0),
    (11_014, 3, 1),
    (11_015, 4, 0),
    (11_040, 1, 3),
    (11_041, 3, 0),
    (11_043, 4, 1),
    (11_045, 1, 2),
];

/// The status, of what `from` sent; unspecified where nobody sent anything.
pub(crate) fn verdict(status: u32, from: IpAddr) -> Verdict {
    match status {
        SUCCESS => return Verdict::Reply,
        TIMED_OUT => return Verdict::Silence,
        _ => {}
    }
    let of_icmp = if from.is_ipv4() { V4.iter() } else { V6.iter() }.find(|(number, ..)| *number == status);
    match of_icmp {
        Some((_, kind, code)) if !from.is_unspecified() => {
            Verdict::Error(IcmpError { offender: from, kind: *kind, code: *code, mtu: None })
        }
        _ => Verdict::Unsent(unsent(status)),
    }
}

fn unsent(status: u32) -> Failure {
    let (code, text) = match status {
        NET_UNREACHABLE => (FailureCode::NetworkUnreachable, "this machine has no route to it"),
        HOST_UNREACHABLE => (FailureCode::HostUnreachable, "nothing on the link has the next hop's address"),
        PACKET_TOO_BIG => (FailureCode::MessageTooLong, "the request is larger than the interface takes whole"),
        NO_RESOURCES => (FailureCode::BuffersExhausted, "the system has no memory left for it"),
        _ => (FailureCode::Other(format!("ip_status_{status}")), "the system could not send it"),
    };
    let mut failure = Failure::new(code, Step::Send, format!("{text} (IP_STATUS {status})"));
    failure.os_error = i32::try_from(status).ok();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::failure::IcmpMeaning;

    fn from(address: &str, status: u32) -> Verdict {
        verdict(status, address.parse().unwrap())
    }

    #[test]
    fn a_routers_word_means_the_same_in_both_families() {
        for (status, meaning) in [
            (11_002, IcmpMeaning::NetworkUnreachable),
            (11_003, IcmpMeaning::HostUnreachable),
            (11_005, IcmpMeaning::PortUnreachable),
            (11_009, IcmpMeaning::PacketTooBig),
            (11_013, IcmpMeaning::TimeExceeded),
            (11_014, IcmpMeaning::TimeExceeded),
        ] {
            for router in ["192.0.2.1", "2001:db8::1"] {
                let Verdict::Error(error) = from(router, status) else { panic!("{status} of {router}") };
                assert_eq!((error.meaning(), error.offender.to_string().as_str()), (meaning, router));
            }
        }
    }

    #[test]
    fn what_nobody_sent_is_this_machines_own_failure_and_no_routers() {
        for (status, code) in [
            (11_002, FailureCode::NetworkUnreachable),
            (11_009, FailureCode::MessageTooLong),
            (11_050, FailureCode::Other("ip_status_11050".into())),
        ] {
            let Verdict::Unsent(failure) = from("0.0.0.0", status) else { panic!("{status}") };
            assert_eq!((failure.code, failure.os_error), (code, Some(status.cast_signed())));
        }
    }

    #[test]
    fn silence_and_replies_are_neither() {
        assert_eq!(from("0.0.0.0", 11_010), Verdict::Silence);
        assert_eq!(from("192.0.2.9", 0), Verdict::Reply);
    }
}
