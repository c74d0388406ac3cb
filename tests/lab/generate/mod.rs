//! Networks that nobody thought of: drawn by dice that fall the same for the same seed.
//!
//! One network is drawn in this order: what is broken, and so what is asked for and over what; the chain; what is odd but fine; the
//! places of the faults among all that. The result is a scenario like those of the files, and can be printed as one.

/// How often a finding was right, by its confidence.
mod calibration;
/// What can be broken.
mod faults;
/// What is odd and hurts nobody.
mod oddity;
/// Where and how much.
mod place;
/// A network while it is drawn.
mod plot;
/// The result in words and tables.
mod report;

pub(crate) use report::report;

use crate::dice::Dice;
use crate::scenario::{Expect, Place, Scenario, ServiceKind, User};
use faults::{Breaks, FAULTS, Fault, Stage};
use plot::{Plot, Set};

/// Networks without a fault, in a hundred.
const WITHOUT_FAULT: f64 = 0.12;
/// Networks with two faults, of those that have one that may stand with another.
const TWO_FAULTS: f64 = 0.25;
const MOST_ROUTERS: u64 = 6;

/// The networks of `count` seeds from `first` on. Each is drawn from its own seed alone.
pub(crate) fn networks(first: u64, count: u64) -> Vec<Scenario> {
    (0..count).map(|number| network(first.wrapping_add(number))).collect()
}

fn network(seed: u64) -> Scenario {
    let mut dice = Dice::new(seed);
    // The first numbers of neighbouring seeds are mixed well, but cost nothing to throw away.
    dice.next();
    let faults = draw_faults(&mut dice);
    let mut plot = draw_plot(&faults, &mut dice);
    let without: Vec<_> = faults.iter().flat_map(|fault| fault.without.iter().copied()).collect();
    let oddities = oddity::draw(&mut plot, &without, &mut dice);
    // What changes the question comes first: the network's faults concern the port that is asked for.
    let of_network = |fault: &&Fault| matches!(fault.breaks, Breaks::Network(_));
    let privileged = plot.scenario.users == [User::Root];
    let mut places = Vec::new();
    for fault in faults.iter().filter(|fault| !of_network(fault)).chain(faults.iter().filter(of_network)) {
        put(&mut plot, fault, &mut dice);
        places.extend(plot.lies.take().map(|place| Place { causes: texts(fault.causes(privileged)), ..place }));
    }
    plot.scenario.name = format!("seed-{seed}");
    let broken = match &faults[..] {
        [] => "nothing is broken".to_owned(),
        faults => faults.iter().map(|fault| fault.name).collect::<Vec<_>>().join(" and "),
    };
    let odd: Vec<String> = oddities.iter().map(|oddity| format!("{oddity:?}")).collect();
    let odd = if odd.is_empty() { "nothing".to_owned() } else { odd.join(", ") };
    plot.scenario.about = format!("Drawn from seed {seed}: {broken}; odd: {odd}.");
    plot.scenario.expect = expectation(&faults, privileged).map(|expect| Expect { places, ..expect });
    plot.finished()
}

fn draw_faults(dice: &mut Dice) -> Vec<Fault> {
    let (without, two) = (dice.falls(WITHOUT_FAULT), dice.falls(TWO_FAULTS));
    let first = dice.pick(FAULTS).copied();
    let Some(first) = first.filter(|_| !without) else { return Vec::new() };
    let fitting: Vec<Fault> = FAULTS.iter().filter(|other| fit_together(&first, other)).copied().collect();
    let mut faults = vec![first];
    faults.extend(dice.pick(&fitting).filter(|_| two).copied());
    faults.sort_by_key(|fault| fault.stage);
    faults
}

/// Both can be asked for at once, and neither changes the other's part of the question.
fn fit_together(one: &Fault, other: &Fault) -> bool {
    fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        matches!((one, other), (Some(one), Some(other)) if one != other)
    }
    let asked_elsewhere = |fault: &Fault| matches!(fault.breaks, Breaks::Unruly(_) | Breaks::Server(..));
    !one.alone
        && !other.alone
        && one.stage != other.stage
        && one.sets.iter().any(|set| other.sets.contains(set))
        && !differ(one.secure, other.secure)
        && !differ(one.named, other.named)
        && !differ(one.family, other.family)
        && !(asked_elsewhere(one) && asked_elsewhere(other))
        && !(rewrites(one) && rewrites(other))
        // A server of another kind knows no pages, and a port that is drawn is not the one of that server.
        && !(asked_elsewhere(one) && rewrites(other))
        && !(asked_elsewhere(other) && rewrites(one))
}

/// It changes the path or the port that is asked for.
fn rewrites(fault: &Fault) -> bool {
    matches!(fault.breaks, Breaks::Page(_)) || ["nothing listens", "large packets vanish"].contains(&fault.name)
}

