use netsonde_contract::document::{Asked, Document, SetReference};
use netsonde_contract::kind::{FieldType, Kind};
use netsonde_contract::observation::{Fact, Handshake, ProxyReason, TrustStore};
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_contract::set::find_built_in;
use serde_json::Value;

/// The command that runs the whole again, and one for each check that was not as expected. Each is one line for a POSIX shell; what
/// was redacted, and files that are no part of a bundle, stand in it as words that say what belongs there.
pub(super) fn of(document: &Document) -> Vec<String> {
    let run = &document.run;
    let mut whole = format!("netsonde run {}", quoted(&set(&run.set)));
    for target in &run.targets {
        whole.push_str(&format!(" --target {}", quoted(&target.to_string())));
    }
    // What a follow-up decided is part of the reasoning, whether it failed or not.
    let alone = |outcome: &&Outcome| matches!(outcome.status, Status::Failed | Status::TimedOut) || !outcome.separates.is_empty();
    let asked = run.asked.as_deref();
    let of_set = asked.map(of_set).unwrap_or_default();
    for option in of_set.into_iter().chain(surroundings(asked, &document.outcomes.iter().collect::<Vec<_>>(), None)) {
        whole.push_str(&option);
    }
    // A single probe's run has a set of its own making, which nobody can name.
    let is_set = !run.set.name.starts_with("probe-");
    let whole = is_set.then_some(whole).into_iter();
    let probes = document.outcomes.iter().filter(alone).map(|outcome| probe(outcome, asked));
    let mut commands: Vec<String> = whole.chain(probes).collect();
    commands.dedup();
    commands
}

/// A built-in set by its name; that of a file is no part of a bundle.
fn set(reference: &SetReference) -> String {
    match find_built_in(&reference.name) {
        Some(_) => reference.name.clone(),
        None => format!("FILE_OF_THE_SET_{}.toml", reference.name),
    }
}

/// What only a whole run is asked.
fn of_set(asked: &Asked) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    options.extend(asked.parameters.iter().map(|(name, value)| format!(" --param {}", quoted(&format!("{name}={value}")))));
    if !asked.expect_status.is_empty() {
        options.push(format!(" --expect-status {}", quoted(&asked.expect_status.join(","))));
    }
    options.extend(asked.resolvers.iter().map(|server| format!(" --resolver {}", quoted(server))));
    options.extend(asked.budget_us.map(|budget_us| format!(" --budget {}ms", budget_us.div_ceil(1_000))));
    options.extend(asked.no_follow_up.then(|| " --no-follow-up".to_owned()));
    options
}

/// The check on its own, with each parameter that is not at its default.
fn probe(outcome: &Outcome, asked: Option<&Asked>) -> String {
    let mut command = format!("netsonde probe {}", outcome.kind.name());
    for field in outcome.kind.fields() {
        let Some(value) = outcome.parameters.get(&field.name).filter(|value| !value.is_null()) else { continue };
        let text = text(value);
        if field.required {
            command.push_str(&format!(" {}", quoted(&text)));
        } else if field.default.as_ref() != Some(value) && !text.is_empty() {
            let name = field.name.replace('_', "-");
            match field.kind {
                FieldType::Boolean => command.push_str(&format!(" --{name}={text}")),
                _ => command.push_str(&format!(" --{name} {}", quoted(&text))),
            }
        }
    }
    for option in surroundings(asked, &[outcome], Some(outcome.kind)) {
        command.push_str(&option);
    }
    command
}

