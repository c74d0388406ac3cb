//! Values named in braces within a check's parameters.

use serde_json::Value;

/// The names that a text refers to.
pub(super) fn names(text: &str) -> Vec<&str> {
    pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Name(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

/// The value with every name replaced. `look_up` gives a name's value; `Null` drops the whole key.
pub(super) fn fill(value: &Value, look_up: &dyn Fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => fill_text(text, look_up),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, look_up)).collect()),
        other => other.clone(),
    }
}

fn fill_text(text: &str, look_up: &dyn Fn(&str) -> Value) -> Value {
    let pieces = pieces(text);
    if let [Piece::Name(name)] = pieces.as_slice() {
        return look_up(name);
    }
    let filled = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Name(name) => match look_up(name) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        },
    });
    Value::String(filled.collect())
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some((before, rest)) = text.split_once('{') {
        let Some((name, after)) = rest.split_once('}') else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Name(name));
        text = after;
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lone_name_keeps_its_type_and_a_mixed_text_becomes_text() {
        let look_up = |name: &str| if name == "port" { json!(443) } else { json!("x") };
        assert_eq!(fill(&json!("{port}"), &look_up), json!(443));
        assert_eq!(fill(&json!("{host}:{port}"), &look_up), json!("x:443"));
        assert_eq!(fill(&json!(["{host}"]), &look_up), json!(["x"]));
    }
}
