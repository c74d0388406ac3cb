use super::*;
use crate::kind::Kind;
use std::collections::BTreeSet;

#[test]
fn every_kind_sees_something_on_linux_with_every_right() {
    let all = Rights {
        ping_sockets: true,
        raw_sockets: true,
        packet_filter: true,
        other_processes: true,
        low_ports: true,
        administrator: true,
        grantor: Grantor::Person,
    };
    for kind in Kind::ALL {
        assert!(is_any_seen(*kind, System::Linux, all), "{}", kind.name());
    }
}

#[test]
fn without_any_right_only_pings_have_nothing_to_measure_with() {
    let blind: Vec<_> = Kind::ALL.iter().filter(|kind| !is_any_seen(**kind, System::Linux, Rights::NONE)).collect();
    assert_eq!(blind, [&Kind::Icmp]);
}

#[test]
fn on_windows_every_kind_sees_something_without_any_right() {
    for kind in Kind::ALL {
        assert!(is_any_seen(*kind, System::Windows, Rights::NONE), "{}", kind.name());
    }
}

#[test]
fn names_are_told_apart_and_begin_with_their_kind() {
    let names: BTreeSet<_> = SIGHTS.iter().map(|sight| sight.name).collect();
    assert_eq!(names.len(), SIGHTS.len());
    for sight in SIGHTS {
        if let Some(kind) = sight.kind {
            assert!(sight.name.starts_with(&format!("{}.", kind.name())), "{}", sight.name);
        }
    }
}

#[test]
fn raw_sockets_include_the_right_to_ping() {
    let raw = Rights { raw_sockets: true, ..Rights::NONE };
    assert_eq!(ICMP_ECHO.missing(System::Linux, raw), None);
    let missing = ICMP_ECHO.missing(System::Linux, Rights::NONE).unwrap();
    assert!(missing.grant.unwrap().contains("ping_group_range"));
}

#[test]
fn macos_traces_with_icmp_and_names_who_rejects_a_request_without_any_right() {
    for sight in [ICMP_ECHO, ICMP_ERRORS, TRACEROUTE_ICMP, TRACEROUTE_QUOTES] {
        assert_eq!(sight.missing(System::Macos, Rights::NONE), None, "{}", sight.name);
    }
    assert!(TRACEROUTE_UDP.missing(System::Macos, Rights::NONE).is_some());
}

#[test]
fn what_does_nearly_as_well_is_named_before_the_right() {
    let missing = MTU_TCP.missing(System::Linux, Rights::NONE).unwrap();
    assert!(missing.why.contains("raw sockets"), "{missing:?}");
    assert!(
        missing.grant.unwrap().starts_with("take transport \"udp\", which needs no right, or run the same command with sudo")
    );
    assert_eq!(MTU_TCP.missing(System::Macos, Rights::NONE).unwrap().grant, None);
}

#[test]
fn each_part_of_roots_rights_shows_what_it_is_for_and_nothing_else() {
    let parts = [
        (Rights { packet_filter: true, ..Rights::NONE }, HOST_FIREWALL),
        (Rights { other_processes: true, ..Rights::NONE }, HOST_OWNERS),
        (Rights { low_ports: true, ..Rights::NONE }, SERVICE_DHCP),
    ];
    for (rights, shown) in parts {
        let more: Vec<_> = SIGHTS
            .iter()
            .filter(|sight| sight.seen(System::Linux, rights) != sight.seen(System::Linux, Rights::NONE))
            .map(|sight| sight.name)
            .collect();
        assert_eq!(more, [shown.name]);
    }
}

#[test]
fn whoever_can_grant_a_right_is_named_with_the_very_right() {
    let why = |grantor| HOST_OWNERS.missing(System::Linux, Rights { grantor, ..Rights::NONE }).unwrap().grant.unwrap();
    assert_eq!(why(Grantor::Person), "run the same command with sudo");
    let container = why(Grantor::Container);
    assert!(
        container.starts_with("start the container with --user 0 --cap-add SYS_PTRACE --cap-add DAC_READ_SEARCH ("),
        "{container}"
    );
    let starter = why(Grantor::Starter);
    assert!(
        starter.contains("AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH and") && !starter.contains("sudo"),
        "{starter}"
    );
}

#[test]
fn one_command_grants_all_that_a_container_lacks() {
    let held = Rights { raw_sockets: true, low_ports: true, grantor: Grantor::Container, ..Rights::NONE };
    let text = plain(System::Linux, held);
    let commands: Vec<_> = text.lines().filter(|line| line.contains("--cap-add")).collect();
    let [command] = commands[..] else { panic!("{text}") };
    assert!(command.contains("--user 0 --cap-add NET_ADMIN --cap-add SYS_PTRACE --cap-add DAC_READ_SEARCH ("), "{command}");
    assert!(!text.contains("sudo"), "{text}");
    let person = plain(System::Linux, Rights::NONE);
    assert_eq!(person.matches("\n  run the same command with sudo").count(), 1, "{person}");
    assert_eq!(person.matches("ping_group_range").count(), 1, "{person}");
}

#[test]
fn the_page_is_written_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/capabilities.md");
    if std::env::var_os("NETSONDE_WRITE_GOLDEN").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page == markdown(),
        "docs/capabilities.md is out of date: NETSONDE_WRITE_GOLDEN=1 cargo test -p netsonde-contract capability"
    );
}
