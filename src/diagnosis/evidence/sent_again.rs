//! What connections to an address had to send again, as the system counted it or their times tell: their first packets, and segments with data
//! once they stood. Where nobody answers to ping, this shows what the way loses.

use super::{Attempt, Endpoint, Evidence, Seen, Share};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Connect, TcpState};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// So many pairs of one late connection and one at once tell whether the late ones began last: of six connections one and five.
const LEAST_PAIRS: usize = 5;
/// A queue that is full lets those in that begin first. By chance half of the pairs are the other way round, and of few connections at times
/// no more than this part of them.
const BY_CHANCE: f64 = 0.2;

/// Which of the connections that begin together stand late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Late ones began before others that stood at once, and after them: chance.
    Mixed,
    /// The first stood at once and the others late, as where a queue or a limit takes so many.
    FirstServed,
    /// Too few to say.
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SentAgain<'a> {
    /// First packets without an answer, of all that were sent, at ports where some connections stand.
    pub(crate) firsts: Share<'a>,
    /// Connections that stood late, and those that never did.
    pub(crate) late: Vec<&'a ObservationId>,
    pub(crate) silent: Vec<&'a ObservationId>,
    /// How many stood at once.
    pub(crate) at_once: usize,
    /// The ports at which connections stood late, each once.
    pub(crate) ports: Vec<u16>,
    /// Segments with data that were sent again over connections that stood.
    pub(crate) segments: u32,
    /// The exchanges and handshakes that sent them.
    pub(crate) resent_by: Vec<&'a ObservationId>,
    /// Segments that came with a gap before them over connections that stood, and what received them.
    pub(crate) behind_a_gap: u32,
    pub(crate) with_gaps: Vec<&'a ObservationId>,
    /// Of connections that one check made.
    pairs: Pairs,
    pairs_at_once: Pairs,
}

impl SentAgain<'_> {
    pub(crate) fn order(&self) -> Order {
        order_of(&self.pairs)
    }

    /// The same of connections that begin at the same moment. Where they begin one after the other, a queue or a limit that empties meanwhile
    /// takes some of the later ones as well.
    pub(crate) fn order_at_once(&self) -> Order {
        order_of(&self.pairs_at_once)
    }
}

/// Pairs of one connection that was late or silent and one at once, and of them those in which it began first.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    all: usize,
    began_first: usize,
}

impl Pairs {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.began_first += other.began_first;
    }
}

fn order_of(pairs: &Pairs) -> Order {
    match pairs.all {
        ..LEAST_PAIRS => Order::Unknown,
        all if pairs.began_first as f64 >= all as f64 * BY_CHANCE => Order::Mixed,
        _ => Order::FirstServed,
    }
}

impl<'a> Evidence<'a> {
    pub(crate) fn sent_again(&self, address: IpAddr) -> SentAgain<'a> {
        let mut found = SentAgain::default();
        let endpoints = self.endpoints();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.address.ip() == address && endpoint.connected()) {
            for attempt in &endpoint.attempts {
                self.add_attempt(&mut found, attempt);
            }
            self.add_order(&mut found, &endpoint.attempts);
        }
        for (id, state) in self.states_of(address) {
            let resent = data_resent(state);
            if resent > 0 {
                found.segments += resent;
                found.resent_by.push(id);
            }
            if let Some(gaps) = state.out_of_order.filter(|gaps| *gaps > 0) {
                found.behind_a_gap += gaps;
                found.with_gaps.push(id);
            }
        }
        found
    }

    /// How many connections to the port began at the same moment as others, or within another check's exchange.
    pub(crate) fn begun_at_once(&self, endpoint: &Endpoint<'_>) -> usize {
        let in_turn =
            |connect: &&Seen<'_, Connect>| connect.fact.address == endpoint.address && !begins_together(connect.outcome);
        endpoint.attempts.len().saturating_sub(self.connects.iter().filter(in_turn).count())
    }

    fn add_attempt(&self, found: &mut SentAgain<'a>, attempt: &Attempt<'a>) {
        let state = self.states_of(attempt.address.ip()).find(|(id, _)| *id == attempt.id);
        // What the kernel counted of the whole connection holds its first packets too; a program may merely have been woken late.
        let again = match state.filter(|_| attempt.syn_retransmits.is_none()) {
            // A segment that is sent again in parts counts more often than its bytes tell; no first packet was, where it stood at once.
            Some(_) if attempt.connected() && !attempt.connected_late() => 0,
            Some((_, state)) => state.retransmits.saturating_sub(data_resent(state)),
            None => attempt.sent_again(),
        };
        if attempt.silent() {
            found.firsts.add(1 + again, 1 + again, attempt.id);
            found.silent.push(attempt.id);
        } else if attempt.connected() {
            found.firsts.add(again, 1 + again, attempt.id);
            if again == 0 {
                found.at_once += 1;
                return;
            }
            found.late.push(attempt.id);
            if !found.ports.contains(&attempt.address.port()) {
                found.ports.push(attempt.address.port());
            }
        }
    }

    /// Counts the pairs of the connections that each check made.
    fn add_order(&self, found: &mut SentAgain<'a>, attempts: &[Attempt<'a>]) {
        let by_check = || attempts.iter().filter(|attempt| attempt.by_tcp_check);
        let mut checks: Vec<&str> = by_check().map(|attempt| check_of(attempt.id)).collect();
        checks.dedup();
        for check in checks {
            let mut pairs = Pairs::default();
            let of_check = || by_check().filter(|attempt| check_of(attempt.id) == check);
            for uneven in of_check().filter(|attempt| attempt.silent() || attempt.connected_late()) {
                let at_once = of_check().filter(|attempt| attempt.connected() && !attempt.connected_late());
                let (before, after): (Vec<&Attempt<'_>>, Vec<&Attempt<'_>>) =
                    at_once.partition(|attempt| uneven.at_us < attempt.at_us);
                pairs.add(Pairs { all: before.len() + after.len(), began_first: before.len() });
            }
            found.pairs.add(pairs);
            let mut of_outcome = self.connects.iter().filter(|connect| check_of(connect.id) == check);
            if of_outcome.next().is_some_and(|connect| begins_together(connect.outcome)) {
                found.pairs_at_once.add(pairs);
            }
        }
    }

    /// What the system knew of connections to the address at their end.
    fn states_of(&self, address: IpAddr) -> impl Iterator<Item = (&'a ObservationId, &'a TcpState)> {
        let exchanges = self
            .exchanges
            .iter()
            .filter(move |exchange| exchange.proxy.is_none() && exchange.address.is_some_and(|at| at.ip() == address));
        let exchanges = exchanges.filter_map(|exchange| Some((exchange.id, exchange.fact.at_close.as_deref()?)));
        let handshakes = self.handshakes.iter().filter(move |handshake| handshake.address.ip() == address);
        exchanges.chain(handshakes.filter_map(|handshake| Some((handshake.id, handshake.fact.at_close.as_deref()?))))
    }
}

