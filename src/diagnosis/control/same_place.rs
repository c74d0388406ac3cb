//! The very endpoint or name server of a cause, asked from elsewhere.

use super::answers::SAME_TIME_US;
use super::pairing::same_name;
use super::weighing::{CONFIRMED, FITTING, Weight, lowered, name_of, raised};
use super::{Pair, sides};
use crate::candidate::Candidate;
use crate::evidence::Seen;
use crate::threshold::CLOCK_OFF_US;
use netsonde_contract::finding::Who;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Service;
use std::net::SocketAddr;

/// The very place works for the control in the same step: what was seen here stands, and its cause is more likely elsewhere.
const WORKS_FOR_OTHERS: f64 = 0.55;
/// One time server against two machines.
const ALIKE_BY_ONE_SERVER: f64 = 0.6;

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

/// What the same time servers say of the control's clock: one that is right for another machine is right.
pub(super) fn clock(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let own = pair.here.time_offsets.iter().filter(|offset| candidate.evidence.contains(offset.id));
    let asked: Vec<(i64, SocketAddr)> = own.filter_map(|offset| Some((offset.offset_us?, offset.address))).collect();
    let from = pair.vantage.name();
    let (mut right, mut alike) = (Vec::new(), Vec::new());
    for other in &pair.there.time_offsets {
        let Some(theirs_us) = other.offset_us else { continue };
        let Some((ours_us, _)) = asked.iter().find(|(_, at)| *at == other.address) else { continue };
        if theirs_us.saturating_abs() <= CLOCK_OFF_US {
            right.push(other.id.clone());
        } else if theirs_us.saturating_sub(*ours_us).saturating_abs() <= SAME_TIME_US {
            alike.push(other.id.clone());
        }
    }
    if !right.is_empty() {
        let text =
            format!("{from} asks the same time server, and its clock is right by it: it is this machine's clock that is wrong.");
        return Weight::new(raised(candidate, CONFIRMED), text, right);
    }
    let text = format!(
        "{from} is as far from the same time server's time: the server may be the one that is wrong, or both machines take their time from one clock."
    );
    // Several servers that agree are not all wrong.
    let confidence = if asked.len() == 1 { lowered(candidate, ALIKE_BY_ONE_SERVER) } else { candidate.confidence };
    Weight::new(confidence, text, alike)
}

/// The service's own refusal, which is as true wherever another client stands: that one tells whether it is for this one alone.
pub(super) fn refused_by_policy(pair: &Pair<'_, '_>, candidate: &Candidate) -> Option<Weight> {
    let of_rule = |service: &&Seen<'_, Service>| candidate.evidence.contains(service.id);
    let own = pair.here.services.iter().find(of_rule)?;
    let same = |service: &&Seen<'_, Service>| service.address == own.address && service.protocol == own.protocol;
    let (served, refused): (Vec<_>, Vec<_>) = pair
        .there
        .services
        .iter()
        .filter(same)
        .filter(|service| service.refusal.is_some() || service.failure.is_none())
        .partition(|service| service.refusal.is_none());
    let (from, ids) =
        (pair.vantage.name(), |services: Vec<&Seen<'_, Service>>| services.iter().map(|one| one.id.clone()).collect());
    if !served.is_empty() {
        let text = format!("{from} is served at the same port: the refusal is for this machine's address, or for its network.");
        return Weight::new(raised(candidate, CONFIRMED), text, ids(served));
    }
    let text = format!("{from} is refused as well: the service refuses more than this machine.");
    Weight::new(candidate.confidence, text, ids(refused))
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
        let confidence =
            if near { raised(candidate, agreed(candidate).max(FITTING)) } else { lowered(candidate, WORKS_FOR_OTHERS) };
        return Weight::new(confidence, text, worked);
    }
    let near = sides::is_near(code);
    let text = match near {
        true => {
            format!("{from} fails at the same place in the same way: a cause on the way from here alone does not explain both.")
        }
        false => format!("{from} fails at the same place in the same way: it is the far side, not the way from here."),
    };
    Weight::new(if near { lowered(candidate, FITTING) } else { agreed(candidate) }, text, failed)
}

/// Half of the doubt that was left.
fn agreed(candidate: &Candidate) -> f64 {
    candidate.confidence + (1.0 - candidate.confidence) / 2.0
}
