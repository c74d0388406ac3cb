use crate::stop::Stop;
use crate::terminal::harmless;
use netsonde_contract::harmless::is_clean;
use std::collections::BTreeMap;

/// `NAME=VALUE`, each name once.
pub(crate) fn pairs(option: &str, given: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    let mut pairs = BTreeMap::new();
    for text in given {
        let wrong = |why: &str| {
            Stop::usage(format!("{option} {} {why}", harmless(text)))
                .next(format!("write it as {option} NAME=VALUE, each name once"))
        };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
        if name.is_empty() || !is_clean(text) {
            return Err(wrong("has no usable name"));
        }
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(wrong("gives a name again"));
        }
    }
    Ok(pairs)
}

/// Whether `have` holds each of `wanted`.
pub(crate) fn fit(have: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| have.get(name) == Some(value))
}

/// For people, on one line.
pub(crate) fn shown(labels: &BTreeMap<String, String>) -> String {
    let words: Vec<String> = labels.iter().map(|(name, value)| harmless(&format!("{name}={value}"))).collect();
    words.join(" ")
}
