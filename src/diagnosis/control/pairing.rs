use crate::evidence::{Evidence, Seen};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Handshake;
use netsonde_contract::outcome::Outcome;
use netsonde_contract::target::{Scheme, Target};
use std::net::SocketAddr;

/// The targets of a run in the order of their first check; none stands for checks without a target.
pub(super) fn targets(outcomes: &[Outcome]) -> Vec<Option<&Target>> {
    let mut targets = Vec::new();
    for outcome in outcomes {
        if !targets.contains(&outcome.target.as_ref()) {
            targets.push(outcome.target.as_ref());
        }
    }
    targets
}

/// The target of the other run that means the same: equal but for how it was written, else with the same port, else the same host.
/// Checks without a target go with checks without a target.
pub(super) fn target_of<'a>(others: &'a [Outcome], wanted: Option<&Target>) -> Option<Option<&'a Target>> {
    let targets = targets(others);
    let Some(wanted) = wanted else { return targets.into_iter().find(Option::is_none) };
    let given = || targets.iter().flatten().copied();
    let host = |target: &&Target| target.host.eq_ignore_ascii_case(&wanted.host);
    let port = |target: &&Target| target.port == wanted.port;
    let same =
        given().find(|target| host(target) && port(target) && target.scheme == wanted.scheme && target.path == wanted.path);
    let near = || given().find(|target| host(target) && port(target));
    same.or_else(near).or_else(|| given().find(host)).map(Some)
}

/// The check of the other run that asks the same of the same: of the same kind with the same parameters, else of the same name. Two
/// ports of one host, and two pages, are two things.
pub(super) fn check_of<'a>(here: &Outcome, there: &Evidence<'a>) -> Option<&'a Outcome> {
    let of_kind = || there.outcomes.iter().filter(|other| other.kind == here.kind && is_of_the_same(here, other));
    let same = of_kind().find(|other| other.parameters == here.parameters);
    let base = |outcome: &Outcome| outcome.check.as_str().split('#').next().map(str::to_owned);
    same.or_else(|| of_kind().find(|other| base(other) == base(here))).copied()
}

/// Whether what the two checks ask is about the same: the host, where that is all they ask about, else its port and page as well.
fn is_of_the_same(here: &Outcome, there: &Outcome) -> bool {
    let about_host = matches!(here.kind, Kind::Host | Kind::Dns | Kind::Icmp | Kind::Traceroute | Kind::Mtu);
    match (&here.target, &there.target) {
        _ if about_host => true,
        (Some(here), Some(there)) => {
            let port = |target: &Target| target.port.or(target.scheme.map(Scheme::default_port));
            let page = |target: &Target| target.path.clone().unwrap_or_else(|| "/".to_owned());
            port(here) == port(there) && here.scheme == there.scheme && page(here) == page(there)
        }
        _ => true,
    }
}

/// What the other run has of the very address and port, else of the same port of the same host; `of` says where each is.
pub(super) fn at_port<'s, T>(
    host: &str,
    address: SocketAddr,
    others: &'s [T],
    of: impl for<'x> Fn(&'x T) -> (&'x str, SocketAddr),
) -> Option<&'s T> {
    let of_host = |other: &&T| {
        let (name, at) = of(other);
        same_name(name, host) && at.port() == address.port()
    };
    others.iter().find(|other| of(other).1 == address).or_else(|| others.iter().find(of_host))
}

/// The handshakes of the other run with the same host, name sent and port that saw a certificate.
pub(super) fn handshakes_of<'a>(here: &Handshake, there: &Evidence<'a>) -> Vec<Seen<'a, Handshake>> {
    let same = |other: &&Seen<'_, Handshake>| {
        other.host.eq_ignore_ascii_case(&here.host)
            && other.server_name == here.server_name
            && other.address.port() == here.address.port()
            && !other.chain.is_empty()
    };
    there.handshakes.iter().filter(same).copied().collect()
}

pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.trim_end_matches('.').eq_ignore_ascii_case(right.trim_end_matches('.'))
}
