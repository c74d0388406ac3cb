//! One direction of a cable. Pure: it takes frames and the time, and says which frames leave when.

use super::super::dice::Dice;
use super::super::scenario::Family;
use super::even::Even;
use super::impairment::Impairment;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

const ETHERNET_BYTES: usize = 14;
/// Preamble, checksum and the gap between frames take this much of the rate, in bytes.
const ETHERNET_OVERHEAD_BYTES: u64 = 24;
/// Frames on their way in one direction at most; what comes beyond is dropped, as by any queue.
const MAX_UNDER_WAY: usize = 20_000;

/// A frame and when it leaves. Of two that leave together the one that came first goes first.
#[derive(PartialEq, Eq)]
struct Due {
    at: Duration,
    number: u64,
    frame: Vec<u8>,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives the greatest first: that is the earliest.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What may happen to a packet by dice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Change {
    Loss,
    Corruption,
    Overtaking,
    Doubling,
}

/// The protocol of a packet, how far it may still go, and of ICMP its type and identifier, of TCP whether it begins a connection or brings something.
type PacketKind = (u8, u8, [u8; 3]);

/// Flags of TCP (RFC 9293 section 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
#[cfg(test)]
const ACK: u8 = 0x10;

/// One direction with what is set for it, what is under way in it, and its own random numbers.
pub(super) struct Wire {
    set: Option<Impairment>,
    under_way: BinaryHeap<Due>,
    dice: Dice,
    even: Even<(Change, PacketKind)>,
    frames: u64,
    lost_last: bool,
    /// Until when the rate is used up by frames that came before.
    busy_until: Duration,
    last_at: Duration,
}

impl Wire {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            set: None,
            under_way: BinaryHeap::new(),
            dice: Dice::new(seed),
            even: Even::default(),
            frames: 0,
            lost_last: false,
            busy_until: Duration::ZERO,
            last_at: Duration::ZERO,
        }
    }

    pub(super) fn set(&mut self, impairment: Impairment) {
        self.set = Some(impairment);
    }

    /// A frame came in.
    pub(super) fn handle(&mut self, mut frame: Vec<u8>, now: Duration) {
        let Some(set) = self.set.clone().filter(|_| !is_neighbour_discovery(&frame)) else {
            return self.carry(frame, now);
        };
        let concerned = concerns(&set, &frame);
        if set.down && concerned {
            return;
        }
        if concerned {
            let follows = set.burst > 0.0 && self.lost_last;
            self.lost_last = if follows { self.dice.falls(set.burst) } else { self.happens(&set, Change::Loss, &frame) };
            if self.lost_last {
                return;
            }
            if self.happens(&set, Change::Corruption, &frame) {
                self.corrupt(&mut frame);
            }
        }
        let Some(mut at) = self.after_queue(&set, frame.len(), now) else { return };
        if !(concerned && self.happens(&set, Change::Overtaking, &frame)) {
            let shift = set.jitter_ms * (2.0 * self.dice.next() - 1.0) + set.wait_ms(now.as_secs_f64() * 1_000.0);
            at += Duration::from_secs_f64((set.delay_ms + shift).max(0.0) / 1_000.0);
            // Jitter alone never lets one overtake another.
            at = at.max(self.last_at);
            self.last_at = at;
        }
        if concerned && self.happens(&set, Change::Doubling, &frame) {
            self.carry(frame.clone(), at);
        }
        self.carry(frame, at);
    }

    fn happens(&mut self, set: &Impairment, change: Change, frame: &[u8]) -> bool {
        let chance = match change {
            Change::Loss => set.loss,
            Change::Corruption => set.corrupt,
            Change::Overtaking => set.reorder,
            Change::Doubling => set.duplicate,
        };
        if set.evenly { self.even.falls((change, kind(frame)), chance, &mut self.dice) } else { self.dice.falls(chance) }
    }

    /// The next frame that is due by now.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        let due = self.under_way.peek().is_some_and(|due| due.at <= now);
        if due { self.under_way.pop().map(|due| due.frame) } else { None }
    }

    /// When the next frame is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.under_way.peek().map(|due| due.at)
    }

    fn carry(&mut self, frame: Vec<u8>, at: Duration) {
        if self.under_way.len() < MAX_UNDER_WAY {
            self.frames += 1;
            self.under_way.push(Due { at, number: self.frames, frame });
        }
    }

    /// When the frame has left the queue in front of the rate; none where the queue is full.
    fn after_queue(&mut self, set: &Impairment, bytes: usize, now: Duration) -> Option<Duration> {
        if set.rate_kbit == 0 {
            return Some(now);
        }
        let begins = self.busy_until.max(now);
        let bits_a_ms = set.rate_kbit as f64;
        let waiting_bytes = (begins - now).as_secs_f64() * 1_000.0 * bits_a_ms / 8.0;
        if set.queue_kb > 0 && waiting_bytes > set.queue_kb as f64 * 1_000.0 {
            return None;
        }
        let bits = (bytes as u64 + ETHERNET_OVERHEAD_BYTES) as f64 * 8.0;
        self.busy_until = begins + Duration::from_secs_f64(bits / bits_a_ms / 1_000.0);
        Some(self.busy_until)
    }

    /// Changes a byte behind the IP header, so that a checksum finds it.
    fn corrupt(&mut self, frame: &mut [u8]) {
        let first = ETHERNET_BYTES + if family(frame) == Some(Family::V6) { 40 } else { 20 };
        if let Some(last) = frame.len().checked_sub(first + 1) {
            let place = first + (self.dice.next() * last as f64) as usize;
            frame[place] ^= 0x5a;
        }
    }
}

