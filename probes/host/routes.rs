use crate::context::{Context, NotMeasurable};
use crate::names::Names;
use crate::platform::host::{default_routes, interfaces, route};
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::observation::{Fact, Interface, Route};
use std::net::IpAddr;
use std::time::Duration;

/// How long to wait for the target's addresses. The check is about this machine: a dead resolver is the dns check's finding, and
/// getaddrinfo waits for one longer than any deadline.
const NAME_PATIENCE: Duration = Duration::from_secs(3);

/// A machine with many tables has many default routes.
const MAX_DEFAULTS: usize = 16;

/// The addresses of the target.
///
/// # Errors
/// Where they are not known in time, or there are none: nothing can be read of a target without an address.
pub(super) async fn addresses(context: &Context, target: &str) -> Result<Vec<IpAddr>, NotMeasurable> {
    let without = |why: &str| {
        NotMeasurable::new(format!("the routes and connections to {target} could not be read, because it did not resolve: {why}"))
    };
    let answer = tokio::time::timeout(NAME_PATIENCE, context.names.answer(&context.gate, target)).await;
    let answer = answer.map_err(|_| without(&format!("no answer within {} s", NAME_PATIENCE.as_secs())))?;
    let mut addresses = answer.addresses.map_err(|failure| without(&failure.text))?;
    addresses.truncate(Names::MAX_ADDRESSES);
    if addresses.is_empty() { Err(without("it has no address")) } else { Ok(addresses) }
}

/// Records the route to each address; gives them back.
pub(super) async fn record(context: &Context, addresses: Vec<IpAddr>) -> Vec<Route> {
    let (recorder, clock) = (context.recorder.clone(), context.clock);
    let asked = tokio::task::spawn_blocking(move || {
        let interfaces = interfaces().unwrap_or_default();
        let mut routes = Vec::new();
        for address in addresses {
            let at_us = clock.now_us();
            let mut route = to(address);
            route.tunnel = route.interface.as_deref().and_then(|name| tunnel(&interfaces, name));
            recorder.record(at_us, Fact::Route(route.clone()));
            routes.push(route);
        }
        routes
    });
    asked.await.unwrap_or_default()
}

/// Records the ways to everything that no other entry is for; gives them back.
pub(super) async fn record_defaults(context: &Context) -> Vec<Route> {
    let (recorder, clock) = (context.recorder.clone(), context.clock);
    let read = tokio::task::spawn_blocking(move || {
        let interfaces = interfaces().unwrap_or_default();
        let at_us = clock.now_us();
        let mut routes = default_routes();
        routes.truncate(MAX_DEFAULTS);
        for route in &mut routes {
            route.tunnel = route.interface.as_deref().and_then(|name| tunnel(&interfaces, name));
            recorder.record(at_us, Fact::Route(route.clone()));
        }
        routes
    });
    read.await.unwrap_or_default()
}

fn to(target: IpAddr) -> Route {
    route(target).unwrap_or_else(|error| {
        let mut failure = Failure::from_io(&error, Step::Open);
        // The kernel's answer for a route of type blackhole (ip-route(8)), whose own words say nothing.
        if error.kind() == std::io::ErrorKind::InvalidInput {
            failure.text = format!("a blackhole route drops what goes there ({error})");
        }
        Route { failure: Some(failure), ..Route::to(target) }
    })
}

fn tunnel(interfaces: &[Interface], name: &str) -> Option<String> {
    let found = interfaces.iter().find(|interface| interface.name == name && interface.tunnel)?;
    Some(found.kind.clone().unwrap_or_else(|| "tunnel".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tunnel_makes_a_route_a_tunnelled_one() {
        let interface = |name: &str, kind: &str, tunnel| Interface {
            name: name.into(),
            kind: Some(kind.into()),
            tunnel,
            ..Interface::default()
        };
        let interfaces = [interface("wg0", "wireguard", true), interface("br0", "bridge", false)];
        assert_eq!(tunnel(&interfaces, "wg0").as_deref(), Some("wireguard"));
        assert_eq!((tunnel(&interfaces, "br0"), tunnel(&interfaces, "eth0")), (None, None));
    }
}
