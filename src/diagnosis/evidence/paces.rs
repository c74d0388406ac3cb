//! How connections fare that begin in quick succession, beside those that begin slowly: a limit on how many begin in a second stops the former
//! alone, and loss on the way takes no account of their pace.

use super::sent_again::{begins_together, check_of};
use super::{Attempt, Endpoint, Evidence, Share};
use netsonde_contract::outcome::Outcome;
use serde_json::Value;

/// Connections that begin at least so many milliseconds apart are slow: three a second pass all limits that are common.
pub(crate) const SLOW_SPREAD_MS: u64 = 300;
/// So many slow ones are enough to tell: a way that loses a third would spare them all once in a hundred times.
pub(crate) const LEAST_SLOW: u32 = 10;

/// First packets of connections to one port that got no answer, of those that began in quick succession and of those that began slowly.
#[derive(Debug, Default)]
pub(crate) struct Paces<'a> {
    pub(crate) quick: Share<'a>,
    pub(crate) slow: Share<'a>,
}

impl<'a> Paces<'a> {
    pub(crate) fn of(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Self {
        let mut paces = Self::default();
        for seen in evidence.connects.iter().filter(|seen| seen.fact.address == endpoint.address) {
            let attempt = endpoint.attempts.iter().find(|attempt| attempt.id == seen.id);
            if let (Some(attempt), Some(is_slow)) = (attempt, is_slow(seen.outcome)) {
                let share = if is_slow { &mut paces.slow } else { &mut paces.quick };
                share.add(u32::from(is_uneven(attempt)), 1, attempt.id);
            }
        }
        paces
    }

    /// Clearly more of the quick ones stayed without an answer at first, and at most one of enough slow ones.
    pub(crate) fn show_limit(&self) -> bool {
        self.slow.of >= LEAST_SLOW && self.slow.cases <= 1 && self.quick.least_above(&self.slow) > 0.0
    }
}

fn is_uneven(attempt: &Attempt<'_>) -> bool {
    attempt.connected_late() || attempt.silent()
}

/// None for connections that are made one after the other, each when the one before has ended: their pace is the way's.
fn is_slow(outcome: &Outcome) -> Option<bool> {
    let number = |name| outcome.parameters.get(name).and_then(Value::as_u64);
    let spread_ms = number("spread_ms").unwrap_or_default();
    (number("concurrent").unwrap_or(1) > 1).then_some(spread_ms >= SLOW_SPREAD_MS)
}

/// So many moments at which about as many stood, and others had to wait on: by chance the numbers fall from one to the next.
const LEAST_MOMENTS: usize = 3;

impl Evidence<'_> {
    /// Of connections that began at the same moment, each time that first packets were sent again about as many stood, and the others waited on:
    /// how many at the most. A queue with room takes all that come at that moment, and loss lets fewer and fewer through.
    pub(crate) fn let_in_by_number(&self, endpoint: &Endpoint<'_>) -> Option<usize> {
        let mut checks: Vec<&str> = Vec::new();
        for connect in self.connects.iter().filter(|connect| begins_together(connect.outcome)) {
            if connect.fact.address == endpoint.address && !checks.contains(&check_of(connect.id)) {
                checks.push(check_of(connect.id));
            }
        }
        let mut moments: Vec<usize> = Vec::new();
        for check in checks {
            let of_check = || endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check && check_of(attempt.id) == check);
            let stood_after =
                |again: u32| of_check().filter(|attempt| attempt.connected() && attempt.sent_again() == again).count();
            let most = of_check().filter(|attempt| attempt.connected()).map(|attempt| attempt.sent_again()).max()?;
            let silent = of_check().filter(|attempt| attempt.silent()).count();
            let waits_on = |again: u32| silent > 0 || again < most;
            moments.extend((1..=most).filter(|again| waits_on(*again)).map(stood_after));
        }
        let (least, most) = (*moments.iter().min()?, *moments.iter().max()?);
        (moments.len() >= LEAST_MOMENTS && least > 0 && most - least <= 1).then_some(most)
    }
}
