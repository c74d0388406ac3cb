//! The request headers that an echo endpoint says it got, compared with those that were sent. Pure.

use netsonde_contract::observation::{ChangedHeader, EchoedHeaders, Header};
use serde_json::Value;

/// Headers read of an echo: real ones have a few dozen.
const MAX_HEADERS: usize = 128;

/// Longest name or value kept.
const MAX_CHARS: usize = 200;

/// Set anew by every server in front of another, so that they say nothing of the way.
const OF_THE_CONNECTION: [&str; 8] =
    ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive", "proxy-connection"];

/// None where the body is no echo: neither JSON with `headers`, nor lines of `name: value`.
pub(super) fn compare(sent: &[(String, String)], body: &[u8]) -> Option<EchoedHeaders> {
    let got = of_json(body).or_else(|| of_lines(body))?;
    let values = |name: &str| -> Vec<&str> {
        got.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    };
    let mut echoed = EchoedHeaders { sent: u32::try_from(sent.len()).unwrap_or(u32::MAX), ..EchoedHeaders::default() };
    for (name, value) in sent {
        match values(name)[..] {
            [] => echoed.lost.push(name.clone()),
            [got] if got.trim() == value => {}
            ref got => {
                echoed.changed.push(ChangedHeader { name: name.clone(), sent: value.clone(), got: shortened(&got.join(", ")) })
            }
        }
    }
    let was_sent = |name: &str| sent.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    echoed.added = got
        .iter()
        .map(|(name, value)| Header { name: shortened(&name.to_ascii_lowercase()), value: shortened(value) })
        .filter(|header| !was_sent(&header.name) && !OF_THE_CONNECTION.contains(&header.name.as_str()))
        .collect();
    Some(echoed)
}

/// `{"headers": {"Name": "value", "Other": ["a", "b"]}}`, or that object by itself.
fn of_json(body: &[u8]) -> Option<Vec<(String, String)>> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let headers = document.get("headers").unwrap_or(&document).as_object()?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => Some(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        _ => None,
    };
    let read: Vec<_> = headers.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).take(MAX_HEADERS).collect();
    (!read.is_empty()).then_some(read)
}

/// As a request is written, or as `name: value` alone; a first line without a colon is the request's own.
fn of_lines(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let lines = text.lines().filter_map(|line| line.split_once(':').or_else(|| line.split_once('=')));
    let fields = lines.filter(|(name, _)| is_name(name)).map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let read: Vec<_> = fields.take(MAX_HEADERS).collect();
    (!read.is_empty()).then_some(read)
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent() -> Vec<(String, String)> {
        [("accept", "*/*"), ("user-agent", "netsonde"), ("x-netsonde-echo", "abc")].map(|(a, b)| (a.into(), b.into())).to_vec()
    }

    #[test]
    fn what_was_changed_lost_and_added_on_the_way_is_told() {
        let body = br#"{"headers":{"Accept":"*/*","User-Agent":["proxy/1"],"Host":"a","X-Forwarded-For":"10.0.0.1"}}"#;
        let found = compare(&sent(), body).unwrap();
        assert_eq!((found.sent, found.lost), (3, vec!["x-netsonde-echo".to_owned()]));
        assert_eq!((found.changed[0].name.as_str(), found.changed[0].got.as_str()), ("user-agent", "proxy/1"));
        assert_eq!(found.added.iter().map(|header| header.name.as_str()).collect::<Vec<_>>(), ["x-forwarded-for"]);
    }

    #[test]
    fn an_echo_in_lines_is_read_as_one_in_json() {
        let body = b"GET / HTTP/1.1\r\nHost: a\r\naccept: */*\r\nuser-agent: netsonde\r\nx-netsonde-echo: abc\r\n\r\n";
        assert_eq!(compare(&sent(), body), Some(EchoedHeaders { sent: 3, ..EchoedHeaders::default() }));
    }

    #[test]
    fn a_page_is_no_echo() {
        assert_eq!(compare(&sent(), b"<html>hello</html>"), None);
        assert_eq!(compare(&sent(), b"[1, 2]"), None);
        assert_eq!(compare(&sent(), b"\xff\xfe"), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_comparison_panic(body: Vec<u8>) {
            let _ = compare(&sent(), &body);
        }
    }
}
