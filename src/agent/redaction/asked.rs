use super::Redactor;
use netsonde_contract::document::Asked;
use netsonde_contract::outcome::Outcome;
use serde_json::Value;

/// In the place of what may not leave.
const WITHHELD: &str = "[redacted]";

impl Redactor<'_> {
    /// A parameter of a set becomes one of its checks, where its kind decides what of it may leave. So it stays as it is where it stands in
    /// the checks' own redacted parameters, and where it is a number or a switch.
    pub(super) fn asked(&mut self, asked: &Asked, outcomes: &[Outcome]) -> Asked {
        let mut kept = Vec::new();
        outcomes.iter().for_each(|outcome| scalars(&outcome.parameters, &mut kept));
        let parameters = asked.parameters.iter().map(|(name, value)| {
            let each = || value.split(',').map(str::trim);
            let may_leave = is_harmless(value) || each().all(|part| kept.iter().any(|known| known == part));
            if !may_leave {
                self.count("parameter");
            }
            (self.word(name), if may_leave { value.clone() } else { WITHHELD.to_owned() })
        });
        let parameters = parameters.collect();
        Asked {
            parameters,
            expect_status: asked.expect_status.iter().map(|word| self.word(word)).collect(),
            resolvers: asked.resolvers.iter().map(|server| self.text(server)).collect(),
            proxy: asked.proxy.as_deref().map(|proxy| if proxy == "none" { proxy.to_owned() } else { self.url(proxy) }),
            ..asked.clone()
        }
    }
}

/// A number, with a unit of time or without, or a switch.
fn is_harmless(value: &str) -> bool {
    let number = value.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = &value[number.len()..];
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && number.len() <= 9;
    matches!(value, "true" | "false") || (is_number && matches!(unit, "" | "ms" | "s" | "m" | "h"))
}

/// Every single value within, as it is written.
fn scalars(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| scalars(item, found)),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::is_harmless;

    #[test]
    fn numbers_and_switches_say_nothing_that_may_not_leave() {
        for value in ["50", "true", "500ms", "2s"] {
            assert!(is_harmless(value), "{value}");
        }
        for value in ["", "s3cr3t", "db.example", "10.0.0.1", "1234567890123456", "12x"] {
            assert!(!is_harmless(value), "{value}");
        }
    }
}
