//! What a router says of a connection, and that a machine has no network at all: every kind that sends names the same cause.

use crate::small_network::{SmallNetwork, possible};
use netsonde_contract::document::Document;
use netsonde_tests::programs::program;
use std::process::Command;

/// The findings' causes of one measurement.
fn causes(mut command: Command, arguments: &[&str]) -> Vec<String> {
    command.arg(program("netsonde").unwrap()).arg("probe").args(arguments).args(["--format", "json"]);
    let output = command.output().unwrap();
    let document: Document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    document.findings.into_iter().map(|finding| finding.cause).collect()
}

#[test]
fn a_router_that_forbids_or_knows_no_way_is_named_by_every_kind_that_connects() {
    if !possible("routers that say no to connections") {
        return;
    }
    let network = SmallNetwork::new("e", 94);
    for (reject, cause) in [
        ("meta l4proto tcp reject with icmpx type admin-prohibited", "path.admin_prohibited"),
        ("meta l4proto tcp reject with icmpx type no-route", "path.no_route"),
    ] {
        network.filter("r", "forward", reject);
        for server in network.server() {
            let url = if server.contains(':') { format!("http://[{server}]/") } else { format!("http://{server}/") };
            let kinds: [&[&str]; 5] = [
                &["tcp", &server, "80"],
                &["tls", &server, "443"],
                &["http", &url],
                &["load", &url],
                &["service", &server, "ssh"],
            ];
            for arguments in kinds {
                let found = causes(network.command("c"), arguments);
                assert!(found.iter().any(|found| found == cause), "{arguments:?}: {found:?} instead of {cause}");
            }
        }
    }
}

#[test]
fn a_machine_without_a_network_is_named_by_every_kind_that_sends() {
    if !possible("a machine without a network") {
        return;
    }
    let kinds: [&[&str]; 9] = [
        &["tcp", "192.0.2.1", "80"],
        &["tls", "192.0.2.1", "443"],
        &["http", "http://192.0.2.1/"],
        &["quic", "192.0.2.1", "443"],
        &["ntp", "192.0.2.1"],
        &["reflect", "192.0.2.1"],
        &["load", "http://192.0.2.1/"],
        &["service", "192.0.2.1", "ssh"],
        &["cloud"],
    ];
    for arguments in kinds {
        let mut command = Command::new("unshare");
        command.arg("-n");
        let found = causes(command, arguments);
        assert_eq!(found, ["host.no_route"], "{arguments:?}");
    }
}
