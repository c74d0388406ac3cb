use super::*;
use crate::kind::Kind;
use std::collections::BTreeSet;

#[test]
fn every_kind_sees_something_on_linux_with_every_right() {
    let all = Rights { ping_sockets: true, raw_sockets: true, administrator: true };
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
fn what_does_nearly_as_well_is_named_before_the_right() {
    let missing = MTU_TCP.missing(System::Linux, Rights::NONE).unwrap();
    assert!(missing.why.contains("raw sockets"), "{missing:?}");
    assert!(
        missing.grant.unwrap().starts_with("take transport \"udp\", which needs no right, or run the same command with sudo")
    );
    assert_eq!(MTU_TCP.missing(System::Macos, Rights::NONE).unwrap().grant, None);
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
