//! The very endpoint or name server of a cause, asked from elsewhere.

use super::pairing::same_name;
use super::weighing::{FITTING, Weight, lowered, name_of, raised};
use super::{Pair, sides};
use crate::candidate::Candidate;
use netsonde_contract::finding::Who;
use netsonde_contract::id::ObservationId;

/// The very place works for the control in the same step: what was seen here stands, and its cause is more likely elsewhere.
const WORKS_FOR_OTHERS: f64 = 0.55;

/// The same name server answers the control for the same name.
pub(super) fn same_server(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let (resolver, name) = (candidate.place.resolver?, name_of(candidate)?);
    let names = pair.there.names();
    let views = names.iter().filter(|view| same_name(view.name, name)).flat_map(|view| &view.servers);
    let answers = views.filter(|server| server.server.ip() == resolver).flat_map(|server| server.answers());
    let ids: Vec<ObservationId> = answers.map(|(lookup, _)| lookup.id.clone()).collect();
    let text = format!(
        "The name server {resolver} answers {} for the same name: it works, and what is lost is lost on the way from here or by a rule for this source.",
        pair.vantage.name()
    );
    Weight::new(raised(candidate, FITTING), text, ids).map(|weight| {
        weight.next(
            Who::Network,
            "Look at what is between this machine and the name server, and at the networks to which the server gives answers.",
        )
    })
}

/// The same endpoint works for the control, with handshake and answer where both were asked for: that speaks for causes on the way from
/// here, and against those of the server.
pub(super) fn works(pair: &Pair<'_, '_>, candidate: &Candidate, code: &str) -> Option<Weight> {
    let (worked, failed) = sides::seen(pair, candidate);
    let from = pair.vantage.name();
    if !worked.is_empty() {
        let near = sides::is_near(code);
        let text = match near {
            true => format!("{from} uses the same place without a fault: it is the way from here, or this machine."),
            false => format!(
                "{from} uses the same place without a fault: the server works for others, so that what differs between the two places comes first."
            ),
        };
        let confidence = if near { raised(candidate, FITTING) } else { lowered(candidate, WORKS_FOR_OTHERS) };
        return Weight::new(confidence, text, worked);
    }
    let near = sides::is_near(code);
    let text = match near {
        true => {
            format!("{from} fails at the same place in the same way: a cause on the way from here alone does not explain both.")
        }
        false => format!("{from} fails at the same place in the same way: it is the far side, not the way from here."),
    };
    let agreed = candidate.confidence + (1.0 - candidate.confidence) / 2.0;
    Weight::new(if near { lowered(candidate, FITTING) } else { agreed }, text, failed)
}
