use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::wording::{count, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Trace, TraceIds, TraceLacks};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a longer trace, `netsonde run path` with ten rounds: the new way stays, or the old one comes back"),
    ..Rule::new("path.route_changed", &["path.ecmp_member_bad"], evaluate)
};

/// Another router answered for the same flow, and the earlier one did not come back.
const CONFIDENCE: f64 = 0.8;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.traces.iter().filter_map(|trace| changed(evidence, trace)).collect()
}

fn changed(evidence: &Evidence<'_>, trace: &Seen<'_, Trace>) -> Option<Candidate> {
    let fact = trace.fact;
    // Flows that differ may take ways that differ, without any change.
    let one_flow =
        matches!(fact.ids, Some(TraceIds::Paris | TraceIds::Dublin)) && !fact.lacks.contains(&TraceLacks::ConstantFlow);
    if !one_flow {
        return None;
    }
    // A router that comes back shares its load packet by packet, which is no change.
    let comes_back = |at: usize| {
        fact.changes
            .iter()
            .enumerate()
            .any(|(other, change)| other != at && change.ttl == fact.changes[at].ttl && change.after == fact.changes[at].before)
    };
    let lasting: Vec<_> = (0..fact.changes.len()).filter(|at| !comes_back(*at)).map(|at| fact.changes[at]).collect();
    let first = lasting.iter().min_by_key(|change| change.ttl)?;
    let lossy = loss::share(evidence, fact.target);
    let more = match lasting.len() {
        1 => String::new(),
        several => format!(", and {} changed in all", count(i64::try_from(several).unwrap_or(i64::MAX), "hop")),
    };
    let felt = if lossy.is_some() { " Packets were lost meanwhile." } else { "" };
    let sentence = format!(
        "The way to {} changed during the run: at hop {} {} answered first, and then {}{more}.{felt}",
        named(&fact.host, fact.target),
        first.ttl,
        first.before,
        first.after
    );
    let severity = if lossy.is_some() { Severity::Degraded } else { Severity::Notice };
    let candidate = Candidate::new(severity, CONFIDENCE, sentence)
        .at(Place { hop: Some(first.ttl), address: Some(first.after), ..Place::default() })
        .resting_on([trace.id])
        .resting_on(lossy.into_iter().flat_map(|share| share.ids))
        .rejecting("path.ecmp_member_bad", "It was one flow throughout, which parallel ways keep together.", [trace.id])
        .next(
            Who::Network,
            "A single change is everyday. Where it comes again or packets are lost with it, ask whoever runs the hop before it for a link or routing session that comes and goes.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, RouteChange, TraceIds};

    fn scene(ids: TraceIds, changes: &[(u8, &str, &str)]) -> Scene {
        let mut facts = trace("192.0.2.1", &["10.0.0.1", "10.9.0.1", "192.0.2.1"]);
        if let Some(Fact::Trace(trace)) = facts.last_mut() {
            trace.ids = Some(ids);
            let change = |(round, before, after): &(u8, &str, &str)| RouteChange {
                ttl: 2,
                round: *round,
                before: before.parse().unwrap(),
                after: after.parse().unwrap(),
            };
            trace.changes = changes.iter().map(change).collect();
        }
        Scene::new("shop.example").check(Kind::Traceroute, facts)
    }

    #[test]
    fn another_router_for_the_same_flow_is_a_change() {
        let scene = scene(TraceIds::Paris, &[(1, "10.9.0.1", "10.9.0.5")]);
        assert_eq!(scene.is_healthy(), ["path.route_changed"]);
        assert!(scene.diagnose().findings[0].sentence.contains("at hop 2 10.9.0.1 answered first, and then 10.9.0.5"));
    }

    #[test]
    fn routers_that_take_turns_and_flows_that_differ_are_no_change() {
        let turns = [(1, "10.9.0.1", "10.9.0.5"), (2, "10.9.0.5", "10.9.0.1")];
        assert!(scene(TraceIds::Paris, &turns).is_healthy().is_empty());
        assert!(scene(TraceIds::Classic, &turns[..1]).is_healthy().is_empty());
    }
}
