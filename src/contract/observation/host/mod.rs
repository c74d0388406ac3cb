//! The machine's own network, as it was read and without a conclusion. Nothing here was sent anywhere but [`AddressProbe`].

mod address_probe;
mod capacity;
mod clock;
mod counters;
mod firewall;
mod interface;
mod load;
mod machine;
mod neighbours;
mod proxies;
mod resolvers;
mod route;
mod sockets;

pub use address_probe::{AddressAnswer, AddressProbe};
pub use capacity::{Capacity, Conntrack, Descriptors};
pub use clock::Clock;
pub use counters::{Counter, Counters, CpuTime, InterfaceGrowth};
pub use firewall::{Chain, Firewall, FirewallTable};
pub use interface::{Interface, InterfaceCounters};
pub use load::{Pressure, SystemLoad};
pub use machine::Machine;
pub use neighbours::{Neighbour, Neighbours};
pub use proxies::{Proxies, ProxySetting};
pub use resolvers::{ResolverSource, Resolvers};
pub use route::{Route, RoutingRule};
pub use sockets::{
    EphemeralPorts, Listener, OwnerSockets, PortUse, ProcessSockets, RemotePort, Sockets, StateCount, TowardsTarget,
};
