//! Connections that are kept open at once, and connections one after the other: what limits their number lets each of the latter stand, and
//! what goes with the flow, such as a broken parallel way, does not.

use crate::evidence::{Endpoint, Evidence, Seen};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Connect;
use netsonde_contract::outcome::Outcome;

/// Of all pairs of a silent attempt and one that stood, at most one in so many may have the silent one first: translators look for a
/// free port at random, and miss the last ones now and then.
const LEAST_IN_ORDER: u64 = 8;
/// So many standard deviations from what chance gives (Mann and Whitney's U): about once in a hundred times.
const DEVIATIONS: f64 = 2.3;
/// Where some connections stay silent one after the other as well: about once in seven hundred times.
const DEVIATIONS_AGAINST: f64 = 3.0;
/// Connections one after the other, of which fewer say nothing.
const LEAST_IN_TURN: usize = 5;
/// That connections one after the other all stand tells where flows of which so many are silent would do so once in twenty times. It is
/// asked where the silent ones of those at once are the last ones, which is not likely either.
const CHANCE: f64 = 0.05;

/// What became of the connections of a port that were made one after the other, each closed before the next began. One that stood when it
/// had asked again counts among those that stood: the packets of its flow get through, and what it had to wait for was another's end.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct InTurn<'a> {
    pub(in crate::rules) stood: usize,
    pub(in crate::rules) silent: usize,
    pub(in crate::rules) ids: Vec<&'a ObservationId>,
}

/// What became of those that were made, and kept open, at once.
#[derive(Clone, Debug, Default)]
struct AtOnce<'a> {
    /// Of the check of which the most stood.
    most_stood: usize,
    stood: usize,
    silent: usize,
    late: usize,
    /// Pairs of a silent attempt and one that stood; and those of them whose silent one was made first.
    pairs: u64,
    out_of_order: u64,
    /// The square of the deviation that chance gives.
    variance: f64,
    ids: Vec<&'a ObservationId>,
}

/// What the connections of one port show of a limit on their number.
#[derive(Clone, Debug)]
pub(crate) struct Numbers<'a> {
    at_once: AtOnce<'a>,
    in_turn: Option<InTurn<'a>>,
}

/// A limit on the number of connections.
pub(in crate::rules) struct Limit<'a> {
    /// As many as stand at once.
    pub(in crate::rules) stood: usize,
    /// Those beyond them, of all checks.
    pub(in crate::rules) silent: usize,
    pub(in crate::rules) ids: Vec<&'a ObservationId>,
    /// Connections one after the other, where they all stand.
    pub(in crate::rules) in_turn: Option<InTurn<'a>>,
}

impl<'a> Numbers<'a> {
    /// None where no connections were made at once, or they ended otherwise than by standing or in silence.
    pub(crate) fn of(evidence: &Evidence<'a>, endpoint: &Endpoint<'_>) -> Option<Self> {
        // Where more and more stand, it is not their number at one time.
        if evidence.let_in_by_number(endpoint).is_some() {
            return None;
        }
        let attempts = || evidence.connects.iter().filter(|seen| seen.fact.address == endpoint.address);
        let mut checks: Vec<&Outcome> = Vec::new();
        for seen in attempts() {
            if checks.iter().all(|known| known.check != seen.outcome.check) {
                checks.push(seen.outcome);
            }
        }
        let (mut at_once, mut in_turn): (AtOnce<'a>, Option<InTurn<'a>>) = (AtOnce::default(), None);
        for check in checks {
            let mut series: Vec<Seen<'a, Connect>> =
                attempts().filter(|seen| seen.outcome.check == check.check).copied().collect();
            series.sort_by_key(|seen| seen.fact.attempt);
            let told = series.iter().all(|seen| is_silent(seen) || seen.failure.is_none());
            match check.parameters.get("concurrent").and_then(serde_json::Value::as_u64).unwrap_or(1) {
                _ if !told => return None,
                0 | 1 if series.len() >= LEAST_IN_TURN => in_turn.get_or_insert_with(InTurn::default).add(&series),
                0 | 1 => {}
                concurrent if concurrent >= series.len() as u64 => at_once.add(&series),
                _ => return None,
            }
        }
        (at_once.silent > 0 && at_once.stood > 0).then_some(Self { at_once, in_turn })
    }

