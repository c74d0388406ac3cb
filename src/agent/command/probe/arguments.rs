use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use netsonde_contract::kind::{Field, FieldType};
use serde_json::Value;

pub(super) fn argument(field: &Field) -> Arg {
    let argument = Arg::new(field.name.clone()).help(help(field));
    let argument = if field.required {
        argument.required(true).value_name(field.name.to_uppercase())
    } else {
        argument.long(field.name.replace('_', "-")).help_heading("Parameters").value_name(value_name(&field.kind))
    };
    match &field.kind {
        FieldType::Text => argument,
        FieldType::Integer => {
            let bounds = field.minimum.unwrap_or(i64::MIN)..=field.maximum.unwrap_or(i64::MAX);
            argument.value_parser(clap::value_parser!(i64).range(bounds))
        }
        FieldType::Boolean => {
            argument.value_parser(clap::value_parser!(bool)).num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        FieldType::Choice(words) => argument.value_parser(PossibleValuesParser::new(words.clone())),
        FieldType::TextList | FieldType::SpanList => argument.value_delimiter(',').action(ArgAction::Append),
    }
}

/// The parameter's own help with its default and its bounds.
fn help(field: &Field) -> String {
    let mut help = field.help.trim_end_matches('.').to_owned();
    match (field.minimum, field.maximum) {
        (Some(minimum), Some(maximum)) => help.push_str(&format!(" ({minimum} to {maximum})")),
        (None, Some(maximum)) => help.push_str(&format!(" (at most {maximum})")),
        (Some(minimum), None) => help.push_str(&format!(" (at least {minimum})")),
        (None, None) => {}
    }
    let default = match &field.default {
        Some(Value::Array(items)) if items.is_empty() => None,
        Some(Value::Array(items)) => Some(items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Some(other) => Some(plain(other)),
        None => None,
    };
    if let Some(default) = default {
        help.push_str(&format!(" [default: {default}]"));
    }
    help
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn value_name(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Text => "TEXT",
        FieldType::Integer => "NUMBER",
        FieldType::Boolean => "true|false",
        FieldType::Choice(_) => "WORD",
        FieldType::TextList | FieldType::SpanList => "LIST",
    }
}

/// The value as given; none leaves the parameter to its default.
pub(super) fn value_of(field: &Field, matches: &ArgMatches) -> Option<Value> {
    let name = field.name.as_str();
    matches.contains_id(name).then_some(())?;
    Some(match &field.kind {
        FieldType::Text | FieldType::Choice(_) => matches.get_one::<String>(name)?.clone().into(),
        FieldType::Integer => (*matches.get_one::<i64>(name)?).into(),
        FieldType::Boolean => (*matches.get_one::<bool>(name)?).into(),
        FieldType::TextList | FieldType::SpanList => matches.get_many::<String>(name)?.cloned().collect(),
    })
}
