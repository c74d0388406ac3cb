use super::ProbeSet;
use crate::config_error::ConfigError;
use crate::document::SetReference;

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
    catalogue! {
        "quick" "web" "port" "dns" "tls" "path" "service" "smtp" "sql-endpoint" "latency" "soak" "outbound" "proxy" "private-endpoint" "storage-endpoint"
        "sign-in" "vpn" "time" "quic" "load" "reflect" "azure-vm"
    }
}

pub fn find_built_in(name: &str) -> Option<&'static BuiltIn> {
    built_in().iter().find(|set| set.name == name)
}

/// The catalogue's name that another set goes by, so that whoever is shown the set is not taken in; nothing where the text is the catalogue's own,
/// or the name is none of its.
pub fn name_taken_by(set: &SetReference) -> Option<&'static str> {
    let known = built_in().iter().find(|known| known.name == set.name)?;
    (known.parse().ok()?.reference().sha256 != set.sha256).then_some(known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_set_under_a_name_of_the_catalogue_is_known() {
        let web = find_built_in("web").unwrap();
        assert_eq!(name_taken_by(&web.parse().unwrap().reference()), None);
        for (name, taken) in [("web", Some("web")), ("web2", None)] {
            let text = web.text.replacen("name = \"web\"", &format!("name = \"{name}\""), 1) + "# one more line\n";
            assert_eq!(name_taken_by(&ProbeSet::parse("x", &text).unwrap().reference()), taken, "{name}");
        }
    }
    use crate::set::Request;
    use crate::target::TargetForm;
    use std::collections::BTreeMap;

    #[test]
    fn every_built_in_set_parses_and_carries_its_own_name() {
        for set in built_in() {
            let parsed = set.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.name, set.name);
        }
    }

    /// Whatever a set fills into its kinds' parameters is within their bounds, at the set's defaults and at each end of each parameter.
    #[test]
    fn every_built_in_set_can_be_run_as_it_is_and_at_each_bound() {
        for set in built_in() {
            let parsed = set.parse().unwrap();
            let target = parsed.target.map(|form| match form {
                TargetForm::Host => "db.example",
                TargetForm::Endpoint => "db.example:443",
                TargetForm::Url => "https://shop.example/",
            });
            let mut settings = vec![None];
            for own in &parsed.parameters {
                let bounds = [own.minimum, own.maximum].into_iter().flatten();
                settings.extend(bounds.map(|bound| Some((own.name.clone(), bound.to_string()))));
            }
            for setting in settings {
                let targets = target.into_iter().map(str::to_owned).collect();
                // What has no default is a word of some list; every list that a set asks for so far has this one.
                let needed = parsed.parameters.iter().filter(|own| own.default.is_none());
                let mut parameters: BTreeMap<String, String> = needed.map(|own| (own.name.clone(), "mysql".to_owned())).collect();
                parameters.extend(setting);
                let request = Request { targets, parameters, ..Request::default() };
                let plan = parsed.plan(&request).unwrap_or_else(|error| panic!("{}: {error}", set.name));
                assert!(plan.checks.iter().any(|check| check.required), "{} requires nothing", set.name);
            }
        }
    }

    #[test]
    fn every_built_in_set_says_first_which_question_it_answers() {
        for set in built_in() {
            assert!(set.text.starts_with("# Question: ") && set.text.contains("?\n"), "{}", set.name);
        }
    }
}
