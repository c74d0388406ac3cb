use super::client::Client;
use crate::clock::Clock;
use crate::context::Context;
use crate::icmp::statistics::{LossPattern, distribution, jitter_us, reordered};
use crate::icmp::targets::Aim;
use futures_util::stream::{FuturesUnordered, StreamExt};
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, Step};
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::{Echo, EchoClock, EchoReply, EchoStatistics, Fact};
use std::net::IpAddr;
use std::time::Duration;
use surge_ping::{IcmpPacket, PingSequence, Pinger, SurgeError};

/// A series as far as it has come. It is recorded when it is dropped, so that a deadline in the midst of it keeps what was seen.
pub(super) struct Series<'c> {
    context: &'c Context,
    params: &'c IcmpParams,
    at_us: u64,
    echo: Echo,
    ended: bool,
}

/// What became of one request.
enum Answer {
    Reply(EchoReply),
    Error(IcmpError),
    Silence,
    /// It was counted, and then could not be sent.
    Unsent(Failure),
}

impl<'c> Series<'c> {
    pub(super) fn begin(context: &'c Context, params: &'c IcmpParams, aim: &Aim) -> Self {
        let echo = Echo {
            host: aim.host.clone(),
            address: aim.address,
            sent: 0,
            replies: Vec::new(),
            errors: Vec::new(),
            size_bytes: params.size_bytes,
            clock: EchoClock::Process.as_str().into(),
            socket: None,
            dont_fragment: false,
            dscp: 0,
            extra: Vec::new(),
            statistics: None,
            failure: None,
        };
        Self { context, params, at_us: context.clock.now_us(), echo, ended: false }
    }

    /// Keeps why nothing more can be sent; the first reason counts.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.echo.failure.get_or_insert(failure);
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Reply(reply) => self.echo.replies.push(reply),
            Answer::Error(error) => self.echo.errors.push(error),
            Answer::Silence => {}
            Answer::Unsent(failure) => {
                self.echo.sent -= 1;
                self.fail(failure);
            }
        }
    }
}

impl Series<'_> {
    /// Of replies in the order in which they came.
    fn statistics(&self) -> EchoStatistics {
        let rtts: Vec<Duration> = self.echo.replies.iter().map(|reply| Duration::from_micros(reply.rtt_us)).collect();
        let answered = |sequence| self.echo.replies.iter().any(|reply| u32::from(reply.sequence) == sequence);
        let losses = LossPattern::of((0..self.echo.sent).map(|sequence| !answered(sequence)));
        EchoStatistics {
            received: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
            lost: losses.lost,
            jitter_us: jitter_us(&rtts),
            rtt: distribution(rtts),
            reordered: reordered(self.echo.replies.iter().map(|reply| reply.sequence)),
            loss_periods: losses.periods,
            longest_loss: losses.longest,
            least_loss_distance: losses.least_distance,
            ..EchoStatistics::default()
        }
    }
}

impl Drop for Series<'_> {
    fn drop(&mut self) {
        if let Some(failure) = self.context.recorder.interrupted(Step::Receive).filter(|_| !self.ended) {
            self.fail(failure);
        }
        self.echo.statistics = (self.echo.sent > 0).then(|| Box::new(self.statistics()));
        self.echo.replies.sort_by_key(|reply| reply.sequence);
        self.context.recorder.record(self.at_us, Fact::Echo(self.echo.clone()));
    }
}

/// Sends the requests at their interval without waiting for the replies of earlier ones. The address, where it answered.
pub(super) async fn run(mut series: Series<'_>, client: Client) -> Option<IpAddr> {
    let (context, params, address) = (series.context, series.params, series.echo.address);
    series.echo.socket = Some(if client.is_raw() { "raw" } else { "ping" }.to_owned());
    let payload = vec![0; usize::try_from(params.size_bytes).unwrap_or_default()];
    let timeout = Duration::from_millis(params.timeout_ms);
    let began = context.clock.now();
    let mut waiting = FuturesUnordered::new();
    for sequence in 0..params.count {
        let due = began + Duration::from_millis(params.interval_ms) * sequence;
        let turn = async {
            tokio::time::sleep(due.saturating_sub(context.clock.now())).await;
            context.gate.packet(address).await
        };
        tokio::pin!(turn);
        let admitted = loop {
            tokio::select! {
                admitted = &mut turn => break admitted,
                Some(answer) = waiting.next() => series.take(answer),
            }
        };
        series.echo.errors.extend(client.queued_errors());
        if let Err(failure) = admitted {
            series.fail(failure);
        }
        // Nothing more is sent once something could not be: the reason is local and does not pass within a series.
        if series.echo.failure.is_some() {
            break;
        }
        let mut pinger = client.pinger(address).await;
        pinger.timeout(timeout);
        series.echo.sent += 1;
        waiting.push(ping(pinger, sequence, &payload, context.clock));
    }
    while let Some(answer) = waiting.next().await {
        series.take(answer);
    }
    series.echo.errors.extend(client.queued_errors());
    series.ended = true;
    (!series.echo.replies.is_empty()).then_some(address)
}

/// An ICMP error that came for an earlier request makes one later call fail on a datagram socket; this many in a row are no such
/// accident.
const SEND_TRIES: u32 = 3;

async fn ping(mut pinger: Pinger, sequence: u32, payload: &[u8], clock: Clock) -> Answer {
    let number = u16::try_from(sequence).unwrap_or(u16::MAX);
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
