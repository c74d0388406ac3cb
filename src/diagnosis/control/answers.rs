use super::differences::{Compared, Side, failure_words, subject};
use super::pairing::at_port;
use crate::evidence::{Evidence, Seen};
use crate::threshold::CLOCK_OFF_US;
use crate::wording::count;
use netsonde_contract::control::DifferenceAbout;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::{Leap, Quic, Service, ServiceReach, TimeOffset};

/// Two machines whose clocks differ by no more than this have the same time; a path as long on one side only is far below it.
pub(super) const SAME_TIME_US: i64 = 1_000_000;

/// Holds against each other what both runs were answered at the same address, else at the same port of the same host.
pub(super) fn compare(list: &mut Compared, here: &Evidence<'_>, there: &Evidence<'_>) {
    for own in &here.quics {
        let Some(other) = at_port(&own.host, own.address, &there.quics, |other| (&other.host, other.address)) else { continue };
        let about = DifferenceAbout::Quic;
        list.hold(about, subject(own.address, other.address), side(own, quic_words), side(other, quic_words));
    }
    for own in &here.time_offsets {
        if let Some(other) = at_port(&own.host, own.address, &there.time_offsets, |other| (&other.host, other.address)) {
            times(list, own, other);
        }
    }
    for own in &here.services {
        let spoken: Vec<Seen<'_, Service>> =
            there.services.iter().filter(|other| other.protocol == own.protocol).copied().collect();
        let Some(other) = at_port(&own.host, own.address, &spoken, |other| (&other.host, other.address)) else { continue };
        let about = DifferenceAbout::Service;
        list.hold(about, subject(own.address, other.address), side(own, service_words), side(other, service_words));
    }
}

fn side<T>(seen: &Seen<'_, T>, words: fn(&T) -> String) -> Side {
    (words(seen.fact), vec![seen.id.clone()])
}

fn quic_words(quic: &Quic) -> String {
    let Some(failure) = &quic.failure else {
        let version = quic.version.as_ref().map(|version| format!(" in version {version}")).unwrap_or_default();
        return format!("completes{version}");
    };
    match quic.close.as_ref().and_then(|close| close.name.as_ref()) {
        Some(name) => format!("closed by the server: {name}"),
        None if failure.code == FailureCode::TimedOut && quic.first_reply_us.is_some() => "begins and does not end".to_owned(),
        None => failure_words(failure),
    }
}

/// The answers, and where both know the time, how far each clock is from it.
fn times(list: &mut Compared, own: &Seen<'_, TimeOffset>, other: &Seen<'_, TimeOffset>) {
    let at = subject(own.address, other.address);
    list.hold(DifferenceAbout::Time, at.clone(), side(own, time_words), side(other, time_words));
    if let (Some(ours), Some(theirs)) = (own.offset_us, other.offset_us)
        && ours.saturating_sub(theirs).saturating_abs() > SAME_TIME_US
    {
        let about = DifferenceAbout::Time;
        list.add(about, format!("{at}, the clock"), side(own, clock_words), side(other, clock_words));
    }
}

fn time_words(offset: &TimeOffset) -> String {
    match (&offset.server, &offset.failure) {
        (Some(server), _) => match &server.kiss {
            Some(code) => format!("refuses ({code})"),
            None if server.stratum >= 16 || server.leap == Leap::Unsynchronised => "does not know the time itself".to_owned(),
            None => "tells the time".to_owned(),
        },
        (None, Some(failure)) => failure_words(failure),
        (None, None) => "tells the time".to_owned(),
    }
}

fn clock_words(offset: &TimeOffset) -> String {
    let off_us = offset.offset_us.unwrap_or_default();
    match off_us {
        _ if off_us.saturating_abs() <= CLOCK_OFF_US => "right".to_owned(),
        0.. => format!("{} behind", count(off_us / 1_000_000, "second")),
        _ => format!("{} ahead", count(off_us.saturating_abs() / 1_000_000, "second")),
    }
}

