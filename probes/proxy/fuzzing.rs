//! The parser of the headers that proxies answer with.

use super::answer;
use netsonde_contract::observation::Header;

/// Each line is a header.
pub(crate) fn answer(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        Header { name: name.to_owned(), value: value.trim().to_owned() }
    };
    let headers: Vec<Header> = text.lines().map(header).collect();
    answer::product(&headers);
    assert!(answer::methods(&headers).len() <= answer::MAX_METHODS);
}
