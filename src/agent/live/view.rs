use super::track::Track;
use netsonde_contract::failure::Failure;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Echo, Fact, Hop, ReplyKind, Trace, TracePath, TraceProtocol};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// One distance shows so many addresses at most, those that answered most.
const MAX_ADDRESSES: usize = 16;
/// So many paths are kept apart at most; MDA finds fewer on any network that was published.
const MAX_PATHS: usize = 64;
/// The distance at which a target stands that was asked directly.
const DIRECTLY: u8 = 0;

/// So many requests in a row without an answer are no chance any more.
const SILENT_AFTER: usize = 3;
/// Where nothing answers, these many rounds at first and every so many-th later wait until a router would have said why.
const PATIENT_ROUNDS: u32 = 2;
const PATIENT_EVERY: u32 = 10;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Ends the view, or the help where that is open.
    Quit,
    /// Ends the view whatever is open, as everywhere on a terminal.
    Interrupt,
    Pause,
    Reset,
    Toggle,
    Help,
}

/// What the middle of the view shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shown {
    #[default]
    Hops,
    Paths,
}

/// All that is known, without a clock, a socket or a terminal.
#[derive(Debug)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) host: String,
    /// By target: a host may have an address of each family.
    pub(super) routes: BTreeMap<IpAddr, Route>,
    pub(super) rounds: u32,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) shown: Shown,
    /// Paths are looked for.
    pub(super) has_paths: bool,
    /// Why nothing more is measured.
    pub(super) halted: Option<String>,
    /// Since when the figures count, on the run's clock.
    pub(super) since: Duration,
}

/// The way to one target.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) protocol: Option<TraceProtocol>,
    hops: BTreeMap<u8, Stop>,
    /// The nearest distance at which the target answered.
    pub(super) distance: Option<u8>,
    pub(super) paths: Vec<Path>,
    /// Distances whose probes of this round were counted: a trace shows its hops before it is complete, and then again.
    counted: BTreeSet<u8>,
    /// The target's own limit on its answers may be what the paths seem to lose.
    pub(super) losses_doubtful: bool,
    /// The last ICMP error for the target since it answered last, in words, and who sent it.
    pub(super) said: Option<(&'static str, IpAddr)>,
    /// Why the last round could not go on.
    pub(super) failure: Option<String>,
}

/// One distance.
#[derive(Debug, Default)]
pub(super) struct Stop {
    pub(super) track: Track,
    /// With how often each answered, in order of first answers.
    addresses: Vec<(IpAddr, u32)>,
    names: BTreeMap<IpAddr, String>,
}

/// One of the ways that flows are spread over.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) hops: Vec<Option<IpAddr>>,
    pub(super) track: Track,
    /// Flows that took it in the last round.
    pub(super) flows: u16,
}

impl View {
    pub(super) fn new(kind: Kind, host: &str, has_paths: bool, now: Duration) -> Self {
        Self {
            kind,
            host: host.to_owned(),
            routes: BTreeMap::new(),
            rounds: 0,
            paused: false,
            help: false,
            shown: Shown::Hops,
            has_paths,
            halted: None,
            since: now,
        }
    }

    /// Takes in what a probe recorded.
    pub(super) fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::Hop(hop) => self.routes.entry(hop.target).or_default().hop(hop),
            Fact::Trace(trace) => self.routes.entry(trace.target).or_default().trace(trace),
            Fact::Echo(echo) => self.routes.entry(echo.address).or_default().echo(echo),
            _ => {}
        }
    }

    pub(super) fn round_ended(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        self.routes.values_mut().for_each(|route| route.counted.clear());
    }

    /// Rounds whose probes are in the figures: those that ended, and the one under way once something of it is known.
    pub(super) fn rounds_in_figures(&self) -> u32 {
        let first = self.rounds == 0 && !self.routes.is_empty();
        let under_way = first || self.routes.values().any(|route| !route.counted.is_empty());
        self.rounds.saturating_add(u32::from(under_way))
    }

    /// A target gives no sign, and no router has said why: the next round is worth a longer wait.
    pub(super) fn awaits_word(&self) -> bool {
        let in_turn = self.rounds < PATIENT_ROUNDS || self.rounds.is_multiple_of(PATIENT_EVERY);
        let silent = |route: &Route| route.said.is_none() && route.target().is_none_or(|stop| stop.track.is_silent(SILENT_AFTER));
        in_turn && (self.routes.is_empty() || self.routes.values().any(silent))
    }

    /// Does what the key says. Whether to go on.
    pub(super) fn press(&mut self, key: Key, now: Duration) -> bool {
        match key {
            Key::Interrupt => return false,
            Key::Quit if self.help => self.help = false,
            Key::Quit => return false,
            Key::Pause => self.paused = !self.paused,
            Key::Help => self.help = !self.help,
            Key::Toggle if self.has_paths => {
                self.shown = if self.shown == Shown::Hops { Shown::Paths } else { Shown::Hops };
            }
            Key::Toggle => {}
            Key::Reset => {
                self.routes.clear();
                self.rounds = 0;
                self.since = now;
            }
        }
        true
    }
}

