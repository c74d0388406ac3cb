use super::*;
use std::collections::BTreeSet;

fn printed(seed: u64) -> String {
    file_of(&network(seed)).unwrap()
}

#[test]
fn the_same_seed_draws_the_same_network_wherever_it_stands() {
    let files: Vec<String> = networks(40, 5).iter().map(|scenario| file_of(scenario).unwrap()).collect();
    assert_eq!(files[3], printed(43));
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), 5);
}

#[test]
fn every_network_is_a_scenario_file_like_the_others() {
    for seed in 0..400 {
        let file = printed(seed);
        let read: Scenario = toml::from_str(&file).unwrap_or_else(|error| panic!("{error}\n{file}"));
        assert_eq!(file_of(&read).unwrap(), file);
    }
}

#[test]
fn quic_is_asked_for_by_a_secure_url_whether_or_not_anything_is_broken() {
    let asked = networks(991_000, 1_000).into_iter().filter(|scenario| scenario.ask.iter().any(|word| word == "quic"));
    let plain: Vec<String> = asked
        .filter(|scenario| scenario.ask.iter().any(|word| word.starts_with("http://")))
        .map(|scenario| scenario.name)
        .collect();
    assert!(plain.is_empty(), "{plain:?}");
}

#[test]
fn every_fault_and_oddity_is_drawn_and_some_networks_have_none_or_two() {
    let drawn: Vec<String> = networks(0, 3_000).into_iter().map(|scenario| scenario.about).collect();
    for fault in FAULTS {
        assert!(drawn.iter().any(|about| about.contains(fault.name)), "{} is never drawn", fault.name);
    }
    for words in [
        "Hidden",
        "SilentHop",
        "RateLimited",
        "SmallMtu",
        "IcmpFiltered",
        "PingDropped",
        "Twin",
        "Delay",
        "nothing is broken",
        " and ",
    ] {
        assert!(drawn.iter().filter(|about| about.contains(words)).count() > 100, "{words}");
    }
}

#[test]
fn of_two_faults_the_one_that_stops_everything_hides_the_other() {
    let by_name = |name: &str| *FAULTS.iter().find(|fault| fault.name == name).unwrap();
    let (lost, dropped, expired) =
        (by_name("packets are lost"), by_name("the port is dropped"), by_name("the certificate has expired"));
    let hidden = expectation(&[dropped, expired], true).unwrap();
    assert_eq!(
        (hidden.cause.as_str(), &hidden.behind[..], hidden.named.len()),
        ("tcp.filtered", &["tls.expired".to_owned()][..], 0)
    );
    let both = expectation(&[lost, expired], true).unwrap();
    assert_eq!((both.named.len(), &both.or[..]), (2, &["tls.expired".to_owned()][..]));
    assert!(expectation(&[], true).is_none());
}

#[test]
fn every_cause_that_is_expected_is_one_of_the_closed_list() {
    for fault in FAULTS {
        for cause in fault.causes.iter().chain(fault.unprivileged) {
            assert!(netsonde_contract::cause::CAUSES.contains(cause), "{cause}");
        }
    }
}
