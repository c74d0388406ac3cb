//! The names that an order itself holds, which engineers signed.

use crate::set::Plan;
use crate::target::{Target, TargetForm};
use serde_json::Value;
use std::collections::BTreeSet;

/// As names are compared: in small letters, without the final dot.
pub(super) fn folded(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Every name in the plan's targets and in the values of its checks, also those within URLs and behind a port or a `#`. That a word which is no
/// name stands among them lets nothing through: whatever is looked up was a name first.
pub(super) fn ordered_names(plan: &Plan) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = plan.targets.iter().map(|target| folded(&target.host)).collect();
    for check in &plan.checks {
        note(&check.params.to_value(), &mut names);
    }
    names
}

fn note(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            names.insert(folded(text));
            let forms = [TargetForm::Url, TargetForm::Endpoint].into_iter();
            names.extend(forms.filter_map(|form| Target::parse(text, form).ok()).map(|target| folded(&target.host)));
            names.extend(text.rsplit_once('#').map(|(_, name)| folded(name)));
        }
        Value::Array(items) => items.iter().for_each(|item| note(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| note(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
