//! The machine's own network: what netstat, ip, arp, route and nft would have said. Nothing is sent unless duplicates are asked for.

/// What the machine has only so much of.
mod capacity;
/// What the kernel counts, before and after the run.
mod counters;
/// Proxies of the user's own desktop.
mod desktop_proxies;
/// Own addresses asked for on their links.
mod duplicates;
/// The machine and the program, for the head of a document.
mod environment;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// Vendor, hypervisor, container, cloud.
mod kind_of_machine;
/// How busy the machine is.
mod load;
/// Proxies in the process's environment.
mod proxies;
/// Bounded reads of files.
mod read;
/// Whom a resolver on this machine itself asks.
mod resolver_files;
/// Routes to the target.
mod routes;
/// Sockets, counted.
mod sockets;
/// Proxies that files of the system set.
mod system_proxies;
/// Proxies of Windows.
#[cfg(windows)]
mod windows_proxies;

pub use counters::closing_reading;
pub use environment::environment;

use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::{self, host};
use netsonde_contract::kind::HostParams;
use netsonde_contract::observation::{Clock, Fact, Interface, Neighbour, Neighbours, Proxies, Resolvers, Route};
use sockets::Viewer;
use std::net::IpAddr;

/// A machine with containers has some hundreds of interfaces that say nothing about its way out.
const MAX_INTERFACES: usize = 128;

/// A server on a large network knows thousands of neighbours.
const MAX_NEIGHBOURS: usize = 256;

/// The first port that needs no right (ip(7)); kernels before 4.11 have no such setting.
const FIRST_FREE_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// The lowest port that a check opens (RFC 2131 section 4.1).
const DHCP_CLIENT_PORT: u16 = 68;

/// Addresses of the name servers that this machine is configured with.
pub fn system_resolvers() -> Vec<std::net::IpAddr> {
    Resolvers::from(host::system_resolvers()).servers
}

/// The process runs in a container. Blocks on files.
pub(crate) fn is_in_container() -> bool {
    kind_of_machine::container().is_some()
}

/// Everybody may open the ports below 1024 that are used here, as in containers by default. Blocks on a file.
pub(crate) fn opens_low_ports() -> bool {
    read::number(FIRST_FREE_PORT).is_some_and(|first| first <= u64::from(DHCP_CLIENT_PORT))
}

/// Ends as expected where an address of the target has a route, or there is no target.
///
/// # Errors
/// Where the target gives no address. What is of the machine itself is recorded all the same.
pub(crate) async fn run(context: &Context, params: &HostParams) -> Result<Ending, NotMeasurable> {
    // Before anything else of the run, so that its own traffic is in what the counters grow by.
    if !params.only_route {
        record(context, || counters::read().map(Fact::Counters)).await;
    }
    let machine = async {
        if !params.only_route {
            machine(context, params.target.as_deref()).await;
        }
        if params.duplicates {
            duplicates::record(context).await;
        }
    };
    let ((), routed) = tokio::join!(machine, towards(context, params));
    Ok(if routed? { Ending::AsExpected } else { Ending::Failed })
}

/// Records what is the same whatever the target.
async fn machine(context: &Context, target: Option<&str>) {
    let recorder = context.recorder.clone();
    let clock = context.clock;
    recorder.record(clock.now_us(), Fact::Clock(wall_clock(context)));
    record_proxies(context, target).await;
    let read = tokio::task::spawn_blocking(move || {
        let at_us = clock.now_us();
        let mut resolvers = Resolvers::from(host::system_resolvers());
        resolvers.behind = resolver_files::behind(&resolvers);
        recorder.record(at_us, Fact::Resolvers(resolvers));
        match host::interfaces() {
            Ok(found) => {
                for interface in telling(found) {
                    recorder.record(at_us, Fact::Interface(interface));
                }
            }
            Err(error) => tracing::warn!(%error, "the interfaces could not be read"),
        }
        let facts = [
            capacity::read().map(Fact::Capacity),
            load::read().map(Fact::SystemLoad),
            kind_of_machine::read().map(Fact::Machine),
            Some(Fact::Firewall(host::firewall())),
        ];
        for fact in facts.into_iter().flatten() {
            recorder.record(clock.now_us(), fact);
        }
    });
    if let Err(error) = read.await {
        tracing::warn!(%error, "the machine's configuration could not be read");
    }
}

