//! What could not be measured: whole checks, and parts of checks that measured the rest.

use netsonde_contract::capability::{Right, System};
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::NotMeasured;
use netsonde_contract::observation::{Fact, Trace, TraceLacks, TraceProtocol};
use netsonde_contract::outcome::{Note, Outcome, Status};

/// The check where it could not measure, else each part that it left out. One that was skipped was not meant to run, and has no gap.
pub(super) fn of(outcome: &Outcome, environment: &Environment) -> Vec<NotMeasured> {
    if outcome.status == Status::NotMeasured {
        let unsaid = || Note { why: "It could not be measured.".to_owned(), grant: None };
        return vec![gap(outcome, outcome.required, outcome.note.clone().unwrap_or_else(unsaid))];
    }
    let mut gaps: Vec<NotMeasured> = Vec::new();
    for note in outcome.observations.iter().filter_map(|observation| left_out(&observation.fact, environment)) {
        // The same right may be missing for several addresses.
        if gaps.iter().all(|gap| gap.why != note.why) {
            // The check has its verdict without the part.
            gaps.push(gap(outcome, false, note));
        }
    }
    gaps
}

fn gap(outcome: &Outcome, required: bool, note: Note) -> NotMeasured {
    NotMeasured { check: outcome.check.clone(), required, why: note.why, grant: note.grant }
}

/// What the fact says that it lacks.
fn left_out(fact: &Fact, environment: &Environment) -> Option<Note> {
    match fact {
        Fact::AddressProbe(probe) => {
            let note = probe.unasked.as_ref()?;
            let why = format!("whether another machine uses its addresses was not asked: {}", note.why);
            Some(Note { why, grant: note.grant.clone() })
        }
        Fact::Firewall(firewall) => {
            let note = firewall.unread.as_ref()?;
            Some(Note { why: format!("this machine's firewall was not read: {}", note.why), grant: note.grant.clone() })
        }
        Fact::Trace(trace) if !trace.privileged && !trace.lacks.is_empty() => {
            let why = format!("the path was traced without raw sockets, which leaves out {}", lost(trace));
            // Of what traces with ICMP and without raw sockets, the interface of Windows alone lacks anything, and no right makes it tell more.
            let grant = (trace.protocol != TraceProtocol::Icmp)
                .then(|| Right::RawSockets.grant(System::of(&environment.os), environment.grantor));
            Some(Note { why, grant })
        }
        Fact::Connect(connect) => {
            let hold = connect
                .hold
                .as_ref()
                .filter(|hold| hold.failure.is_none() && hold.answered != Some(false) && hold.keepalive_s == 0)?;
            let held_s = hold.idle_us / 1_000_000;
            let uncovered: Vec<String> = IDLE_LIMITS
                .iter()
                .filter(|(limit_s, _)| held_s <= *limit_s)
                .map(|(limit_s, whose)| format!("{limit_s} s ({whose})"))
                .collect();
            let longest_s = IDLE_LIMITS.last().map_or(0, |(limit_s, _)| limit_s + IDLE_MARGIN_S);
            (!uncovered.is_empty()).then(|| Note {
                why: format!(
                    "a connection lives when it is idle for {held_s} s; whether it outlives the longer limits that are common was not tried: {}",
                    crate::wording::list(&uncovered)
                ),
                grant: Some(format!("hold it for longer: hold_s up to {longest_s}")),
            })
        }
        _ => None,
    }
}

/// After so many idle seconds the usual gateways forget a connection.
const IDLE_LIMITS: [(u64, &str); 5] = [
    (60, "AWS and nginx load balancers"),
    (100, "some firewalls"),
    (240, "Azure"),
    (350, "AWS network load balancers and NAT"),
    (600, "Google Cloud"),
];
/// A connection has to be idle for a little longer than the limit to meet it.
const IDLE_MARGIN_S: u64 = 60;

fn lost(trace: &Trace) -> String {
    let words = |lack: &TraceLacks| match lack {
        TraceLacks::QuotedHeaders => "what routers rewrite",
        TraceLacks::ConstantFlow => "which of several parallel paths is seen",
        TraceLacks::Duplicates => "duplicate replies",
    };
    crate::wording::list(&trace.lacks.iter().map(words).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, address_probe, held, trace};
    use netsonde_contract::finding::State;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TraceLacks};
    use netsonde_contract::outcome::Note;

    const WITH_SUDO: &str = "run the same command with sudo";

    #[test]
    fn a_firewall_that_could_not_be_read_is_a_gap_with_what_grants_it() {
        let unread = serde_json::json!({"fact": "firewall", "tables": [], "unread": {"why": "it shows itself to root only", "grant": WITH_SUDO}});
        let facts = [serde_json::from_value::<Fact>(unread).unwrap()];
        let diagnosis = Scene::new("shop.example").check(Kind::Host, facts).diagnose();
        assert_eq!(diagnosis.not_measured[0].grant.as_deref(), Some(WITH_SUDO), "{diagnosis:?}");
        assert!(diagnosis.not_measured[0].why.contains("firewall was not read"));
    }

    #[test]
    fn an_idle_connection_that_lives_says_which_limits_it_did_not_reach() {
        let gap = |seconds| {
            Scene::new("shop.example").check(Kind::Tcp, [held("192.0.2.1:443", 0, seconds, None)]).diagnose().not_measured
        };
        let why = &gap(100)[0].why;
        assert!(why.contains("240 s (Azure)") && why.contains("600 s") && !why.contains(" 60 s"), "{why}");
        assert!(gap(100)[0].grant.as_deref().unwrap().contains("660"));
        assert!(gap(660).is_empty());
    }

    #[test]
    fn a_part_that_needs_a_right_is_said_once_with_what_grants_it_and_costs_no_verdict() {
        let unasked = |address: &str| {
            let mut fact = address_probe(address, &[]);
            if let Fact::AddressProbe(probe) = &mut fact {
                probe.unasked = Some(Note { why: "it needs raw sockets".into(), grant: Some(WITH_SUDO.into()) });
            }
            fact
        };
        let mut path = trace("192.0.2.1", &["10.0.0.1", "192.0.2.1"]);
        for fact in &mut path {
            if let Fact::Trace(trace) = fact {
                (trace.privileged, trace.lacks) = (false, vec![TraceLacks::QuotedHeaders]);
            }
        }
        let scene = Scene::new("shop.example").check(Kind::Host, [unasked("192.0.2.7"), unasked("192.0.2.8")]);
        let diagnosis = scene.check(Kind::Traceroute, path).diagnose();
        assert_eq!(diagnosis.state, State::AsExpected);
        let gaps: Vec<_> = diagnosis.not_measured.iter().map(|gap| (gap.required, gap.grant.as_deref())).collect();
        assert_eq!(gaps, [(false, Some(WITH_SUDO)); 2], "{diagnosis:?}");
    }
}
