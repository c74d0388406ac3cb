//! The run's own packets, as a file that Wireshark opens.
//!
//! Only flows that the run itself made are kept, and of each packet only its headers: what an application sent or got never enters.
//! A thread takes every packet whose headers name an address that the gate has let through, and holds its headers; which of them
//! belong to the run is decided at the end, since the local port of a connection is known only after its first packet has left.

/// Which flows are the run's.
pub(crate) mod flow;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// Where a packet's headers end.
mod headers;
/// The file format.
mod pcapng;

use crate::context::NotMeasurable;
use crate::gate::Gate;
use crate::platform::packet_tap::{PacketTap, Tapped, interface_name, lacks_right};
use headers::Transport;
use netsonde_contract::capability::CAPTURE;
use pcapng::{Packet, Writer};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A capture file is this long at most.
pub const MAX_FILE_BYTES: usize = 8 << 20;
/// Packets held until the end; with their headers some 10 MiB.
const MAX_PACKETS: usize = 60_000;
/// Headers longer than this are cut: an IPv6 packet with extensions, TCP options, and a quoted packet stay below.
const MAX_HEADER_BYTES: usize = 256;

/// A capture under way.
#[derive(Debug)]
pub struct Capture {
    gate: Arc<Gate>,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Held>,
}

#[derive(Debug, Default)]
struct Held {
    packets: Vec<(Tapped, Vec<u8>)>,
    /// Packets that the system could not hand over, or for which there was no more room.
    lost: u64,
}

/// What was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// A pcapng file.
    pub file: Vec<u8>,
    pub packets: usize,
    /// Packets that were seen and could not be kept.
    pub lost: u64,
}

impl Capture {
    /// Begins. Flows are noted from now on.
    ///
    /// # Errors
    /// Where the right is missing or the system has no such means; the error says what grants it.
    pub fn begin(gate: &Arc<Gate>) -> Result<Self, NotMeasurable> {
        let tap = PacketTap::open().map_err(|error| {
            if lacks_right(&error) {
                NotMeasurable(crate::capability::denied(&CAPTURE))
            } else {
                NotMeasurable::new(format!("packets cannot be captured on this system: {error}"))
            }
        })?;
        gate.flows().want();
        let stop = Arc::new(AtomicBool::new(false));
        let (own_gate, own_stop) = (Arc::clone(gate), Arc::clone(&stop));
        let reader = std::thread::Builder::new().name("capture".to_owned()).spawn(move || read(&tap, &own_gate, &own_stop));
        let reader =
            reader.map_err(|error| NotMeasurable::new(format!("no thread could be started for the capture: {error}")))?;
        Ok(Self { gate: Arc::clone(gate), stop, reader })
    }

    /// Ends, and writes what belongs to the run. It blocks for some milliseconds.
    pub fn finish(self) -> Captured {
        self.stop.store(true, Ordering::Relaxed);
        // A reader that panicked costs the capture, not the run.
        let held = self.reader.join().unwrap_or_default();
        write(&held, &self.gate)
    }
}

fn read(tap: &PacketTap, gate: &Gate, stop: &AtomicBool) -> Held {
    let mut held = Held::default();
    let mut buffer = [0_u8; MAX_HEADER_BYTES];
    let mut stopping = false;
    loop {
        match tap.next(&mut buffer) {
            Ok(Some(tapped)) => {
                let bytes = &buffer[..tapped.length];
                if !concerns(bytes, gate) {
                    continue;
                }
                if held.packets.len() == MAX_PACKETS {
                    held.lost += 1;
                } else {
                    let length = headers::read(bytes).map_or(0, |headers| headers.length);
                    held.packets.push((tapped, bytes[..length].to_vec()));
                }
            }
            // What had arrived when the run ended was read before the wait came to nothing.
            Ok(None) if stopping => break,
            Ok(None) => stopping = stop.load(Ordering::Relaxed),
            Err(_) => break,
        }
        // A machine whose other traffic never pauses would hold up the end.
        if stop.load(Ordering::Relaxed) && held.packets.len() == MAX_PACKETS {
            break;
        }
    }
    held.lost += tap.lost();
    held
}

/// Whether the packet is to, from or about an address that the gate has let through.
fn concerns(packet: &[u8], gate: &Gate) -> bool {
    let Some(headers) = headers::read(packet) else { return false };
    let met = |address: IpAddr| gate.has_met(address);
    match headers.transport {
        Transport::IcmpError { quoted_at } => {
            packet.get(quoted_at..).and_then(headers::read).is_some_and(|quoted| met(quoted.destination))
        }
        _ => met(headers.source) || met(headers.destination),
    }
}

fn write(held: &Held, gate: &Gate) -> Captured {
    let mut writer = Writer::new(concat!("netsonde ", env!("CARGO_PKG_VERSION")), "The run's own flows; headers only.");
    let mut interfaces: Vec<u32> = Vec::new();
    let (mut packets, mut lost) = (0, held.lost);
    for (tapped, bytes) in &held.packets {
        let Some(check) = gate.flows().check_of(bytes) else { continue };
        let place = interfaces.iter().position(|known| *known == tapped.interface).unwrap_or_else(|| {
            interfaces.push(tapped.interface);
            writer.interface(&interface_name(tapped.interface));
            interfaces.len() - 1
        });
        // Loopback hands over each packet twice: as it leaves and as it arrives.
        if is_loopback(bytes) && !tapped.outgoing {
            continue;
        }
        if writer.len() + bytes.len() + MAX_HEADER_BYTES > MAX_FILE_BYTES {
            lost += 1;
            continue;
        }
        packets += 1;
        // Checks run beside each other, so that only a packet's own comment tells whose it is.
        let comment = Some(format!("check {check}"));
        writer.packet(&Packet {
            interface: u32::try_from(place).unwrap_or_default(),
            at_ns: tapped.at_ns,
            outgoing: tapped.outgoing,
            bytes,
            original_bytes: u32::try_from(tapped.original_bytes).unwrap_or(u32::MAX),
            comment,
        });
    }
    if let (Some((last, _)), false) = (held.packets.last(), interfaces.is_empty()) {
        writer.dropped(0, last.at_ns, lost);
    }
    Captured { file: writer.finish(), packets, lost }
}

fn is_loopback(packet: &[u8]) -> bool {
    headers::read(packet).is_some_and(|headers| headers.source.is_loopback() || headers.source == headers.destination)
}

#[cfg(test)]
mod tests;