/// Records the proxies of the process, of the system and of the user; where a script chooses, what it says for the target.
async fn record_proxies(context: &Context, target: Option<&str>) {
    let at_us = context.clock.now_us();
    let read = tokio::task::spawn_blocking(|| {
        let mut found = proxies::proxies(|name| std::env::var(name).ok());
        found.of_system = system_proxies::of_system();
        let desktop = desktop_proxies::of_user(|name| std::env::var(name).ok());
        found.of_system.extend(desktop.settings);
        found.unread = desktop.unread;
        #[cfg(windows)]
        {
            let (settings, unread) = windows_proxies::settings();
            found.of_system.extend(settings);
            found.unread = unread.or(found.unread);
        }
        found
    });
    let Ok(found) = read.await else { return };
    context.recorder.record(at_us, Fact::Proxies(asked_of_script(context, found, target).await));
}

#[cfg(windows)]
async fn asked_of_script(context: &Context, mut found: Proxies, target: Option<&str>) -> Proxies {
    windows_proxies::evaluate(context, &mut found, target).await;
    found
}

#[cfg(not(windows))]
async fn asked_of_script(_context: &Context, found: Proxies, _target: Option<&str>) -> Proxies {
    found
}

/// Records what is about the target: routes, its next hops, its lines in the hosts file and the connections to it. Says whether an
/// address has a route, or there is no target.
async fn towards(context: &Context, params: &HostParams) -> Result<bool, NotMeasurable> {
    let mut found = Ok(Vec::new());
    if let Some(target) = &params.target {
        if target.parse::<IpAddr>().is_err() {
            let at_us = context.clock.now_us();
            if let Some(sources) = crate::dns::name_sources(target).await.filter(|sources| !sources.hosts.is_empty()) {
                context.recorder.record(at_us, Fact::NameSources(sources));
            }
        }
        found = routes::addresses(context, target).await;
    }
    let addresses = found.as_ref().cloned().unwrap_or_default();
    let routes = match params.target {
        Some(_) => routes::record(context, addresses.clone()).await,
        None => routes::record_defaults(context).await,
    };
    if !params.only_route {
        let gateways: Vec<IpAddr> = routes.iter().filter_map(next_hop).collect();
        record(context, move || neighbours(&gateways).map(Fact::Neighbours)).await;
        let targets = addresses.clone();
        record(context, move || sockets::read(&targets, viewer()).map(|sockets| Fact::Sockets(Box::new(sockets)))).await;
    }
    found.map(|addresses| addresses.is_empty() || routes.iter().any(|route| route.failure.is_none()))
}

/// Records what a blocking read gives, if anything; a read that panics costs its own fact only.
async fn record(context: &Context, read: impl FnOnce() -> Option<Fact> + Send + 'static) {
    let at_us = context.clock.now_us();
    if let Ok(Some(fact)) = tokio::task::spawn_blocking(read).await {
        context.recorder.record(at_us, fact);
    }
}

/// The gateway, or the target itself where it is on the link.
fn next_hop(route: &Route) -> Option<IpAddr> {
    route.failure.is_none().then(|| route.gateway.unwrap_or(route.target))
}

/// The neighbours worth keeping: the next hops to the target first, then those that cannot be found.
fn neighbours(gateways: &[IpAddr]) -> Option<Neighbours> {
    let mut entries = host::neighbours().ok()?;
    let total = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    for entry in &mut entries {
        entry.gateway = gateways.contains(&entry.address);
    }
    let is_found = |entry: &Neighbour| !matches!(entry.state.as_str(), "failed" | "incomplete");
    entries.sort_by_key(|entry| (!entry.gateway, is_found(entry)));
    entries.truncate(MAX_NEIGHBOURS);
    Some(Neighbours { entries, total })
}

fn viewer() -> Viewer {
    #[cfg(unix)]
    let user_id = nix::unistd::geteuid().as_raw();
    #[cfg(not(unix))]
    let user_id = 0;
    Viewer { user_id, elevated: platform::other_processes() }
}

fn wall_clock(context: &Context) -> Clock {
    let state = host::clock_state();
    Clock {
        wall: context.clock.wall(),
        synchronised: state.as_ref().map(|state| state.synchronised),
        max_error_us: state.as_ref().and_then(|state| state.max_error_us),
        offset_us: state.as_ref().and_then(|state| state.offset_us),
        rate_correction_ppb: state.as_ref().and_then(|state| state.rate_correction_ppb),
        state: state.as_ref().and_then(|state| state.state.clone()),
        source: state.and_then(|state| state.source),
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

#[cfg(test)]
mod tests;
