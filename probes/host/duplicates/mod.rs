//! The machine's own addresses, asked for on their links: who answers uses them too. ARP probes name no sender (RFC 5227 section 1.1) and
//! solicitations come from the unspecified address (RFC 4862 section 5.4.2), so that nobody's tables change by the question.

/// The packets.
mod packet;

use crate::context::Context;
use crate::platform::host::interfaces;
use crate::platform::packet_socket::{ARP, IPV6, PacketSocket};
use futures_util::future::join_all;
use netsonde_contract::capability::HOST_DUPLICATES;
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::observation::{AddressAnswer, AddressProbe, Fact, Interface};
use netsonde_contract::outcome::Note;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Packets for each address (`PROBE_NUM` of RFC 5227 section 1.1).
const PROBES: u32 = 3;
/// Between two of them, and for answers after the last. RFC 5227 spaces a newcomer's probes by a second and more; here nobody waits to
/// use the address, and a neighbour answers within milliseconds.
const GAP: Duration = Duration::from_millis(300);
/// How often the socket is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Addresses that are asked for; a machine has a handful.
const MAX_ADDRESSES: usize = 16;
/// Hardware addresses kept of one address: two are a fault already.
const MAX_ANSWERS: usize = 8;

/// Asks for every own address on a link that has hardware addresses, all at once, and records each.
pub(super) async fn record(context: &Context) {
    let found = tokio::task::spawn_blocking(interfaces).await.ok().and_then(Result::ok).unwrap_or_default();
    let own = found.iter().filter(|interface| is_asked_on(interface)).flat_map(|interface| {
        let hardware = interface.hardware_address.as_deref().and_then(packet::hardware);
        let addresses = interface.addresses.iter().filter_map(|cidr| cidr.split('/').next()?.parse::<IpAddr>().ok());
        addresses.filter_map(move |address| Some((interface.name.clone(), hardware?, address)))
    });
    let own: Vec<_> = own.take(MAX_ADDRESSES).collect();
    join_all(own.into_iter().map(|(interface, hardware, address)| ask(context, interface, hardware, address))).await;
}

fn is_asked_on(interface: &Interface) -> bool {
    interface.up && !interface.loopback && !interface.tunnel && interface.carrier != Some(false)
}

/// What was seen so far; recorded when it is dropped, so that a deadline keeps it.
struct Record<'c> {
    context: &'c Context,
    at_us: u64,
    fact: AddressProbe,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.context.recorder.record(self.at_us, Fact::AddressProbe(self.fact.clone()));
    }
}

async fn ask(context: &Context, interface: String, hardware: [u8; 6], address: IpAddr) {
    let fact = AddressProbe { address, interface, sent: 0, answers: Vec::new(), unasked: None, failure: None };
    let mut record = Record { context, at_us: context.clock.now_us(), fact };
    let protocol = if address.is_ipv4() { ARP } else { IPV6 };
    let socket = match PacketSocket::open(protocol, Some(&record.fact.interface), &packet::filter(address)) {
        Ok(socket) => socket,
        Err(error) => {
            (record.fact.unasked, record.fact.failure) = refused(&error);
            return;
        }
    };
    let (to, bytes) = packet::question(hardware, address);
    for _ in 0..PROBES {
        if let Err(failure) = context.gate.packet(address, bytes.len()).await {
            record.fact.failure = Some(failure);
            return;
        }
        if let Err(error) = socket.send(to, &bytes) {
            record.fact.failure = Some(Failure::from_io(&error, Step::Send));
            return;
        }
        record.fact.sent += 1;
        listen(&mut record, &socket, hardware, address).await;
    }
}

async fn listen(record: &mut Record<'_>, socket: &PacketSocket, own: [u8; 6], address: IpAddr) {
    let clock = record.context.clock;
    let until = clock.now() + GAP;
    while clock.now() < until {
        while let Some(received) = socket.receive() {
            let Some(hardware_address) = packet::answer(&received.bytes, received.sender.as_deref(), address) else { continue };
            let known = record.fact.answers.iter().any(|answer| answer.hardware_address == hardware_address);
            if !known && packet::hardware(&hardware_address) != Some(own) && record.fact.answers.len() < MAX_ANSWERS {
                let after_us = clock.now_us().saturating_sub(record.at_us);
                record.fact.answers.push(AddressAnswer { hardware_address, after_us });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A right that is missing is a note; all else is a failure.
fn refused(error: &io::Error) -> (Option<Note>, Option<Failure>) {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => (Some(crate::capability::denied(&HOST_DUPLICATES)), None),
        _ => (None, Some(Failure::from_io(error, Step::Open))),
    }
}

/// Reads a packet as an answer in both families.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzzed(bytes: &[u8]) {
    for address in [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)] {
        packet::answer(bytes, Some("02:00:00:00:00:01"), address);
    }
    packet::hardware(&String::from_utf8_lossy(bytes));
}