fn concerns(set: &Impairment, frame: &[u8]) -> bool {
    let of_family = set.family.is_none_or(|wanted| family(frame) == Some(wanted));
    of_family && (set.flows >= 1.0 || flow_share(frame) < set.flows)
}

fn family(frame: &[u8]) -> Option<Family> {
    match frame.get(12..14)? {
        [0x08, 0x00] => Some(Family::V4),
        [0x86, 0xdd] => Some(Family::V6),
        _ => None,
    }
}

/// Pings of one series are of one kind, and so are the probes of a trace for one distance; of all connections together the beginnings, the packets that
/// bring something or end it, and those that only acknowledge: nobody notices that one of the last is lost.
fn kind(frame: &[u8]) -> PacketKind {
    let byte = |at: usize| frame.get(at).copied().unwrap_or_default();
    let (protocol, left, payload) = match family(frame) {
        Some(Family::V6) => (byte(20), byte(21), ETHERNET_BYTES + 40),
        _ => (byte(23), byte(22), ETHERNET_BYTES + 20),
    };
    let is_icmp = matches!(protocol, 1 | 58);
    let more = match protocol {
        _ if is_icmp => [byte(payload), byte(payload + 4), byte(payload + 5)],
        6 => {
            let (header_bytes, flags) = (usize::from(byte(payload + 12) >> 4) * 4, byte(payload + 13));
            [u8::from(flags & SYN != 0), u8::from(flags & FIN != 0 || frame.len() > payload + header_bytes), 0]
        }
        _ => [0; 3],
    };
    (protocol, left, more)
}

fn is_neighbour_discovery(frame: &[u8]) -> bool {
    match family(frame) {
        None => true,
        Some(Family::V4) => false,
        // ICMPv6 right behind the fixed header; neighbour discovery has no extension headers.
        Some(Family::V6) => frame.get(20) == Some(&58) && frame.get(54).is_some_and(|kind| (133..=137).contains(kind)),
    }
}

