use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostParams {
    /// A host name or address whose route is looked up; none looks up no route.
    #[serde(default)]
    pub target: Option<String>,
    /// Look up the route only, and leave out what is the same for every target: interfaces, resolvers, proxies, clock and the like.
    #[serde(default)]
    pub only_route: bool,
    /// Ask on each link whether another machine uses one of this machine's own addresses: 3 small packets for each, needs raw sockets.
    #[serde(default)]
    pub duplicates: bool,
}
