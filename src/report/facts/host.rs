use super::{failure, of};
use crate::{shown, units};
use netsonde_contract::observation::{Clock, Fact, Interface, Proxies, ProxySetting, Resolvers, Route};
use netsonde_contract::outcome::Outcome;

/// The way out, the resolvers, and what is out of the ordinary.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    for route in of(outcome, |fact| if let Fact::Route(route) = fact { Some(route) } else { None }) {
        parts.push(self::route(route));
    }
    for observation in shown::observations(outcome) {
        match &observation.fact {
            Fact::Resolvers(fact) => parts.push(resolvers(fact)),
            Fact::Proxies(fact) if !fact.settings.is_empty() => parts.push(proxies(fact)),
            Fact::Clock(fact) if fact.synchronised == Some(false) => parts.push("clock not synchronised".to_owned()),
            _ => {}
        }
    }
    parts.join("; ")
}

pub(super) fn interface(interface: &Interface) -> String {
    let state = match (interface.up, interface.carrier) {
        (false, _) => "down",
        (true, Some(false)) => "up, no carrier",
        (true, _) => "up",
    };
    let mut line = format!("interface {}: {state}", interface.name);
    if let Some(mtu) = interface.mtu {
        line.push_str(&format!(", MTU {mtu}"));
    }
    if interface.tunnel {
        line.push_str(", a tunnel");
    }
    if !interface.addresses.is_empty() {
        line.push_str(&format!(", {}", interface.addresses.join(", ")));
    }
    line
}

pub(super) fn route(route: &Route) -> String {
    if let Some(found) = &route.failure {
        return format!("no route to {}: {}", route.target, failure::short(found));
    }
    let mut line = if route.target.is_unspecified() { "everything else".to_owned() } else { format!("to {}", route.target) };
    match route.gateway {
        Some(gateway) => line.push_str(&format!(" by {gateway}")),
        None => line.push_str(" directly"),
    }
    if let Some(interface) = &route.interface {
        line.push_str(&format!(" on {interface}"));
    }
    if let Some(tunnel) = &route.tunnel {
        line.push_str(&format!(", a tunnel ({tunnel})"));
    }
    line
}

pub(super) fn resolvers(resolvers: &Resolvers) -> String {
    let left_out = match resolvers.placeholders {
        0 => String::new(),
        count => {
            format!(" ({count} site-local {} left out, which no server has)", if count == 1 { "address" } else { "addresses" })
        }
    };
    if resolvers.servers.is_empty() {
        return format!("no name servers in {}{left_out}", resolvers.read_from);
    }
    let servers: Vec<String> = resolvers.servers.iter().map(ToString::to_string).collect();
    let search = if resolvers.search.is_empty() { String::new() } else { format!(", search {}", resolvers.search.join(" ")) };
    format!("name servers {}{search}{left_out}", servers.join(", "))
}

pub(super) fn proxies(proxies: &Proxies) -> String {
    let list = |settings: &[ProxySetting]| {
        let shown: Vec<String> =
            settings.iter().map(|setting| format!("{} by {} ({})", setting.scheme, setting.url, setting.set_by)).collect();
        shown.join(", ")
    };
    let except = proxies.excluded.as_ref().map_or(String::new(), |excluded| format!(", except {excluded}"));
    let own = if proxies.settings.is_empty() {
        "no proxy".to_owned()
    } else {
        format!("proxy for {}{except}", list(&proxies.settings))
    };
    let elsewhere = if proxies.of_system.is_empty() {
        String::new()
    } else {
        format!("; set for other programs: {}", list(&proxies.of_system))
    };
    let unread = proxies.unread.as_ref().map_or(String::new(), |note| format!("; {}", note.why));
    format!("{own}{elsewhere}{unread}")
}

pub(super) fn clock(clock: &Clock) -> String {
    let state = match clock.synchronised {
        Some(true) => "synchronised",
        Some(false) => "not synchronised",
        None => "synchronisation unknown",
    };
    let error = clock.max_error_us.map_or(String::new(), |us| format!(", error at most {}", units::duration(us)));
    format!("clock {}, {state}{error}", units::moment(clock.wall))
}
