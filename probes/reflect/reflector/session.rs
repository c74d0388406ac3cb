//! Who may be answered, how often, and under which number. Pure: takes requests with the time, says what to do.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Replies a second to one address, after a burst of the same number: a sender's shortest interval is 5 ms, and its search for sizes adds
/// little.
const PER_ADDRESS_RATE: u32 = 500;
/// Replies a second in all: a tenth of what one core sends.
const TOTAL_RATE: u32 = 20_000;
/// Sessions kept at once; each takes some hundred bytes.
const MAX_SESSIONS: usize = 4_096;
/// A session that was silent for so long is over (REFWAIT of RFC 5357 section 3.1).
const SILENCE: Duration = Duration::from_secs(900);
/// Where there is no room, sessions that were silent for so long make some.
const SHORT_SILENCE: Duration = Duration::from_secs(30);
/// No sender chooses such a port, and services that answer everything have one: echo, character generators, other reflectors.
const LEAST_SOURCE_PORT: u16 = 1_024;

/// Why a packet was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    NotAllowed,
    Malformed,
    NotAuthentic,
    Looping,
    TooFast,
    Full,
    Spent,
    NotSent,
}

impl Refusal {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NotAllowed => "from an address that is not allowed",
            Self::Malformed => "no test packet",
            Self::NotAuthentic => "not sealed with the key",
            Self::Looping => "a reply, or from a port that answers everything",
            Self::TooFast => "faster than the bound",
            Self::Full => "no room for another session",
            Self::Spent => "beyond the answers that were allowed",
            Self::NotSent => "the reply could not be sent",
        }
    }
}

/// Who a session is with: the sender's socket and its own number (RFC 8972 section 3).
type Name = (SocketAddr, u16);

/// What was counted of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) received: u32,
    pub(super) sent: u32,
    /// The highest number the sender used, plus one.
    pub(super) highest: u32,
    last: Duration,
}

/// The numbers for one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) sequence: u32,
    pub(super) received: u32,
    pub(super) sent: u32,
}

#[derive(Debug)]
pub(super) struct Sessions {
    allowed: Vec<(IpAddr, u8)>,
    own_ports: Vec<u16>,
    sessions: HashMap<Name, Session>,
    /// Up to when the replies to an address are paid for.
    paid: HashMap<IpAddr, Duration>,
    paid_total: Duration,
    over: Vec<(SocketAddr, Session)>,
    refused: BTreeMap<Refusal, u64>,
    answered: u64,
    /// Of what was answered, and of the answers.
    bytes: u64,
}

impl Sessions {
    /// Answers everybody where `allowed` is empty.
    pub(super) fn new(allowed: Vec<(IpAddr, u8)>, own_ports: Vec<u16>) -> Self {
        Self {
            allowed,
            own_ports,
            sessions: HashMap::new(),
            paid: HashMap::new(),
            paid_total: Duration::ZERO,
            over: Vec::new(),
            refused: BTreeMap::new(),
            answered: 0,
            bytes: 0,
        }
    }

    /// Whether a packet from there may be looked at, before anything is read of it.
    pub(super) fn admit(&mut self, peer: SocketAddr, now: Duration) -> Result<(), Refusal> {
        let address = peer.ip().to_canonical();
        if !self.allowed.is_empty() && !self.allowed.iter().any(|(network, bits)| within(*network, *bits, address)) {
            return Err(Refusal::NotAllowed);
        }
        if peer.port() < LEAST_SOURCE_PORT || self.own_ports.contains(&peer.port()) {
            return Err(Refusal::Looping);
        }
        if self.paid.len() > MAX_SESSIONS {
            self.paid.retain(|_, paid| *paid > now);
        }
        let place = self.paid.len() <= MAX_SESSIONS || self.paid.contains_key(&address);
        if !place {
            return Err(Refusal::Full);
        }
        let own = *self.paid.get(&address).unwrap_or(&Duration::ZERO);
        let (own, total) = (next(own, now, PER_ADDRESS_RATE), next(self.paid_total, now, TOTAL_RATE));
        let (Some(own), Some(total)) = (own, total) else { return Err(Refusal::TooFast) };
        self.paid.insert(address, own);
        self.paid_total = total;
        Ok(())
    }

    /// Counts a request and gives its reply's numbers.
    pub(super) fn number(&mut self, peer: SocketAddr, id: u16, sequence: u32, now: Duration) -> Result<Numbers, Refusal> {
        if !self.sessions.contains_key(&(peer, id)) && self.sessions.len() >= MAX_SESSIONS {
            self.end_silent(now, SHORT_SILENCE);
            if self.sessions.len() >= MAX_SESSIONS {
                return Err(Refusal::Full);
            }
        }
        let known = self.sessions.get(&(peer, id)).is_some_and(|session| now.saturating_sub(session.last) < SILENCE);
        if !known {
            self.end_silent(now, SILENCE);
        }
        let session = self.sessions.entry((peer, id)).or_default();
        let number = session.received;
        session.received = session.received.wrapping_add(1);
        session.highest = session.highest.max(sequence.saturating_add(1));
        session.last = now;
        Ok(Numbers { sequence: number, received: session.received, sent: session.sent })
    }

