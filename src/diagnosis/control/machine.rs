//! Whether two runs are of one machine. Runs of one agent are signed by one key, but those on a ticket, of another user or with another state
//! folder have keys of their own: then what the runs saw of the machine itself tells.

use netsonde_contract::control::ControlRelation;
use netsonde_contract::environment::Environment;
use netsonde_contract::observation::{Fact, Interface};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// What a run says of the machine that measured.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// The id of the key that signed its bundle.
    pub key: String,
    pub environment: &'a Environment,
    pub outcomes: &'a [Outcome],
    /// Names and addresses stand there as they are. Tokens in their place can be compared only where one key made both.
    pub plain: bool,
}

/// How two lists of a machine's own go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overlap {
    Shared,
    Apart,
    /// At least one run did not look.
    Unknown,
}

impl Overlap {
    fn of<T: PartialEq>(one: &[T], other: &[T]) -> Self {
        match (one.is_empty() || other.is_empty(), one.iter().any(|own| other.contains(own))) {
            (true, _) => Self::Unknown,
            (false, true) => Self::Shared,
            (false, false) => Self::Apart,
        }
    }
}

/// Whether the other run is of the same machine, as far as the two bundles tell.
pub fn relation(own: &Machine<'_>, other: &Machine<'_>) -> ControlRelation {
    if own.key == other.key {
        return ControlRelation::SameMachine;
    }
    let (here, there) = (own.environment, other.environment);
    if here.os != there.os || here.architecture != there.architecture {
        return ControlRelation::OtherMachine;
    }
    let same_name = !here.hostname.is_empty() && here.hostname.eq_ignore_ascii_case(&there.hostname);
    let hardware = Overlap::of(&hardware(own.outcomes), &hardware(other.outcomes));
    if !own.plain || !other.plain {
        // Tokens that are equal were made by one key of names that are equal; others say nothing.
        let same = same_name && hardware == Overlap::Shared;
        return if same { ControlRelation::SameMachine } else { ControlRelation::Unsure };
    }
    let addresses = Overlap::of(&addresses(own.outcomes), &addresses(other.outcomes));
    match (same_name, hardware, addresses) {
        (true, Overlap::Shared, _) => ControlRelation::SameMachine,
        // Machines that are set up alike often have one name; nothing else is the same.
        (true, Overlap::Apart, Overlap::Apart) => ControlRelation::OtherMachine,
        // Some virtual cards have one hardware address everywhere, and many networks the same private addresses.
        (true, _, _) | (false, Overlap::Shared, _) => ControlRelation::Unsure,
        (false, _, _) => ControlRelation::OtherMachine,
    }
}

fn interfaces(outcomes: &[Outcome]) -> impl Iterator<Item = &Interface> {
    outcomes.iter().flat_map(|outcome| &outcome.observations).filter_map(|seen| match &seen.fact {
        Fact::Interface(interface) => Some(interface),
        _ => None,
    })
}

/// The hardware addresses of its own interfaces, in lower case; one of zeros is none.
fn hardware(outcomes: &[Outcome]) -> Vec<String> {
    let known = interfaces(outcomes).filter(|interface| !interface.loopback);
    let all = known.filter_map(|interface| Some(interface.hardware_address.as_deref()?.to_ascii_lowercase()));
    all.filter(|address| address.chars().any(|digit| !matches!(digit, '0' | ':' | '-'))).collect()
}

/// Its own addresses by which others reach it: of interfaces, and those that its connections began at.
fn addresses(outcomes: &[Outcome]) -> Vec<IpAddr> {
    let of_interfaces = interfaces(outcomes).filter(|interface| !interface.loopback).flat_map(|interface| &interface.addresses);
    let of_interfaces = of_interfaces.filter_map(|cidr| cidr.split('/').next()?.parse::<IpAddr>().ok());
    let of_connections = outcomes.iter().flat_map(|outcome| &outcome.observations).filter_map(|seen| match &seen.fact {
        Fact::Connect(connect) => Some(connect.local?.ip()),
        _ => None,
    });
    of_interfaces.chain(of_connections).filter(|address| !is_everywhere(*address)).collect()
}

/// Every machine may have it.
fn is_everywhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, relation};
    use crate::scene::{Scene, interface};
    use netsonde_contract::control::ControlRelation;
    use netsonde_contract::environment::Environment;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    /// A run that looked at one interface, by its own key.
    fn run(hostname: &str, hardware: Option<&str>, cidr: &str) -> (Scene, Environment) {
        let mut own = interface(cidr);
        if let Fact::Interface(interface) = &mut own {
            interface.hardware_address = hardware.map(str::to_owned);
        }
        let scene = Scene::new("shop.example").check(Kind::Host, [own]);
        let environment = Environment { hostname: hostname.to_owned(), ..scene.environment() };
        (scene, environment)
    }

    fn by<'a>(key: &str, of: &'a (Scene, Environment), plain: bool) -> Machine<'a> {
        Machine { key: key.to_owned(), environment: &of.1, outcomes: of.0.outcomes(), plain }
    }

    fn between(one: &(Scene, Environment), other: &(Scene, Environment), plain: bool) -> ControlRelation {
        assert_eq!(
            relation(&by("k1", one, plain), &by("k1", other, plain)),
            ControlRelation::SameMachine,
            "one key is one agent"
        );
        relation(&by("k1", one, plain), &by("k2", other, plain))
    }

    const CARD: Option<&str> = Some("02:00:5e:10:00:01");
    const OTHER_CARD: Option<&str> = Some("02:00:5e:10:00:02");

    #[test]
    fn one_machine_is_known_by_its_name_and_card_whoever_ran_it() {
        let (here, moved) = (run("desk", CARD, "10.0.0.5/24"), run("DESK", Some("02:00:5E:10:00:01"), "192.0.2.9/24"));
        assert_eq!(between(&here, &here, true), ControlRelation::SameMachine);
        assert_eq!(between(&here, &moved, true), ControlRelation::SameMachine);
        assert_eq!(between(&here, &here, false), ControlRelation::SameMachine, "tokens that are equal");
    }

    #[test]
    fn another_name_and_machines_that_are_set_up_alike_are_another() {
        let here = run("desk", CARD, "10.0.0.5/24");
        assert_eq!(between(&here, &run("jump", OTHER_CARD, "10.0.0.5/24"), true), ControlRelation::OtherMachine);
        assert_eq!(between(&here, &run("jump", None, "10.0.0.5/24"), true), ControlRelation::OtherMachine);
        assert_eq!(between(&here, &run("desk", OTHER_CARD, "192.0.2.9/24"), true), ControlRelation::OtherMachine);
        let mut windows = run("desk", CARD, "10.0.0.5/24");
        windows.1.os = "windows".into();
        assert_eq!(between(&here, &windows, true), ControlRelation::OtherMachine);
    }

    #[test]
    fn what_fits_in_part_only_is_not_decided() {
        let here = run("desk", CARD, "10.0.0.5/24");
        for other in [
            run("desk", OTHER_CARD, "10.0.0.5/24"),
            run("desk", None, "10.0.0.5/24"),
            run("desk", None, "192.0.2.9/24"),
            run("jump", CARD, "10.0.0.5/24"),
        ] {
            assert_eq!(between(&here, &other, true), ControlRelation::Unsure, "{:?}", other.1.hostname);
        }
        assert_eq!(between(&here, &run("token", OTHER_CARD, "192.0.2.9/24"), false), ControlRelation::Unsure);
    }
}
