use super::ProbeSet;
use crate::config_error::ConfigError;

/// A probe set that is built into the programs.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    pub name: &'static str,
    pub text: &'static str,
}

impl BuiltIn {
    /// # Errors
    /// Never for a released program: a test parses the whole catalogue.
    pub fn parse(&self) -> Result<ProbeSet, ConfigError> {
        ProbeSet::parse(&format!("built-in set {}", self.name), self.text)
    }
}

macro_rules! catalogue {
    ($($name:literal)*) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../../../probes/sets/", $name, ".toml")) },)*]
    };
}

/// The catalogue, in the order that `sets list` shows.
pub fn built_in() -> &'static [BuiltIn] {
    catalogue! { "quick" "web" "port" "dns" "path" "service" }
}

pub fn find_built_in(name: &str) -> Option<&'static BuiltIn> {
    built_in().iter().find(|set| set.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_set_parses_and_carries_its_own_name() {
        for set in built_in() {
            let parsed = set.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.name, set.name);
        }
    }
}