fn draw_plot(faults: &[Fault], dice: &mut Dice) -> Plot {
    let sets: Vec<Set> = Set::ALL.into_iter().filter(|set| faults.iter().all(|fault| fault.sets.contains(set))).collect();
    let set = dice.pick(&sets).copied().unwrap_or(Set::Web);
    let least = faults.iter().map(|fault| fault.routers).max().unwrap_or(0);
    let routers = u8::try_from(dice.whole(least.into(), MOST_ROUTERS)).unwrap_or(least);
    let family = place::family(faults.iter().find_map(|fault| fault.family), dice);
    let user = if dice.falls(0.5) { User::Root } else { User::Nobody };
    let mut plot = Plot::new(set, routers, family, user);
    let (secure, named, pings) = (dice.falls(0.5), dice.falls(0.5), dice.falls(0.5));
    let must_be_named = faults.iter().find_map(|fault| fault.named);
    let may_be_secure = set.may_be_secure() && must_be_named != Some(false);
    let must_be_secure = faults.iter().find_map(|fault| fault.secure).filter(|_| set.may_be_secure());
    plot.secure = matches!(set, Set::Tls | Set::Quic) || must_be_secure.unwrap_or(secure && may_be_secure);
    // Certificates are for names.
    plot.named = plot.secure || set == Set::Dns || must_be_named.unwrap_or(named);
    plot.with_port = dice.falls(0.5);
    plot.scenario.everybody_pings = pings || faults.iter().any(|fault| fault.pings);
    plot.scenario.quiet_s = faults.iter().map(|fault| fault.quiet_s).max().unwrap_or(0);
    plot
}

fn put(plot: &mut Plot, fault: &Fault, dice: &mut Dice) {
    match fault.breaks {
        Breaks::Name(label) => plot.on.label = label.into(),
        Breaks::Page(path) => plot.on.path = path.into(),
        Breaks::Unruly(path) => {
            plot.service(ServiceKind::Unruly, 8_080, "");
            (plot.on.port, plot.on.path) = (Some(8_080), path.into());
        }
        Breaks::Server(port, kind, text, flaw) => {
            plot.service(kind, port, text);
            if let Some(service) = plot.scenario.service.last_mut() {
                service.flaw = flaw;
                service.mutual = fault.mutual;
                service.material = fault.material;
                if fault.causes == ["tls.name_mismatch"] {
                    service.names = vec!["other.lab".into()];
                }
            }
            plot.on.port = Some(port);
            plot.lies = Some(Place { port: Some(port), ..Place::default() });
        }
        Breaks::Network(place) => place(plot, dice),
    }
}

fn texts(causes: &[&str]) -> Vec<String> {
    causes.iter().map(|cause| (*cause).to_owned()).collect()
}

/// What must be said. Of two faults, one that stops everything hides the one behind it; of others both must be named, in any order.
fn expectation(faults: &[Fault], privileged: bool) -> Option<Expect> {
    let (first, second) = (faults.first()?, faults.get(1));
    let mut or = texts(first.causes(privileged));
    let cause = or.remove(0);
    let (mut named, mut behind) = (Vec::new(), Vec::new());
    if let Some(second) = second {
        let causes = texts(second.causes(privileged));
        if first.stage == Stage::Way && second.stage == Stage::Connection && first.stops {
            // Whichever of them the packets come to first.
            or.extend(causes);
        } else if first.stops {
            behind = causes;
        } else {
            or.extend(causes.iter().cloned());
            named = vec![texts(first.causes(privileged)), causes];
        }
    }
    Some(Expect {
        cause,
        or,
        named,
        behind,
        hop: None,
        places: Vec::new(),
        never: Vec::new(),
        exit: 1,
        least: None,
        alone_below: None,
    })
}

/// The scenario as its file would be, without what goes without saying.
pub(crate) fn file_of(scenario: &Scenario) -> Result<String, toml::ser::Error> {
    let mut table = toml::Table::try_from(scenario)?;
    for (key, value) in &mut table {
        // No name server at all is something to say.
        if key != "resolvers" {
            prune(value);
        }
    }
    table.retain(|key, value| key == "resolvers" || key == "routers" || !goes_without_saying(key, value));
    toml::to_string(&table)
}

fn prune(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            table.iter_mut().for_each(|(_, value)| prune(value));
            table.retain(|key, value| !goes_without_saying(key, value));
        }
        toml::Value::Array(values) => values.iter_mut().for_each(prune),
        _ => {}
    }
}

fn goes_without_saying(key: &str, value: &toml::Value) -> bool {
    match value {
        toml::Value::String(text) => {
            text.is_empty() || (key, text.as_str()) == ("flaw", "none") || (key, text.as_str()) == ("direction", "both")
        }
        toml::Value::Boolean(yes) => !yes,
        toml::Value::Integer(number) => *number == 0,
        toml::Value::Float(number) => *number == if key == "flows" { 1.0 } else { 0.0 },
        toml::Value::Array(values) => values.is_empty(),
        toml::Value::Table(table) => table.is_empty(),
        toml::Value::Datetime(_) => false,
    }
}

#[cfg(test)]
mod tests;
