//! Ports written short: `443`, `8000-8010`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// One port, or all from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpan(RangeInclusive<u16>);

impl PortSpan {
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.0.clone()
    }

    fn read(value: &Value) -> Option<Self> {
        let span = match value {
            Value::Number(number) => {
                let port = u16::try_from(number.as_u64()?).ok()?;
                port..=port
            }
            Value::String(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                first.trim().parse().ok()?..=last.trim().parse().ok()?
            }
            _ => return None,
        };
        (*span.start() > 0 && !span.is_empty()).then_some(Self(span))
    }
}

impl<'de> Deserialize<'de> for PortSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| {
            D::Error::custom(format!(
                "`ports` has {value}, but takes ports of 1 to 65535 and ranges of them, such as 443 or 8000-8010, the lower end first"
            ))
        })
    }
}

impl Serialize for PortSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => serializer.serialize_u16(*first),
            (first, last) => serializer.collect_str(&format_args!("{first}-{last}")),
        }
    }
}

impl JsonSchema for PortSpan {
    fn schema_name() -> Cow<'static, str> {
        "PortSpan".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"]})
    }
}

#[cfg(test)]
mod tests {
    use super::PortSpan;
    use serde_json::{Value, json};

    #[test]
    fn ports_and_ranges_are_read_and_written_short() {
        let read = |value: Value| serde_json::from_value::<PortSpan>(value);
        for (given, ports, written) in [
            (json!(443), 443..=443, json!(443)),
            (json!("443"), 443..=443, json!(443)),
            (json!("8000-8010"), 8000..=8010, json!("8000-8010")),
            (json!("65535-65535"), 65_535..=65_535, json!(65_535)),
        ] {
            let span = read(given).unwrap();
            assert_eq!((span.ports(), serde_json::to_value(&span).unwrap()), (ports, written));
        }
        for wrong in
            [json!(0), json!(65_536), json!(-1), json!("8010-8000"), json!("0-9"), json!("https"), json!("1-2-3"), json!(true)]
        {
            let error = read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains("1 to 65535") && error.contains("8000-8010"), "{wrong}: {error}");
        }
    }
}
