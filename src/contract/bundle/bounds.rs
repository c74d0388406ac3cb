//! How much a bundle may say. A file of a few megabytes that names millions of things costs gigabytes once it is read into types, so
//! what the JSON holds is counted while it is still bytes.

use super::file_name;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// One JSON file: an outcome with as many observations as a check may record stays below.
pub const MAX_JSON_BYTES: usize = 16 << 20;
/// Values in all JSON files together. Each costs up to some hundred bytes of memory once it is read.
pub const MAX_VALUES: usize = 1_000_000;
/// Elements of one list or object: as many as a check may record observations.
pub const MAX_LIST: usize = 20_000;
/// Observations of all outcomes together: a route of 30 hops to each of 32 targets in every check of a large set fits.
pub const MAX_OBSERVATIONS: usize = 50_000;
/// Findings: no set has as many checks.
pub const MAX_FINDINGS: usize = 1_000;
/// One text, as written in JSON: a 64 KiB header with most of its characters escaped fits.
pub const MAX_TEXT_BYTES: usize = 256 << 10;
/// Lists within lists; the JSON reader itself goes no deeper.
const MAX_DEPTH: usize = 128;

/// How many bytes a file of this name may have, where that is less than the bundle as a whole.
pub(super) fn largest(name: &str) -> Option<usize> {
    is_json(name).then_some(MAX_JSON_BYTES)
}

/// What passes a bound, in words.
pub(super) fn check(files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    let (mut values, mut observations) = (0, 0);
    for (name, content) in files.iter().filter(|(name, _)| is_json(name)) {
        if content.len() > MAX_JSON_BYTES {
            return Err(format!("`{name}` is larger than {MAX_JSON_BYTES} bytes"));
        }
        // Each of these is one text with a signed payload in it, and is read as nothing else.
        if name == file_name::ENVELOPE || name == file_name::ORDER {
            continue;
        }
        count(content, &mut values).map_err(|what| format!("`{name}` {what}"))?;
        let counts: Counts = serde_json::from_slice(content).unwrap_or_default();
        observations += counts.observations.len();
        if observations > MAX_OBSERVATIONS {
            return Err(format!("the bundle has more than {MAX_OBSERVATIONS} observations"));
        }
        let conclusions = counts.findings.len().max(counts.unexplained.len()).max(counts.not_measured.len());
        if name == file_name::FINDINGS && conclusions > MAX_FINDINGS {
            return Err(format!("`{name}` has more than {MAX_FINDINGS} findings"));
        }
    }
    Ok(())
}

/// Everything that [`super::Bundle::document`] reads.
fn is_json(name: &str) -> bool {
    name.ends_with(".json") || name.starts_with(file_name::OUTCOMES)
}

/// The lists that are bounded by what they are; their elements are counted and not kept.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    observations: Vec<IgnoredAny>,
    findings: Vec<IgnoredAny>,
    unexplained: Vec<IgnoredAny>,
    not_measured: Vec<IgnoredAny>,
}

/// Adds the values of a JSON text to `values`. What is no JSON is left for its reader to refuse.
fn count(json: &[u8], values: &mut usize) -> Result<(), String> {
    let mut lists: Vec<usize> = Vec::new();
    let mut text: Option<usize> = None;
    let mut escaped = false;
    for byte in json {
        if let Some(length) = &mut text {
            *length += 1;
            if *length > MAX_TEXT_BYTES {
                return Err(format!("has a text of more than {MAX_TEXT_BYTES} bytes"));
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => text = None,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => text = Some(0),
            b'[' | b'{' => {
                if lists.len() == MAX_DEPTH {
                    return Err(format!("is nested more than {MAX_DEPTH} deep"));
                }
                lists.push(1);
                *values += 1;
            }
            b']' | b'}' => {
                lists.pop();
            }
            b',' => {
                if let Some(elements) = lists.last_mut() {
                    *elements += 1;
                    if *elements > MAX_LIST {
                        return Err(format!("has a list of more than {MAX_LIST} elements"));
                    }
                }
                *values += 1;
            }
            _ => {}
        }
        if *values > MAX_VALUES {
            return Err(format!("and the files before it have more than {MAX_VALUES} values"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, content: String) -> String {
        check(&[(name.to_owned(), content.into_bytes())].into()).err().unwrap_or_default()
    }

    fn list(element: &str, count: usize) -> String {
        vec![element; count].join(",")
    }

    #[test]
    fn each_bound_is_met_exactly() {
        let observations = |count| format!(r#"{{"observations":[{}]}}"#, list("0", count));
        assert_eq!(refused("outcomes/1.json", observations(MAX_LIST)), "");
        assert!(refused("outcomes/1.json", observations(MAX_LIST + 1)).contains("a list of more"));
        assert!(refused("outcomes/1", observations(MAX_LIST + 1)).contains("a list of more"), "whatever its name ends in");
        let findings = |count| format!(r#"{{"findings":[{}]}}"#, list("{}", count));
        assert_eq!(refused("findings.json", findings(MAX_FINDINGS)), "");
        assert!(refused("findings.json", findings(MAX_FINDINGS + 1)).contains("findings"));
        assert_eq!(refused("run.json", format!("[\"{}\"]", "a".repeat(MAX_TEXT_BYTES - 1))), "");
        assert!(refused("run.json", format!("[\"{}\"]", "a".repeat(MAX_TEXT_BYTES))).contains("a text of more"));
        assert!(refused("run.json", "[".repeat(MAX_DEPTH + 1)).contains("deep"));
        assert!(refused("run.json", " ".repeat(MAX_JSON_BYTES + 1)).contains("larger"));
    }

    #[test]
    fn what_no_single_file_passes_is_counted_over_all_of_them() {
        let many = |count: usize, content: &str| -> BTreeMap<String, Vec<u8>> {
            (0..count).map(|number| (format!("outcomes/{number}.json"), content.as_bytes().to_vec())).collect()
        };
        let observations = format!(r#"{{"observations":[{}]}}"#, list("0", MAX_LIST));
        assert!(check(&many(2, &observations)).is_ok());
        assert!(check(&many(3, &observations)).unwrap_err().contains("observations"));
        let values = format!("[{}]", list("[]", MAX_LIST));
        assert!(check(&many(24, &values)).is_ok());
        assert!(check(&many(26, &values)).unwrap_err().contains("values"));
    }

    #[test]
    fn brackets_and_commas_within_a_text_count_as_text() {
        assert_eq!(refused("run.json", format!(r#"{{"a":"{}","b":"\\","c":"\"[["}}"#, "[,".repeat(MAX_LIST))), "");
    }
}