impl Route {
    fn hop(&mut self, hop: &Hop) {
        let stop = self.hops.entry(hop.ttl).or_default();
        self.protocol = Some(hop.protocol);
        let probes = if self.counted.insert(hop.ttl) { &hop.probes[..] } else { &[] };
        for probe in probes {
            stop.track.add(probe.reply.as_ref().map(|reply| reply.rtt_us));
            if let Some(reply) = &probe.reply {
                stop.answered_by(reply.from);
                match (reply.kind, &reply.icmp) {
                    (ReplyKind::Unreachable, Some(icmp)) => self.said = Some((icmp.words(), icmp.offender)),
                    (ReplyKind::Arrived, _) => self.said = None,
                    _ => {}
                }
            }
        }
        stop.names.extend(hop.names.iter().map(|name| (name.address, name.name.clone())));
    }

    fn trace(&mut self, trace: &Trace) {
        self.distance = self.distance.into_iter().chain(trace.distance).min();
        self.failure = trace.failure.as_ref().map(Failure::words);
        self.protocol = Some(trace.protocol);
        for path in trace.multipath.iter().flat_map(|multipath| &multipath.paths) {
            self.path(path);
        }
        // The target may limit its answers to UDP, which spares no path: as in the report of one measurement.
        let clean = |path: &Path| path.track.sent() > 0 && path.track.lost() == 0;
        self.losses_doubtful = trace.protocol == TraceProtocol::Udp && !self.paths.iter().any(clean);
    }

    fn path(&mut self, seen: &TracePath) {
        let place = match self.paths.iter().position(|path| path.is(&seen.hops)) {
            Some(place) => place,
            None if self.paths.len() < MAX_PATHS => {
                self.paths.push(Path { hops: seen.hops.clone(), track: Track::default(), flows: 0 });
                self.paths.len() - 1
            }
            None => return,
        };
        if let Some(path) = self.paths.get_mut(place) {
            path.flows = seen.flows;
            for (known, address) in path.hops.iter_mut().zip(&seen.hops) {
                *known = known.or(*address);
            }
            let times = seen.rtt.map(|rtt| (rtt.min_us, rtt.median_us, rtt.max_us));
            let (sent, answered) = super::joined::counts(seen);
            path.track.add_series(sent, answered, times);
        }
    }

    fn echo(&mut self, echo: &Echo) {
        self.distance = Some(DIRECTLY);
        self.failure = echo.failure.as_ref().map(Failure::words);
        let stop = self.hops.entry(DIRECTLY).or_default();
        for sequence in 0..echo.sent {
            let reply = echo.replies.iter().find(|reply| u32::from(reply.sequence) == sequence);
            stop.track.add(reply.map(|reply| reply.rtt_us));
        }
        if echo.sent > 0 {
            stop.answered_by(echo.address);
        }
        if !echo.replies.is_empty() {
            self.said = None;
        } else if let Some(icmp) = echo.errors.last() {
            self.said = Some((icmp.words(), icmp.offender));
        }
    }

    /// The distances worth a line: up to the target, or one beyond the last that answered.
    pub(super) fn hops(&self) -> impl Iterator<Item = (u8, &Stop)> {
        let last = self.distance.unwrap_or_else(|| self.last_answering().saturating_add(1));
        self.hops.range(..=last).map(|(ttl, stop)| (*ttl, stop))
    }

    /// The target's own distance, once it has answered.
    pub(super) fn target(&self) -> Option<&Stop> {
        self.hops.get(&self.distance?)
    }

    /// The largest distance that ever answered; 0 where none did.
    pub(super) fn last_answering(&self) -> u8 {
        self.hops.iter().rev().find(|(_, stop)| stop.track.answered() > 0).map_or(0, |(ttl, _)| *ttl)
    }

    /// Where the path has a router that no other path has at the same distance.
    pub(super) fn parting(&self, path: &Path) -> Option<(usize, IpAddr)> {
        let others = |place: usize, router: &IpAddr| {
            self.paths.iter().filter(|other| other.hops.get(place) == Some(&Some(*router))).count() > 1
        };
        let mut places = path.hops.iter().enumerate().filter_map(|(place, router)| Some((place, (*router)?)));
        places.find(|(place, router)| !others(*place, router)).map(|(place, router)| (place + 1, router))
    }

    pub(super) fn stop(&self, ttl: u8) -> Option<&Stop> {
        self.hops.get(&ttl)
    }
}

impl Stop {
    fn answered_by(&mut self, address: IpAddr) {
        if let Some((_, count)) = self.addresses.iter_mut().find(|(known, _)| *known == address) {
            *count = count.saturating_add(1);
        } else if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push((address, 1));
        }
    }

    /// Names or addresses, the most frequent first.
    pub(super) fn labels(&self) -> Vec<String> {
        let mut addresses = self.addresses.clone();
        addresses.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let label = |(address, _): &(IpAddr, u32)| self.names.get(address).cloned().unwrap_or_else(|| address.to_string());
        addresses.iter().map(label).collect()
    }
}

impl Path {
    /// Whether these are the same hops, as far as both are known: a router that kept silent once is no other path.
    fn is(&self, hops: &[Option<IpAddr>]) -> bool {
        let same = |(one, other): (&Option<IpAddr>, &Option<IpAddr>)| one.is_none() || other.is_none() || one == other;
        self.hops.len() == hops.len() && self.hops.iter().zip(hops).all(same)
    }
}
