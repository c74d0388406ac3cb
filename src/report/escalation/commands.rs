use netsonde_contract::document::Document;
use netsonde_contract::kind::FieldType;
use netsonde_contract::observation::{Fact, ProxyReason, TrustStore};
use netsonde_contract::outcome::{Outcome, Status};
use serde_json::Value;

/// The command that runs the whole again, and one for each check that was not as expected.
pub(super) fn of(document: &Document) -> Vec<String> {
    let run = &document.run;
    let mut whole = format!("netsonde run {}", quoted(&run.set.name));
    for target in &run.targets {
        whole.push_str(&format!(" --target {}", quoted(&target.to_string())));
    }
    // What a follow-up decided is part of the reasoning, whether it failed or not.
    let alone = |outcome: &&Outcome| matches!(outcome.status, Status::Failed | Status::TimedOut) || !outcome.separates.is_empty();
    for option in surroundings(&document.outcomes.iter().collect::<Vec<_>>()) {
        whole.push_str(&option);
    }
    // A single probe's run has a set of its own making, which nobody can name.
    let is_set = !run.set.name.starts_with("probe-");
    let whole = is_set.then_some(whole).into_iter();
    let mut commands: Vec<String> = whole.chain(document.outcomes.iter().filter(alone).map(probe)).collect();
    commands.dedup();
    commands
}

/// The check on its own, with each parameter that is not at its default.
fn probe(outcome: &Outcome) -> String {
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
    for option in surroundings(&[outcome]) {
        command.push_str(&option);
    }
    command
}

/// What a check was told by its surroundings and no parameter holds: whoever repeats it elsewhere would measure something else without.
fn surroundings(outcomes: &[&Outcome]) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    let mut add = |option: String| {
        if !options.contains(&option) {
            options.push(option);
        }
    };
    for fact in outcomes.iter().flat_map(|outcome| &outcome.observations).map(|observation| &observation.fact) {
        match fact {
            Fact::Exchange(exchange) => match (&exchange.way, &exchange.proxy) {
                (Some(ProxyReason::Given | ProxyReason::Environment), Some(proxy)) => add(format!(" --proxy {}", quoted(proxy))),
                (Some(ProxyReason::Declined), _) => add(" --proxy none".to_owned()),
                _ => {}
            },
            // The file itself is no part of the bundle.
            Fact::Handshake(handshake) if handshake.trust.iter().any(|verdict| verdict.store == TrustStore::Given) => {
                add(" --trust FILE_OF_TRUSTED_CERTIFICATES.pem".to_owned());
            }
            _ => {}
        }
    }
    options
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
    use netsonde_contract::kind::Kind;

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