/// Segments with data that were sent again, of those that the system counts together with SYNs: by the bytes where it tells them.
pub(crate) fn data_resent(state: &TcpState) -> u32 {
    let Some(resent) = state.bytes_resent else { return 0 };
    let once = state.bytes_sent.unwrap_or_default().saturating_sub(resent);
    let segment = u64::from(state.mss_bytes.max(1)).min(once.max(1));
    u32::try_from(resent.div_ceil(segment)).unwrap_or(u32::MAX).min(state.retransmits)
}

/// The connections of the check begin at the same moment.
pub(super) fn begins_together(outcome: &Outcome) -> bool {
    let number = |name| outcome.parameters.get(name).and_then(serde_json::Value::as_u64);
    number("spread_ms").unwrap_or_default() == 0 && number("concurrent").is_none_or(|concurrent| concurrent > 1)
}

/// The check that made an observation: its id begins with it.
pub(super) fn check_of(id: &ObservationId) -> &str {
    id.as_str().rsplit_once('/').map_or(id.as_str(), |(check, _)| check)
}

#[cfg(test)]
mod tests {
    use super::{Order, data_resent};
    use crate::evidence::Evidence;
    use crate::scene::{Scene, connected, connected_late, exchange, silent};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TcpState};

    const AT: &str = "192.0.2.1:443";

    /// Connections of one check: `+` at once, `l` late, `-` silent.
    fn made(marks: &str) -> Vec<Fact> {
        let fact = |mark| match mark {
            '+' => connected(AT),
            'l' => connected_late(AT),
            _ => silent(AT),
        };
        marks.chars().map(fact).collect()
    }

    fn order(marks: &str) -> Order {
        let scene = Scene::new("shop.example").check(Kind::Tcp, made(marks));
        let environment = scene.environment();
        let target = scene.outcomes()[0].target.clone();
        Evidence::of(scene.outcomes(), target.as_ref(), &environment).sent_again("192.0.2.1".parse().unwrap()).order()
    }

    #[test]
    fn those_that_begin_last_are_late_at_a_queue_and_any_are_by_chance() {
        assert_eq!(order("+++lll"), Order::FirstServed);
        assert_eq!(order("++l+llllll"), Order::FirstServed);
        assert_eq!(order("+l+-+l"), Order::Mixed);
        assert_eq!(order("l+"), Order::Unknown);
        assert_eq!(order("llllllll"), Order::Unknown);
    }

    fn state(retransmits: u32, bytes_sent: u64, bytes_resent: Option<u64>) -> TcpState {
        TcpState { retransmits, mss_bytes: 1_448, bytes_sent: Some(bytes_sent), bytes_resent, ..TcpState::default() }
    }

    #[test]
    fn segments_with_data_are_told_from_first_packets_by_their_bytes() {
        assert_eq!(data_resent(&state(5, 228, Some(152))), 2);
        assert_eq!(data_resent(&state(2, 76, Some(0))), 0);
        assert_eq!(data_resent(&state(3, 14_480, Some(4_344))), 3);
        assert_eq!(data_resent(&state(3, 76, None)), 0, "without the bytes they may have been first packets");
    }

    #[test]
    fn an_exchange_that_stood_at_once_lost_no_first_packet() {
        let fact = exchange("https://shop.example/", |exchange| exchange.at_close = Some(Box::new(state(7, 2_200, Some(1_600)))));
        let scene = Scene::new("https://shop.example/").check(Kind::Http, [fact]);
        let environment = scene.environment();
        let target = scene.outcomes()[0].target.clone();
        let evidence = Evidence::of(scene.outcomes(), target.as_ref(), &environment);
        assert!(evidence.sent_again("192.0.2.1".parse().unwrap()).late.is_empty());
    }

    #[test]
    fn an_exchange_counts_its_first_packets_and_its_segments_apart() {
        let fact = exchange("https://shop.example/", |exchange| {
            exchange.phases.connect_us = Some(3_074_000);
            exchange.at_close = Some(Box::new(state(5, 228, Some(152))));
        });
        let scene = Scene::new("https://shop.example/").check(Kind::Http, [fact]);
        let environment = scene.environment();
        let target = scene.outcomes()[0].target.clone();
        let evidence = Evidence::of(scene.outcomes(), target.as_ref(), &environment);
        let again = evidence.sent_again("192.0.2.1".parse().unwrap());
        assert_eq!((again.firsts.cases, again.firsts.of, again.segments, again.late.len()), (3, 4, 2, 1));
    }
}