/// What a check was told by its surroundings and no parameter holds: whoever repeats it elsewhere would measure something else without. A
/// single probe is told only what its kind heeds.
fn surroundings(asked: Option<&Asked>, outcomes: &[&Outcome], kind: Option<Kind>) -> Vec<String> {
    let heeds = |kinds: &[Kind]| kind.is_none_or(|kind| kinds.contains(&kind));
    let asked =
        asked.cloned().unwrap_or_else(|| Asked { proxy: proxy_seen(outcomes), trust: trusts(outcomes), ..Asked::default() });
    let mut options: Vec<String> = Vec::new();
    if heeds(&[Kind::Http, Kind::Proxy, Kind::Load]) {
        options.extend(asked.proxy.or_else(|| proxy_seen(outcomes)).map(|proxy| format!(" --proxy {}", quoted(&proxy))));
    }
    // The files themselves are no part of the bundle.
    if asked.trust && (kind.is_none() || trusts(outcomes)) {
        options.push(" --trust FILE_OF_TRUSTED_CERTIFICATES.pem".to_owned());
    }
    if asked.reflector_key && heeds(&[Kind::Reflect]) {
        options.push(" --reflector-key FILE_OF_THE_REFLECTORS_KEY".to_owned());
    }
    if asked.networks && heeds(&[Kind::Traceroute]) {
        options.push(" --networks FILE_OF_NETWORKS".to_owned());
    }
    options
}

/// The proxy that a request was told to go through, or not to.
fn proxy_seen(outcomes: &[&Outcome]) -> Option<String> {
    let facts = outcomes.iter().flat_map(|outcome| &outcome.observations).map(|observation| &observation.fact);
    let mut exchanges = facts.filter_map(|fact| if let Fact::Exchange(exchange) = fact { Some(exchange) } else { None });
    exchanges.find_map(|exchange| match (&exchange.way, &exchange.proxy) {
        (Some(ProxyReason::Given | ProxyReason::Environment), Some(proxy)) => Some(proxy.clone()),
        (Some(ProxyReason::Declined), _) => Some("none".to_owned()),
        _ => None,
    })
}

/// Certificates were judged by a file of trusted ones as well.
fn trusts(outcomes: &[&Outcome]) -> bool {
    let facts = outcomes.iter().flat_map(|outcome| &outcome.observations).map(|observation| &observation.fact);
    let given = |handshake: &Handshake| handshake.trust.iter().any(|verdict| verdict.store == TrustStore::Given);
    facts.into_iter().any(|fact| matches!(fact, Fact::Handshake(handshake) if given(handshake)))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of_item).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn text_of_item(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}

/// As a POSIX shell takes it as one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,[]".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_commands_repeat_the_run_and_each_failed_check() {
        let mut document = sample::document(sample::refused());
        for outcome in document.outcomes.iter_mut().filter(|outcome| outcome.kind == Kind::Tcp) {
            outcome.parameters = serde_json::json!({ "host": "db.example", "port": 5432, "attempts": 3, "timeout_ms": 3000 });
        }
        let commands = of(&document);
        assert_eq!(commands[0], "netsonde run port --target db.example:5432");
        assert_eq!(commands[1], "netsonde probe tcp db.example 5432 --attempts 3");
    }

    #[test]
    fn the_proxy_and_the_follow_ups_are_part_of_what_is_repeated() {
        let mut document = sample::document(sample::refused());
        let exchange = serde_json::json!({"fact": "exchange", "url": "https://shop.example/", "method": "GET", "redirect": 0,
            "proxy": "http://proxy.example:3128", "way": "environment", "expected": true, "phases": {}, "body_bytes": 0});
        let followed = document.outcomes.iter_mut().find(|outcome| !outcome.observations.is_empty()).unwrap();
        followed.status = Status::Succeeded;
        // Another kind is told of no proxy, which it would refuse.
        (followed.kind, followed.parameters) = (Kind::Http, serde_json::json!({"url": "https://shop.example/"}));
        followed.separates = vec!["tcp.refused".into()];
        followed.observations[0].fact = serde_json::from_value(exchange).unwrap();
        let kind = followed.kind.name();
        let commands = of(&document);
        assert!(commands[0].ends_with(" --proxy http://proxy.example:3128"), "{commands:?}");
        let again = commands.iter().find(|command| command.starts_with(&format!("netsonde probe {kind}")));
        assert!(again.is_some_and(|command| command.ends_with("--proxy http://proxy.example:3128")), "{commands:?}");
    }

    #[test]
    fn a_word_from_a_foreign_bundle_runs_nothing_in_a_shell() {
        assert_eq!(quoted("a; rm -rf '$HOME'"), "'a; rm -rf '\\''$HOME'\\'''");
        assert_eq!(quoted("https://shop.example/"), "https://shop.example/");
    }
}
