//! By which means a system measures, and when they told nothing.

use crate::context::NotMeasurable;
use netsonde_contract::capability::{MTU_ICMP, MTU_UDP, Means, Sight, System};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::observation::{Mtu, MtuLimit, MtuTransport};

/// What is sent on a system: where it has no means of keeping datagrams whole, echo requests take their place.
pub(super) fn chosen(wanted: MtuTransport, system: System) -> MtuTransport {
    let lacks = |sight: &Sight| sight.means(system) == Means::Unbuilt;
    if wanted == MtuTransport::Udp && lacks(&MTU_UDP) && !lacks(&MTU_ICMP) { MtuTransport::Icmp } else { wanted }
}

/// Why nothing is known of any address: many hosts answer no echo request at all, which is nothing that is wrong with the path.
pub(super) fn untold(host: &str, facts: &[Mtu]) -> Option<NotMeasurable> {
    let reasons: Option<Vec<&Failure>> = facts.iter().map(silence).collect();
    let reasons = reasons.filter(|reasons| !reasons.is_empty())?;
    Some(match reasons.into_iter().find(|failure| failure.code != FailureCode::TimedOut) {
        Some(own) => NotMeasurable::new(own.text.clone()),
        None => NotMeasurable::with_grant(
            format!("{host} answers no echo request, and a large one that is lost looks like one that nobody answers"),
            "measure the way to a host near it that answers pings",
        ),
    })
}

/// Why echo requests told nothing of the address: none was answered, and nobody said why, or this machine would not say what it sends whole.
pub(super) fn silence(fact: &Mtu) -> Option<&Failure> {
    let failure = fact.failure.as_ref().filter(|_| fact.transport == MtuTransport::Icmp && fact.limit == MtuLimit::Unknown)?;
    let silent = failure.code == FailureCode::TimedOut && fact.passed_bytes.is_none();
    (silent || failure.code == unsupported()).then_some(failure)
}

/// As an I/O error of this kind is told.
fn unsupported() -> FailureCode {
    FailureCode::from_io(&std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::failure::Step;

    fn fact(transport: MtuTransport, passed: Option<u32>, code: Option<FailureCode>) -> Mtu {
        Mtu {
            host: "shop.example".into(),
            address: "192.0.2.1".parse().unwrap(),
            transport,
            port: None,
            mss_bytes: None,
            passed_bytes: passed,
            stopped_bytes: None,
            limit: if passed == Some(1_500) { MtuLimit::None } else { MtuLimit::Unknown },
            told: None,
            disbelieved: Vec::new(),
            probes: Vec::new(),
            took_us: 1,
            failure: code.map(|code| Failure::new(code, Step::Receive, "as the test says")),
        }
    }

    #[test]
    fn echo_requests_take_the_place_of_datagrams_on_windows_alone() {
        let (udp, tcp, icmp) = (MtuTransport::Udp, MtuTransport::Tcp, MtuTransport::Icmp);
        assert_eq!([udp, tcp, icmp].map(|wanted| chosen(wanted, System::Windows)), [icmp, tcp, icmp]);
        for system in [System::Linux, System::Macos] {
            assert_eq!([udp, tcp, icmp].map(|wanted| chosen(wanted, system)), [udp, tcp, icmp]);
        }
    }

    #[test]
    fn a_host_that_answers_no_pings_was_not_measured_and_the_reason_is_told() {
        let silent = fact(MtuTransport::Icmp, None, Some(FailureCode::TimedOut));
        let NotMeasurable(note) = untold("shop.example", &[silent.clone(), silent.clone()]).unwrap();
        assert!(note.why.starts_with("shop.example answers no echo request") && note.grant.is_some(), "{note:?}");
        // One address that answered, and a reason that somebody told, are worth a result.
        assert_eq!(untold("shop.example", &[silent.clone(), fact(MtuTransport::Icmp, Some(1_500), None)]), None);
        assert_eq!(untold("shop.example", &[fact(MtuTransport::Icmp, None, Some(FailureCode::HostUnreachable))]), None);
        // Silence from some moment on is not silence from the start.
        assert_eq!(untold("shop.example", &[fact(MtuTransport::Icmp, Some(576), Some(FailureCode::TimedOut))]), None);
        assert_eq!(untold("shop.example", &[]), None);
    }

    #[test]
    fn hosts_that_are_silent_to_datagrams_failed_as_before() {
        assert_eq!(untold("shop.example", &[fact(MtuTransport::Udp, None, Some(FailureCode::TimedOut))]), None);
    }

    #[test]
    fn a_machine_that_does_not_say_what_it_sends_whole_has_not_measured_either() {
        let own = fact(MtuTransport::Icmp, Some(1_280), Some(unsupported()));
        let NotMeasurable(note) = untold("shop.example", &[own]).unwrap();
        assert_eq!(note.why, "as the test says");
    }
}
