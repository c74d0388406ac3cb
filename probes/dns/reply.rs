//! A reply as a fact: everything that the server said, in words and numbers.

use super::asking::Received;
use super::extended_error::extended_errors;
use super::options::{CLIENT_COOKIE_BYTES, edns};
use super::record::{MAX_RECORDS, records};
use hickory_proto::op::Message;
use netsonde_contract::observation::{DnsFlags, DnsReply};
use std::net::{IpAddr, SocketAddr};

/// The reply that was taken.
pub(super) fn of(received: &Received, from: SocketAddr) -> DnsReply {
    DnsReply { ip_ttl: received.ip_ttl, ..reply(&received.message, received.size, from, received.cookie.as_ref()) }
}

/// `cookie` is the client's part of the cookie that the question had.
pub(super) fn reply(message: &Message, size: usize, from: SocketAddr, cookie: Option<&[u8; CLIENT_COOKIE_BYTES]>) -> DnsReply {
    let rcode_number = u16::from(message.response_code);
    DnsReply {
        id: message.id,
        flags: DnsFlags {
            aa: message.authoritative,
            tc: message.truncation,
            rd: message.recursion_desired,
            ra: message.recursion_available,
            ad: message.authentic_data,
            cd: message.checking_disabled,
        },
        rcode: rcode(rcode_number),
        rcode_number,
        edns: message.edns.as_ref().map(|parsed| edns(parsed, cookie)),
        extended_errors: message.edns.as_ref().map(extended_errors).unwrap_or_default(),
        answers: records(&message.answers),
        authority: records(&message.authorities),
        additional: records(&message.additionals),
        size_bytes: u32::try_from(size).unwrap_or(u32::MAX),
        from,
        ip_ttl: None,
    }
}

/// The addresses among the answers, in their order, each once.
pub(super) fn addresses(message: &Message) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in message.answers.iter().filter_map(|record| record.data.ip_addr()) {
        if !addresses.contains(&address) && addresses.len() < MAX_RECORDS {
            addresses.push(address);
        }
    }
    addresses
}

/// The registered name of a response code ("DNS RCODEs" of IANA's DNS parameters).
pub(super) fn rcode(number: u16) -> String {
    let name = match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Edns as Offered, OpCode, ResponseCode};

    #[test]
    fn the_extended_bits_are_part_of_the_response_code() {
        let mut sent = Message::response(7, OpCode::Query);
        sent.metadata.response_code = ResponseCode::BADVERS;
        sent.set_edns(Offered::new());
        let bytes = sent.to_vec().unwrap();
        let reply = reply(&Message::from_vec(&bytes).unwrap(), bytes.len(), "192.0.2.53:53".parse().unwrap(), None);
        assert_eq!((reply.rcode.as_str(), reply.rcode_number), ("BADVERS", 16));
    }

    #[test]
    fn a_response_code_without_a_name_keeps_its_number() {
        assert_eq!(rcode(11), "DSOTYPENI");
        assert_eq!(rcode(3000), "RCODE3000");
    }
}