    pub(super) fn answered(&mut self, peer: SocketAddr, id: u16, carried: u64) {
        self.answered += 1;
        self.bytes = self.bytes.saturating_add(carried);
        if let Some(session) = self.sessions.get_mut(&(peer, id)) {
            session.sent = session.sent.wrapping_add(1);
        }
    }

    pub(super) fn refused(&mut self, why: Refusal) {
        *self.refused.entry(why).or_default() += 1;
    }

    fn end_silent(&mut self, now: Duration, silence: Duration) {
        let over = &mut self.over;
        self.sessions.retain(|(peer, _), session| {
            let stays = now.saturating_sub(session.last) < silence;
            if !stays && over.len() < MAX_SESSIONS {
                over.push((*peer, session.clone()));
            }
            stays
        });
    }

    /// Packets that were answered so far.
    pub(super) fn count(&self) -> u64 {
        self.answered
    }

    /// Bytes of what was answered so far, and of the answers.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replies sent, sessions, and packets that were not answered.
    pub(super) fn totals(&self) -> (u64, Vec<(SocketAddr, Session)>, &BTreeMap<Refusal, u64>) {
        let living = self.sessions.iter().map(|((peer, _), session)| (*peer, session.clone()));
        let mut all: Vec<_> = self.over.iter().cloned().chain(living).collect();
        all.sort_by_key(|(peer, _)| *peer);
        (self.answered, all, &self.refused)
    }
}

/// A token bucket kept as the time up to which is paid: it may run ahead of the clock by one second's burst.
fn next(paid: Duration, now: Duration, rate: u32) -> Option<Duration> {
    let paid = paid.max(now) + Duration::from_secs(1) / rate;
    (paid - now <= Duration::from_secs(1)).then_some(paid)
}

fn within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let bits = u32::from(bits);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros() >= bits,
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros() >= bits,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.7:40000";

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn sessions(allowed: &[(&str, u8)]) -> Sessions {
        Sessions::new(allowed.iter().map(|(address, bits)| (address.parse().unwrap(), *bits)).collect(), vec![8_862])
    }

    #[test]
    fn every_session_has_numbers_of_its_own() {
        let mut sessions = sessions(&[]);
        let now = Duration::from_secs(5);
        let mut number = |id, sequence| sessions.number(peer(PEER), id, sequence, now).unwrap().sequence;
        assert_eq!([number(1, 0), number(1, 5), number(2, 0), number(1, 6)], [0, 1, 0, 2]);
        let (_, all, _) = sessions.totals();
        assert_eq!(all.iter().map(|(_, session)| (session.received, session.highest)).max(), Some((3, 7)));
    }

    #[test]
    fn a_session_ends_with_long_silence() {
        let mut sessions = sessions(&[]);
        sessions.number(peer(PEER), 1, 0, Duration::ZERO).unwrap();
        assert_eq!(sessions.number(peer(PEER), 1, 9, SILENCE).unwrap().sequence, 0);
        assert_eq!(sessions.totals().1.len(), 2);
    }

    #[test]
    fn only_those_allowed_are_answered_and_never_another_reflector() {
        let mut some = sessions(&[("192.0.2.0", 24), ("2001:db8::", 32)]);
        for (from, answer) in [
            (PEER, Ok(())),
            ("[::ffff:192.0.2.7]:40000", Ok(())),
            ("[2001:db8::1]:40000", Ok(())),
            ("198.51.100.1:40000", Err(Refusal::NotAllowed)),
            ("192.0.2.7:862", Err(Refusal::Looping)),
            ("192.0.2.7:8862", Err(Refusal::Looping)),
        ] {
            assert_eq!(some.admit(peer(from), Duration::ZERO), answer, "{from}");
        }
        assert_eq!(sessions(&[]).admit(peer("198.51.100.1:40000"), Duration::ZERO), Ok(()));
    }

    #[test]
    fn an_address_that_asks_too_fast_waits_and_another_does_not() {
        let mut sessions = sessions(&[]);
        let now = Duration::from_secs(3);
        let admitted = (0..2_000).filter(|_| sessions.admit(peer(PEER), now).is_ok()).count();
        assert_eq!(admitted, PER_ADDRESS_RATE as usize);
        assert_eq!(sessions.admit(peer("192.0.2.8:40000"), now), Ok(()));
        assert_eq!(sessions.admit(peer(PEER), now + Duration::from_millis(10)), Ok(()));
    }

    #[test]
    fn invented_senders_fill_no_more_than_the_room_there_is() {
        let mut sessions = sessions(&[]);
        for id in 0..=u16::MAX {
            let _ = sessions.number(peer(PEER), id, 0, Duration::ZERO);
        }
        assert_eq!(sessions.number(peer("192.0.2.9:40000"), 0, 0, Duration::ZERO), Err(Refusal::Full));
        assert!(sessions.number(peer("192.0.2.9:40000"), 0, 0, SHORT_SILENCE).is_ok());
    }
}