    /// The limit, where the connections follow one.
    pub(in crate::rules) fn limit(self) -> Option<Limit<'a>> {
        let is_one = match &self.in_turn {
            None => self.at_once.follows_order(DEVIATIONS),
            Some(in_turn) if in_turn.silent > 0 => self.at_once.follows_order(DEVIATIONS_AGAINST),
            Some(_) if self.at_once.late > 0 => self.at_once.follows_order(DEVIATIONS),
            Some(in_turn) => {
                let by_turns = self.at_once.silent > 1 && self.at_once.is_in_order() && self.at_once.would_show(in_turn.stood);
                by_turns || self.at_once.follows_order(DEVIATIONS)
            }
        };
        is_one.then(|| Limit {
            stood: self.at_once.most_stood,
            silent: self.at_once.silent,
            ids: self.at_once.ids,
            // What lets in connections that ask again beside those that stand does not count them.
            in_turn: self.in_turn.filter(|in_turn| in_turn.silent == 0 && self.at_once.late == 0),
        })
    }

    /// The silent ones were made after those that stood, and whether that is their number's doing or chance is not known.
    pub(in crate::rules) fn may_be_limited(&self) -> bool {
        self.silent_in_turn().is_empty() && self.at_once.is_in_order()
    }

    /// Connections one after the other would tell whether their number silences the last of those at once.
    pub(crate) fn wants_turns(&self) -> bool {
        self.in_turn.is_none() && self.at_once.is_in_order()
    }

    /// Connections one after the other all stand, and more than so many at once do not.
    pub(crate) fn are_limited(&self) -> bool {
        self.clone().limit().is_some_and(|limit| limit.in_turn.is_some())
    }

    /// Connections one after the other, some of which stayed silent: their number is not what silences them.
    pub(in crate::rules) fn silent_in_turn(&self) -> Vec<&'a ObservationId> {
        self.in_turn.as_ref().filter(|in_turn| in_turn.silent > 0).map(|in_turn| in_turn.ids.clone()).unwrap_or_default()
    }
}

impl<'a> InTurn<'a> {
    fn add(&mut self, series: &[Seen<'a, Connect>]) {
        let silent = series.iter().filter(|seen| is_silent(seen)).count();
        self.silent += silent;
        self.stood += series.len() - silent;
        self.ids.extend(series.iter().map(|seen| seen.id));
    }
}

impl<'a> AtOnce<'a> {
    /// Adds the attempts of one check, in the order of their making.
    fn add(&mut self, series: &[Seen<'a, Connect>]) {
        let (mut silent_before, mut out_of_order) = (0_u64, 0_u64);
        for seen in series {
            if is_silent(seen) {
                silent_before += 1;
            } else {
                out_of_order += silent_before;
            }
        }
        let silent = usize::try_from(silent_before).unwrap_or(usize::MAX);
        let stood = series.len().saturating_sub(silent);
        let pairs = stood as u64 * silent_before;
        self.most_stood = self.most_stood.max(stood);
        self.stood += stood;
        self.silent += silent;
        self.late += series.iter().filter(|seen| is_late(seen)).count();
        self.pairs += pairs;
        self.out_of_order += out_of_order;
        self.variance += pairs as f64 * (series.len() as f64 + 1.0) / 12.0;
        self.ids.extend(series.iter().map(|seen| seen.id));
    }

    fn is_in_order(&self) -> bool {
        self.pairs > 0 && self.out_of_order * LEAST_IN_ORDER <= self.pairs
    }

    /// The silent attempts come after those that stood, by so much more clearly than chance orders them.
    fn follows_order(&self, deviations: f64) -> bool {
        let beyond_chance = self.pairs as f64 / 2.0 - self.out_of_order as f64;
        self.is_in_order() && beyond_chance >= deviations * self.variance.sqrt()
    }

    /// Were it the flows that are silent, so many more would hardly all stand.
    fn would_show(&self, more: usize) -> bool {
        let share = self.stood as f64 / (self.stood + self.silent) as f64;
        share.powi(i32::try_from(more).unwrap_or(i32::MAX)) <= CHANCE
    }
}

/// It stood when its SYN had been sent again, as the system counted, or as its time tells (RFC 6298 section 2).
fn is_late(seen: &Seen<'_, Connect>) -> bool {
    /// A little less than the second after which a SYN is sent again.
    const AGAIN_US: u64 = 950_000;
    seen.failure.is_none() && seen.syn_retransmits.map_or(seen.took_us >= AGAIN_US, |again| again > 0)
}

fn is_silent(seen: &Seen<'_, Connect>) -> bool {
    seen.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none())
}
