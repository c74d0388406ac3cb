use netsonde_contract::document::Document;
use netsonde_contract::kind::FieldType;
use netsonde_contract::outcome::{Outcome, Status};
use serde_json::Value;

/// The command that runs the whole again, and one for each check that was not as expected.
pub(super) fn of(document: &Document) -> Vec<String> {
    let run = &document.run;
    let mut whole = format!("netsonde run {}", quoted(&run.set.name));
    for target in &run.targets {
        whole.push_str(&format!(" --target {}", quoted(&target.to_string())));
    }
    let alone = |outcome: &&Outcome| matches!(outcome.status, Status::Failed | Status::TimedOut);
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
    command
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
    fn a_word_from_a_foreign_bundle_runs_nothing_in_a_shell() {
        assert_eq!(quoted("a; rm -rf '$HOME'"), "'a; rm -rf '\\''$HOME'\\'''");
        assert_eq!(quoted("https://shop.example/"), "https://shop.example/");
    }
}
