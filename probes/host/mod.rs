//! The machine's own network: interfaces, resolvers, proxies, clock, and the routes to the target. Nothing is sent.

/// The machine and the program, for the head of a document.
mod environment;
/// Proxies in the process's environment.
mod proxies;

pub use environment::environment;

use crate::context::{Context, Ending, NotMeasurable};
use crate::names::Names;
use crate::platform::host::{clock_state, interfaces, route, system_resolvers};
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::kind::HostParams;
use netsonde_contract::observation::{Clock, Fact, Interface, Route};
use std::net::IpAddr;
use std::time::Duration;

/// A machine with containers has some hundreds of interfaces that say nothing about its way out.
const MAX_INTERFACES: usize = 128;

/// How long to wait for the target's addresses. The check is about this machine: a dead resolver is the dns check's finding, and
/// getaddrinfo waits for one longer than any deadline.
const NAME_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn run(context: &Context, params: &HostParams) -> Result<Ending, NotMeasurable> {
    let routed = async {
        match &params.target {
            Some(target) => routes(context, target).await,
            None => true,
        }
    };
    let machine = async {
        if !params.only_route {
            machine(context).await;
        }
    };
    let ((), routed) = tokio::join!(machine, routed);
    Ok(if routed { Ending::AsExpected } else { Ending::Failed })
}

/// Records what is the same whatever the target.
async fn machine(context: &Context) {
    let recorder = context.recorder.clone();
    let clock = context.clock;
    recorder.record(clock.now_us(), Fact::Proxies(proxies::proxies(|name| std::env::var(name).ok())));
    recorder.record(clock.now_us(), Fact::Clock(wall_clock(context)));
    let read = tokio::task::spawn_blocking(move || {
        let at_us = clock.now_us();
        recorder.record(at_us, Fact::Resolvers(system_resolvers().into()));
        match interfaces() {
            Ok(found) => {
                for interface in telling(found) {
                    recorder.record(at_us, Fact::Interface(interface));
                }
            }
            Err(error) => tracing::warn!(%error, "the interfaces could not be read"),
        }
    });
    if let Err(error) = read.await {
        tracing::warn!(%error, "the machine's configuration could not be read");
    }
}

fn wall_clock(context: &Context) -> Clock {
    let state = clock_state();
    Clock {
        wall: context.clock.wall(),
        synchronised: state.map(|state| state.synchronised),
        max_error_us: state.and_then(|state| state.max_error_us),
    }
}

/// The interfaces worth keeping where there are too many: those with an address first, each in its order.
fn telling(mut interfaces: Vec<Interface>) -> Vec<Interface> {
    if interfaces.len() > MAX_INTERFACES {
        interfaces.sort_by_key(|interface| interface.addresses.is_empty());
        interfaces.truncate(MAX_INTERFACES);
    }
    interfaces
}

/// Records the route to each address of the target; says whether one has a route, or there is no address to ask for.
async fn routes(context: &Context, target: &str) -> bool {
    let Ok(answer) = tokio::time::timeout(NAME_PATIENCE, context.names.answer(target)).await else { return true };
    let Ok(mut addresses) = answer.addresses else { return true };
    addresses.truncate(Names::MAX_ADDRESSES);
    let (recorder, clock) = (context.recorder.clone(), context.clock);
    let asked = tokio::task::spawn_blocking(move || {
        let mut found = false;
        for address in addresses {
            let at_us = clock.now_us();
            let route = route_to(address);
            found |= route.failure.is_none();
            recorder.record(at_us, Fact::Route(route));
        }
        found
    });
    asked.await.unwrap_or(true)
}

fn route_to(target: IpAddr) -> Route {
    route(target).unwrap_or_else(|error| {
        let mut failure = Failure::from_io(&error, Step::Open);
        // The kernel's answer for a route of type blackhole (ip-route(8)), whose own words say nothing.
        if error.kind() == std::io::ErrorKind::InvalidInput {
            failure.text = format!("a blackhole route drops what goes there ({error})");
        }
        Route { target, gateway: None, interface: None, source: None, failure: Some(failure) }
    })
}

#[cfg(test)]
mod tests;
