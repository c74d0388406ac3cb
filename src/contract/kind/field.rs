//! What a kind's parameters are called and may be, read from their JSON Schema.

use crate::nearest::nearest;
use serde_json::Value;

/// One parameter of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    /// In one or two sentences, for help and documentation.
    pub help: String,
    pub kind: FieldType,
    /// May be left out where it has a default or stands for "none".
    pub required: bool,
    pub default: Option<Value>,
    pub minimum: Option<i64>,
    pub maximum: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    Text,
    Integer,
    Boolean,
    /// One of these words.
    Choice(Vec<String>),
    /// A list of texts.
    TextList,
    /// A list of integers and ranges of them.
    SpanList,
}

impl FieldType {
    /// The value in the field's own type where it says the same in another one: what a name in braces stands for was typed by whoever
    /// gave it, and `"443"` is a port as well as `443` is. What says nothing in the field's type stays as it is, to be refused.
    pub(crate) fn fitted(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Integer, Value::String(text)) => text.parse::<i64>().map_or(Value::String(text), Value::from),
            (Self::Boolean, Value::String(text)) => text.parse::<bool>().map_or(Value::String(text), Value::from),
            (Self::Text | Self::Choice(_), value @ (Value::Number(_) | Value::Bool(_))) => Value::String(value.to_string()),
            (Self::TextList, Value::Array(items)) => items.into_iter().map(|item| Self::Text.fitted(item)).collect(),
            (Self::TextList | Self::SpanList, value @ (Value::Number(_) | Value::String(_))) => {
                self.fitted(Value::Array(vec![value]))
            }
            (_, other) => other,
        }
    }

    pub fn words(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Integer => "a whole number".into(),
            Self::Boolean => "true or false".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::TextList => "a list of texts".into(),
            Self::SpanList => "a list of whole numbers and ranges such as 8000-8010".into(),
        }
    }
}

/// A parameter that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParameterError {
    /// The parameter at fault, where there is one.
    pub key: Option<String>,
    pub message: String,
}

impl ParameterError {
    pub(super) fn of(key: &str, message: String) -> Self {
        Self { key: Some(key.to_owned()), message }
    }

    pub(super) fn shape(error: serde_json::Error) -> Self {
        Self { key: None, message: error.to_string() }
    }
}

pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields: Vec<Field> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| Field {
            name: name.clone(),
            help: property["description"].as_str().unwrap_or_default().replace('\n', " "),
            kind: field_type(property),
            required: required.contains(&name.as_str()),
            default: property.get("default").filter(|default| !default.is_null()).cloned(),
            minimum: property["minimum"].as_i64(),
            maximum: property["maximum"].as_i64(),
        })
        .collect();
    fields.sort_by_key(|field| (!field.required, required.iter().position(|name| *name == field.name)));
    fields
}

fn field_type(property: &Value) -> FieldType {
    let is = |value: &Value, name: &str| match &value["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    let words = |value: &Value| -> Option<Vec<String>> {
        let of_enum = value["enum"].as_array().map(|list| list.iter().filter_map(|w| w.as_str().map(str::to_owned)).collect());
        of_enum.or_else(|| {
            let options = value["oneOf"].as_array()?;
            Some(options.iter().filter_map(|option| option["const"].as_str().map(str::to_owned)).collect())
        })
    };
    if let Some(words) = words(property) {
        FieldType::Choice(words)
    } else if is(property, "array") {
        if is(&property["items"], "integer") { FieldType::SpanList } else { FieldType::TextList }
    } else if is(property, "integer") {
        FieldType::Integer
    } else if is(property, "boolean") {
        FieldType::Boolean
    } else {
        FieldType::Text
    }
}

pub(crate) fn check(fields: &[Field], value: &Value) -> Result<(), ParameterError> {
    let Some(given) = value.as_object() else {
        return Err(ParameterError { key: None, message: "parameters are a table of keys and values".into() });
    };
    for (key, value) in given {
        let Some(field) = fields.iter().find(|field| field.name == *key) else {
            let names = fields.iter().map(|field| field.name.as_str());
            let hint = match nearest(key, names.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known: {}", names.collect::<Vec<_>>().join(", ")),
            };
            return Err(ParameterError::of(key, format!("unknown parameter `{key}` ({hint})")));
        };
        check_value(field, value)?;
    }
    match fields.iter().find(|field| field.required && !given.contains_key(&field.name)) {
        Some(missing) => {
            Err(ParameterError { key: None, message: format!("the parameter `{}` is missing: {}", missing.name, missing.help) })
        }
        None => Ok(()),
    }
}

fn check_value(field: &Field, value: &Value) -> Result<(), ParameterError> {
    let optional_absent = value.is_null() && !field.required;
    let fits = match &field.kind {
        FieldType::Text => value.is_string(),
        FieldType::Integer => value.is_i64() || value.is_u64(),
        FieldType::Boolean => value.is_boolean(),
        FieldType::Choice(words) => value.as_str().is_some_and(|word| words.iter().any(|known| known == word)),
        FieldType::TextList => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        FieldType::SpanList => {
            value.as_array().is_some_and(|list| list.iter().all(|item| item.is_i64() || item.is_u64() || item.is_string()))
        }
    };
    if !fits && !optional_absent {
        return Err(ParameterError::of(&field.name, format!("`{}` is {value}, but must be {}", field.name, field.kind.words())));
    }
    let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
    match (number, field.minimum, field.maximum) {
        (Some(number), Some(minimum), _) if number < minimum => {
            Err(ParameterError::of(&field.name, format!("`{}` is {number}, but must be at least {minimum}", field.name)))
        }
        (Some(number), _, Some(maximum)) if number > maximum => {
            Err(ParameterError::of(&field.name, format!("`{}` is {number}, but must be at most {maximum}", field.name)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_of_another_type_that_says_the_same_fits_and_any_other_stays() {
        let choice = FieldType::Choice(vec!["1".into()]);
        for (field, given, fitted) in [
            (FieldType::Integer, json!("82"), json!(82)),
            (FieldType::Integer, json!("x"), json!("x")),
            (FieldType::Integer, json!(true), json!(true)),
            (FieldType::Boolean, json!("false"), json!(false)),
            (FieldType::Boolean, json!("no"), json!("no")),
            (FieldType::Text, json!(82), json!("82")),
            (choice, json!(1), json!("1")),
            (FieldType::TextList, json!([1, "h2"]), json!(["1", "h2"])),
            (FieldType::TextList, json!("h2"), json!(["h2"])),
            (FieldType::SpanList, json!("8000-8010"), json!(["8000-8010"])),
            (FieldType::SpanList, json!(443), json!([443])),
        ] {
            assert_eq!(field.fitted(given.clone()), fitted, "{field:?} {given}");
        }
    }
}
