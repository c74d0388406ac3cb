use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::rules::host::{exhausted, link_down};
use crate::rules::path::loss;
use crate::wording::{count, list};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{InterfaceCounters, InterfaceGrowth};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["path.loss", "host.buffers_exhausted"],
    settled_by: Some("the interface's own statistics while traffic flows, twice: `ethtool -S INTERFACE`"),
    ..Rule::new("host.interface_errors", &["path.loss", "host.buffers_exhausted"], evaluate)
};

/// The interface counts errors while packets to the target are lost.
const WITH_LOSS: f64 = 0.85;
/// It counts errors, and nothing is felt yet.
const ALONE: f64 = 0.75;

/// Fewer than so many are chance: a cable that is plugged in, a radio that changes its rate.
const LEAST: u64 = 3;
/// One in a hundred packets, from which on loss is felt.
const ONE_IN: u64 = 100;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let Some(counters) = evidence.grown() else { return Vec::new() };
    // An interface without a link drops whatever does not fit its queue.
    if link_down::all_dead(evidence).is_some() {
        return Vec::new();
    }
    let used = |name: &str| evidence.routes.iter().any(|route| route.fact.interface.as_deref() == Some(name));
    let lost: Vec<_> = evidence.addresses().into_iter().filter_map(|address| loss::share(evidence, address)).collect();
    // The system passes on what the interface says to a program whose packet it drops, in the words of a full queue.
    let (refused, matters) = exhausted::failures(evidence, &FailureCode::BuffersExhausted);
    let of_interface = |growth: &InterfaceGrowth| {
        let told = telling(&growth.counters, !lost.is_empty())?;
        let dropped = !refused.is_empty() && growth.counters.tx_dropped > 0;
        let (severity, confidence, felt) = match (dropped, lost.is_empty()) {
            (true, _) if matters => (Severity::Problem, WITH_LOSS, " Packets of this run were among them."),
            (true, true) => (Severity::Notice, WITH_LOSS, " Packets of this run were among them."),
            (false, true) => (Severity::Notice, ALONE, ""),
            (_, false) => (Severity::Degraded, WITH_LOSS, " Packets to the target are lost meanwhile."),
        };
        let refused = refused.iter().filter(|_| dropped).map(|(_, id)| *id);
        let packets = growth.counters.rx_packets.saturating_add(growth.counters.tx_packets);
        let sentence = format!(
            "The network interface {} of this machine counted {told} during the run, beside {packets} good packets.{felt}",
            growth.name
        );
        let candidate = Candidate::new(severity, confidence, sentence)
            .at(Place { interface: Some(growth.name.clone()), ..Place::default() })
            .resting_on([counters.id])
            .resting_on(lost.iter().flat_map(|share| share.ids.iter().copied()))
            .resting_on(refused)
            .rejecting(
                "host.buffers_exhausted",
                "The interface itself counts what it dropped, rather than its queue or the memory being full.",
                dropped.then_some(counters.id),
            )
            .rejecting("path.loss", "The packets were lost at this machine's own interface.", [counters.id])
            .next(
                Who::Customer,
                "Change the cable or the port it is in, and look that both ends agreed on the same speed and duplex (`ethtool INTERFACE`); on Wi-Fi move closer; in a virtual machine look at the host's load.",
            );
        Some(candidate)
    };
    counters.fact.interfaces.iter().filter(|growth| used(&growth.name)).filter_map(of_interface).collect()
}

/// What the interface counted, in words, where it is more than chance. Packets that came in and were dropped are mostly of protocols that
/// nobody on this machine speaks: they count only where packets are missed.
fn telling(counters: &InterfaceCounters, lost: bool) -> Option<String> {
    let rx_dropped = if lost { counters.rx_dropped } else { 0 };
    let parts = [
        (counters.rx_errors, "receive error"),
        (counters.tx_errors, "send error"),
        (counters.tx_dropped, "packet dropped on its way out"),
        (rx_dropped, "packet dropped on its way in"),
    ];
    let total = parts.iter().fold(0_u64, |sum, (number, _)| sum.saturating_add(*number));
    let packets = counters.rx_packets.saturating_add(counters.tx_packets);
    if total < LEAST || total.saturating_mul(ONE_IN) < packets {
        return None;
    }
    let words = |(number, what): &(u64, &str)| match what.split_once(' ') {
        Some(("packet", rest)) => format!("{} {rest}", count(i64::try_from(*number).unwrap_or(i64::MAX), "packet")),
        _ => count(i64::try_from(*number).unwrap_or(i64::MAX), what),
    };
    Some(list(&parts.iter().filter(|(number, _)| *number > 0).map(words).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo_failed, echo_series, failure, grown, route};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::InterfaceCounters;

    fn scene(counters: InterfaceCounters, lost: u32) -> Scene {
        let counters = InterfaceCounters { rx_packets: 100, tx_packets: 100, ..counters };
        Scene::new("shop.example")
            .check(Kind::Host, [route("192.0.2.1", Some("10.0.0.1")), grown(&[], counters)])
            .check(Kind::Tcp, [connected("192.0.2.1:443")])
            .check(Kind::Icmp, [echo_series("192.0.2.1", 20, lost, |_| {})])
    }

    #[test]
    fn errors_of_the_own_interface_explain_loss_on_the_way() {
        let counters = InterfaceCounters { rx_errors: 4, tx_dropped: 1, ..InterfaceCounters::default() };
        let finding = scene(counters, 5).finds("host.interface_errors");
        assert!(finding.sentence.contains("4 receive errors and 1 packet dropped on its way out"), "{}", finding.sentence);
    }

    #[test]
    fn errors_that_nobody_feels_are_worth_knowing() {
        let counters = InterfaceCounters { tx_errors: 9, ..InterfaceCounters::default() };
        assert_eq!(scene(counters, 0).is_healthy(), ["host.interface_errors"]);
    }

    #[test]
    fn what_the_interface_drops_and_counts_is_no_missing_memory() {
        for (tx_dropped, cause) in [(20, "host.interface_errors"), (0, "host.buffers_exhausted")] {
            let counters = InterfaceCounters { rx_packets: 20, tx_packets: 20, tx_dropped, ..InterfaceCounters::default() };
            let failed = failure(FailureCode::BuffersExhausted, Step::Send);
            let scene = Scene::new("shop.example")
                .check(Kind::Host, [route("192.0.2.1", Some("10.0.0.1")), grown(&[], counters)])
                .check(Kind::Icmp, [echo_failed("192.0.2.1", failed)])
                .required();
            let finding = scene.finds(cause);
            assert_eq!(finding.severity, Severity::Problem);
        }
    }

    #[test]
    fn packets_of_unknown_protocols_and_single_errors_are_no_fault() {
        let counters = InterfaceCounters { rx_dropped: 40, rx_errors: 2, ..InterfaceCounters::default() };
        assert!(scene(counters, 0).is_healthy().is_empty());
    }
}