/// Where the flow of the packet lies between 0 and 1: the same for the same addresses, protocol and ports.
fn flow_share(frame: &[u8]) -> f64 {
    let (protocol, addresses, payload) = match family(frame) {
        Some(Family::V4) => (frame.get(23), frame.get(26..34), ETHERNET_BYTES + 20),
        Some(Family::V6) => (frame.get(20), frame.get(22..54), ETHERNET_BYTES + 40),
        None => return 0.0,
    };
    let has_ports = matches!(protocol, Some(6 | 17));
    let ports = frame.get(payload..payload + 4).filter(|_| has_ports);
    let mut hasher = DefaultHasher::new();
    (protocol, addresses, ports).hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(settings: &str) -> Wire {
        let mut wire = Wire::new(7);
        wire.set(toml::from_str(&format!("between = [\"a\", \"b\"]\n{settings}")).unwrap());
        wire
    }

    /// A UDP packet from a source port, with a number as its last byte.
    fn frame(port: u16, number: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        (frame[12], frame[14], frame[23]) = (0x08, 0x45, 17);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[59] = number;
        frame
    }

    fn arrivals(wire: &mut Wire, until: Duration) -> Vec<u8> {
        std::iter::from_fn(|| wire.poll(until)).map(|frame| frame[59]).collect()
    }

    #[test]
    fn loss_is_as_large_as_it_is_set_and_the_same_each_time() {
        let survivors = || {
            let mut wire = wire("loss = 0.2");
            (0..=199).for_each(|number| wire.handle(frame(1, number), Duration::ZERO));
            arrivals(&mut wire, Duration::ZERO)
        };
        assert!((140..=180).contains(&survivors().len()), "{}", survivors().len());
        assert_eq!(survivors(), survivors());
    }

    #[test]
    fn what_falls_evenly_is_seen_in_every_sample_of_any_kind() {
        let mut wire = wire("loss = 0.25\nevenly = true");
        let mut other = frame(1, 0);
        other[22] = 9;
        let survivors: Vec<usize> = (0..20)
            .map(|_| {
                (0..4).for_each(|number| wire.handle(frame(1, number), Duration::ZERO));
                wire.handle(other.clone(), Duration::ZERO);
                arrivals(&mut wire, Duration::ZERO).len()
            })
            .collect();
        // Three of each four, and of the other kind, which comes once in between, three of four rounds.
        assert!(survivors.chunks(4).all(|rounds| rounds.iter().sum::<usize>() == 15), "{survivors:?}");
    }

    #[test]
    fn of_connections_that_begin_as_many_are_lost_as_of_packets_that_bring_something() {
        let mut wire = wire("loss = 0.2\nevenly = true");
        let segment = |flags: u8, bytes: usize| {
            let mut frame = vec![0; ETHERNET_BYTES + 20 + 20 + bytes];
            (frame[12], frame[14], frame[23]) = (0x08, 0x45, 6);
            (frame[ETHERNET_BYTES + 32], frame[ETHERNET_BYTES + 33]) = (0x50, flags);
            frame
        };
        let mut survivors = std::collections::BTreeMap::new();
        // A beginning, a bare acknowledgement, a question, an end: each of them one of four packets.
        for _ in 0..20 {
            for (flags, bytes) in [(SYN, 0), (ACK, 0), (ACK, 40), (ACK | FIN, 0)] {
                wire.handle(segment(flags, bytes), Duration::ZERO);
            }
            for frame in std::iter::from_fn(|| wire.poll(Duration::ZERO)) {
                let brings = frame[ETHERNET_BYTES + 33] & FIN != 0 || frame.len() > ETHERNET_BYTES + 40;
                *survivors.entry((frame[ETHERNET_BYTES + 33] & SYN != 0, brings)).or_insert(0) += 1;
            }
        }
        assert_eq!(survivors, [((true, false), 16), ((false, false), 16), ((false, true), 32)].into());
    }

    #[test]
    fn a_queue_fills_and_empties_as_time_goes_by() {
        let mut wire = wire("queue_ms = 200\nperiod_ms = 800");
        let waits = |wire: &mut Wire, at: u64| {
            let now = Duration::from_millis(at);
            wire.handle(frame(1, 0), now);
            let due = wire.next_due().unwrap();
            arrivals(wire, due);
            (due - now).as_millis()
        };
        assert_eq!([100, 350, 500, 650, 820].map(|at| waits(&mut wire, at)), [0, 100, 200, 100, 0]);
    }

    #[test]
    fn delayed_packets_keep_their_order_unless_some_are_let_by() {
        let order = |settings: &str| {
            let mut wire = wire(settings);
            (0..50).for_each(|number| wire.handle(frame(1, number), Duration::from_millis(number.into())));
            assert!(wire.poll(Duration::ZERO).is_none() && wire.next_due().is_some());
            arrivals(&mut wire, Duration::from_secs(1))
        };
        assert!(order("delay_ms = 20\njitter_ms = 15").is_sorted());
        let overtaken = order("delay_ms = 20\nreorder = 0.3");
        assert!(overtaken.len() == 50 && !overtaken.is_sorted());
    }

    #[test]
    fn a_dead_share_of_the_flows_is_always_the_same_flows() {
        let mut wire = wire("down = true\nflows = 0.5");
        (0..40).chain(0..40).for_each(|port| wire.handle(frame(port.into(), port), Duration::ZERO));
        let (first, second): (Vec<_>, Vec<_>) = {
            let all = arrivals(&mut wire, Duration::ZERO);
            (all[..all.len() / 2].to_vec(), all[all.len() / 2..].to_vec())
        };
        assert!((8..=32).contains(&first.len()) && first == second);
    }

    #[test]
    fn a_rate_lets_packets_wait_and_a_full_queue_drops_them() {
        let mut wire = wire("rate_kbit = 672\nqueue_kb = 1");
        (0..100).for_each(|number| wire.handle(frame(1, number), Duration::ZERO));
        // 84 bytes of 672 bits each: one a millisecond.
        assert_eq!(arrivals(&mut wire, Duration::from_micros(5_500)), [0, 1, 2, 3, 4]);
        assert!(arrivals(&mut wire, Duration::from_secs(9)).len() < 20);
    }

    #[test]
    fn neighbours_find_each_other_over_a_dead_cable() {
        let mut wire = wire("down = true");
        let mut arp = frame(1, 9);
        arp[13] = 0x06;
        wire.handle(arp, Duration::ZERO);
        wire.handle(frame(1, 8), Duration::ZERO);
        assert_eq!(arrivals(&mut wire, Duration::ZERO), [9]);
    }

    #[test]
    fn packets_are_doubled_and_changed_as_set() {
        let mut wire = wire("duplicate = 1.0\ncorrupt = 1.0");
        wire.handle(frame(1, 0), Duration::ZERO);
        let (first, second) = (wire.poll(Duration::ZERO).unwrap(), wire.poll(Duration::ZERO).unwrap());
        assert!(first == second && first != frame(1, 0) && wire.poll(Duration::ZERO).is_none());
    }
}
