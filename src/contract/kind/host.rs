use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostParams {
    /// A host name or address whose route is looked up; none looks up no route.
    #[serde(default)]
    pub target: Option<String>,
    /// Look up the route only, and leave out what is the same for every target: interfaces, resolvers, proxies and clock.
    #[serde(default)]
    pub only_route: bool,
}
