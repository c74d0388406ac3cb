use super::client::Client;
use crate::icmp::series::{Answer, Asking, Request};
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, Step};
use netsonde_contract::observation::EchoReply;
use std::net::IpAddr;
use surge_ping::{IcmpPacket, PingSequence, Pinger, SurgeError};

impl Asking for Client {
    fn name(&self) -> &'static str {
        if self.is_raw() { "raw" } else { "ping" }
    }

    async fn ask(&self, address: IpAddr, request: Request<'_>) -> Answer {
        ping(self.pinger(address).await, request).await
    }

    fn errors(&self) -> Vec<IcmpError> {
        self.queued_errors().collect()
    }
}

/// An ICMP error that came for an earlier request makes one later call fail on a datagram socket; this many in a row are no such
/// accident.
const SEND_TRIES: u32 = 3;

async fn ping(mut pinger: Pinger, request: Request<'_>) -> Answer {
    let Request { sequence: number, payload, timeout, clock } = request;
    pinger.timeout(timeout);
    let mut tries = 1;
    loop {
        let began_us = clock.now_us();
        match pinger.ping(PingSequence(number), payload).await {
            // The library's own RTT begins only after the packet has left: near targets show a part of it, down to zero.
            Ok((packet, _)) => return answer(&packet, number, clock.now_us().saturating_sub(began_us)),
            Err(SurgeError::Timeout { .. }) => return Answer::Silence,
            Err(SurgeError::IOError(_)) if tries < SEND_TRIES && pinger.ident.is_none() => tries += 1,
            Err(SurgeError::IOError(error)) => return Answer::Unsent(Failure::from_io(&error, Step::Send)),
            Err(error) => return Answer::Unsent(Failure::new(FailureCode::Other("ping".into()), Step::Send, error.to_string())),
        }
    }
}

/// Types 0 (RFC 792) and 129 (RFC 4443) are replies; whatever else the library matched to the request is an error.
fn answer(packet: &IcmpPacket, sequence: u16, rtt_us: u64) -> Answer {
    let (offender, kind, code, ttl) = match packet {
        IcmpPacket::V4(packet) => {
            (IpAddr::V4(packet.get_source()), packet.get_icmp_type().0, packet.get_icmp_code().0, packet.get_ttl())
        }
        // The library does not learn the hop limit of IPv6 and gives 0.
        IcmpPacket::V6(packet) => (IpAddr::V6(packet.get_source()), packet.get_icmpv6_type().0, packet.get_icmpv6_code().0, None),
    };
    match (packet, kind) {
        (IcmpPacket::V4(_), 0) | (IcmpPacket::V6(_), 129) => {
            Answer::Reply(EchoReply { sequence, rtt_us, ttl, ..EchoReply::default() })
        }
        _ => Answer::Error(IcmpError { offender, kind, code, mtu: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::Type;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use surge_ping::{Icmpv4Packet, Icmpv6Packet};

    const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    /// A message as a raw IPv4 socket gives it, with TTL 61 in its header.
    fn on_raw_socket(message: &[u8]) -> IcmpPacket {
        let length = u8::try_from(20 + message.len()).unwrap();
        let header = [0x45, 0, 0, length, 0, 0, 0, 0, 61, 1, 0, 0, 192, 0, 2, 1, 127, 0, 0, 1];
        let packet = [header.as_slice(), message].concat();
        IcmpPacket::V4(Icmpv4Packet::decode(&packet, Type::RAW, HOST, Ipv4Addr::LOCALHOST).unwrap())
    }

    #[test]
    fn the_ttl_is_told_only_where_the_socket_tells_it() {
        let reply = [0, 0, 0, 0, 0x12, 0x34, 0, 3];
        #[cfg(target_os = "linux")]
        let on_ping_socket = Icmpv4Packet::decode(&reply, Type::DGRAM, HOST, Ipv4Addr::LOCALHOST).unwrap();
        let v6 = Icmpv6Packet::decode(&[129, 0, 0, 0, 0x12, 0x34, 0, 3], Ipv6Addr::LOCALHOST).unwrap();
        let cases = [
            (on_raw_socket(&reply), Some(61)),
            #[cfg(target_os = "linux")]
            (IcmpPacket::V4(on_ping_socket), None),
            (IcmpPacket::V6(v6), None),
        ];
        for (packet, expected) in cases {
            let Answer::Reply(reply) = answer(&packet, 3, 70) else { panic!("{packet:?} is a reply") };
            assert_eq!(reply, EchoReply { sequence: 3, rtt_us: 70, ttl: expected, ..EchoReply::default() });
        }
    }

    #[test]
    fn an_icmp_error_is_no_reply() {
        let quoted = [0x45, 0, 0, 28, 0, 0, 0, 0, 1, 1, 0, 0, 127, 0, 0, 1, 192, 0, 2, 9, 8, 0, 0, 0, 0x12, 0x34, 0, 3];
        let packet = on_raw_socket(&[[3, 13, 0, 0, 0, 0, 0, 0].as_slice(), &quoted].concat());
        let Answer::Error(error) = answer(&packet, 3, 70) else { panic!("{packet:?} is an error") };
        assert_eq!(error, IcmpError { offender: HOST.into(), kind: 3, code: 13, mtu: None });
    }
}