fn service_words(service: &Service) -> String {
    let label = service.protocol.label();
    if let Some(spoke) = &service.spoke {
        return format!("speaks {spoke}");
    }
    if let Some(refusal) = &service.refusal {
        return format!("speaks {label}, and refuses ({})", refusal.code);
    }
    let product = service.product.as_ref().map(|product| format!(" ({product})")).unwrap_or_default();
    let tls = match &service.tls_upgrade {
        Some(upgrade) if upgrade.version.is_some() => ", with TLS",
        Some(upgrade) if upgrade.offered => ", offers TLS",
        Some(_) => ", offers no TLS",
        None => "",
    };
    match &service.failure {
        None => format!("speaks {label}{product}{tls}"),
        Some(failure) => match (service.reached, &failure.code) {
            (ServiceReach::Nothing, _) => failure_words(failure),
            (ServiceReach::Connected, FailureCode::TimedOut) => "connects, and says nothing".to_owned(),
            (ServiceReach::Connected, _) => "connects, and ends without a word".to_owned(),
            (_, FailureCode::TimedOut) => format!("speaks {label}{product}{tls}, and falls silent"),
            _ => format!("speaks {label}{product}{tls}, and breaks off"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{effect, elsewhere};
    use crate::scene::*;
    use netsonde_contract::control::{Control, ControlEffect, DifferenceAbout};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Diagnosis;
    use netsonde_contract::kind::{Kind, ServiceProtocol};
    use netsonde_contract::observation::{Quic, Service, ServiceReach};

    const AT: &str = "192.0.2.1:443";
    const SMTP_AT: &str = "192.0.2.1:25";
    const TIME_AT: &str = "192.0.2.7:123";

    fn shop() -> Scene {
        Scene::new("shop.example")
    }

    /// The two sides of each difference of this sort.
    fn told(control: &Control, about: DifferenceAbout) -> Vec<(&str, &str)> {
        let of_sort = control.differences.iter().filter(|difference| difference.about == about);
        of_sort.map(|difference| (difference.here.as_str(), difference.there.as_str())).collect()
    }

    fn confidence(diagnosis: &Diagnosis, cause: &str) -> (f64, Option<ControlEffect>) {
        let finding = diagnosis.findings.iter().find(|finding| finding.cause == cause);
        let finding = finding.unwrap_or_else(|| panic!("no {cause}: {diagnosis:#?}"));
        (finding.confidence, effect(finding))
    }

    fn silent_quic(quic: &mut Quic) {
        (quic.version, quic.packets_received) = (None, 0);
        quic.failure = Some(failure(FailureCode::TimedOut, Step::Handshake));
    }

    fn over_quic(change: fn(&mut Quic)) -> Scene {
        shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Quic, [quic(AT, change)])
    }

    #[test]
    fn quic_that_completes_elsewhere_alone_is_blocked_on_this_way() {
        let (alone, _) = elsewhere(over_quic(silent_quic), over_quic(silent_quic));
        let (spared, control) = elsewhere(over_quic(silent_quic), over_quic(|_| {}));
        assert_eq!(told(&control, DifferenceAbout::Quic), [("no answer", "completes in version 1")], "{control:#?}");
        let (sure, effect) = confidence(&spared, "path.udp_blocked");
        assert_eq!(effect, Some(ControlEffect::Raised), "{spared:#?}");
        assert!(sure > confidence(&alone, "path.udp_blocked").0);
    }

    #[test]
    fn quic_that_ends_alike_is_compared_and_no_difference() {
        for change in [silent_quic as fn(&mut Quic), |_| {}] {
            let (_, control) = elsewhere(over_quic(change), over_quic(change));
            assert!(control.compared > 0 && control.differences.is_empty(), "{control:#?}");
        }
    }

    #[test]
    fn a_port_over_udp_says_nothing_of_the_one_over_tcp() {
        let halted = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = Some(failure(FailureCode::TimedOut, Step::Handshake));
        });
        let here = shop().check(Kind::Tcp, [connected(AT)]).check(Kind::Tls, [halted]);
        let (diagnosis, _) = elsewhere(here, shop().check(Kind::Quic, [quic(AT, |_| {})]));
        assert_eq!(confidence(&diagnosis, "tls.handshake_timeout").1, None, "{diagnosis:#?}");
    }

    fn clock(seconds: i64) -> Scene {
        shop().check(Kind::Ntp, [time_offset(TIME_AT, seconds)])
    }

    #[test]
    fn a_time_server_by_which_another_clock_is_right_shows_which_clock_is_wrong() {
        let (diagnosis, control) = elsewhere(clock(600), clock(0));
        assert_eq!(told(&control, DifferenceAbout::Time), [("600 seconds behind", "right")]);
        let (sure, effect) = confidence(&diagnosis, "host.clock_skew");
        assert_eq!((sure >= 0.95, effect), (true, Some(ControlEffect::Raised)), "{diagnosis:#?}");
    }

    #[test]
    fn a_time_server_by_which_both_clocks_are_wrong_may_be_wrong_itself() {
        let (diagnosis, control) = elsewhere(clock(600), clock(600));
        assert!(control.compared > 0 && control.differences.is_empty(), "{control:#?}");
        let (sure, effect) = confidence(&diagnosis, "host.clock_skew");
        assert_eq!((sure <= 0.6, effect), (true, Some(ControlEffect::Lowered)), "{diagnosis:#?}");
    }

    #[test]
    fn a_time_server_that_answers_elsewhere_only_is_told() {
        let here = shop().check(Kind::Ntp, [time_refused(TIME_AT, failure(FailureCode::TimedOut, Step::Receive))]);
        let (_, control) = elsewhere(here, clock(0));
        assert_eq!(told(&control, DifferenceAbout::Time), [("no answer", "tells the time")], "{control:#?}");
    }

    fn mail(change: fn(&mut Service)) -> Scene {
        shop().check(Kind::Service, [service(change)])
    }

    fn says_nothing(service: &mut Service) {
        (service.greeting, service.received_bytes, service.first_byte_us) = (None, 0, None);
        service.reached = ServiceReach::Connected;
        service.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
    }

    #[test]
    fn a_service_that_speaks_elsewhere_is_not_simply_silent() {
        let (doubted, control) = elsewhere(mail(says_nothing), mail(|_| {}));
        assert_eq!(told(&control, DifferenceAbout::Service), [("connects, and says nothing", "speaks SMTP")], "{control:#?}");
        assert_eq!(confidence(&doubted, "service.no_greeting").1, Some(ControlEffect::Lowered), "{doubted:#?}");
        let (believed, control) = elsewhere(mail(says_nothing), mail(says_nothing));
        assert!(control.differences.is_empty(), "{control:#?}");
        assert_eq!(confidence(&believed, "service.no_greeting").1, Some(ControlEffect::Raised), "{believed:#?}");
    }

    fn refused(service: &mut Service) {
        service.refusal = serde_json::from_value(serde_json::json!({"code": "554", "text": "no"})).unwrap();
        service.failure = Some(failure(FailureCode::Other("service_refused".into()), Step::Receive));
    }

    #[test]
    fn a_service_that_refuses_here_and_serves_elsewhere_refuses_this_machine() {
        let said = |there| {
            let (diagnosis, _) = elsewhere(mail(refused), there);
            diagnosis.findings[0].control.as_ref().unwrap().text.clone()
        };
        assert!(said(mail(|_| {})).contains("for this machine's address"));
        assert!(said(mail(refused)).contains("refuses more than this machine"));
    }

    #[test]
    fn services_at_two_ports_or_of_two_protocols_are_not_compared() {
        let at = |address: &'static str, protocol| {
            let fact = service(|service| (service.address, service.protocol) = (address.parse().unwrap(), protocol));
            shop().check(Kind::Service, [fact])
        };
        for (address, protocol) in [("192.0.2.1:587", ServiceProtocol::Smtp), (SMTP_AT, ServiceProtocol::Ftp)] {
            let (_, control) = elsewhere(mail(says_nothing), at(address, protocol));
            assert_eq!(told(&control, DifferenceAbout::Service), [], "{control:#?}");
        }
        let (_, control) = elsewhere(mail(says_nothing), at("192.0.2.9:25", ServiceProtocol::Smtp));
        let subject = control.differences.iter().find(|difference| difference.about == DifferenceAbout::Service);
        assert_eq!(subject.unwrap().subject, "192.0.2.1:25 (there 192.0.2.9:25)", "one host may have two addresses");
    }
}
