//! Rules for an HTTP answer as a person writes them, each in one short text.

use serde_json::Value;

/// What one header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRule {
    /// In lower case.
    pub name: String,
    pub must: HeaderMust,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderMust {
    BePresent,
    BeAbsent,
    Equal(String),
    Contain(String),
}

/// What one value in a body of JSON must be.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonRule {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    pub value: Value,
}

/// A part of a body (RFC 9110 section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last byte, both counted from 0.
    FirstLast(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

impl HeaderRule {
    /// `name`, `!name`, `name=value` or `name~text`; none where the text is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, must) = match (text.strip_prefix('!'), text.find(['=', '~'])) {
            (Some(name), _) => (name, HeaderMust::BeAbsent),
            (None, None) => (text, HeaderMust::BePresent),
            (None, Some(at)) if text[at..].starts_with('=') => (&text[..at], HeaderMust::Equal(text[at + 1..].to_owned())),
            (None, Some(at)) => (&text[..at], HeaderMust::Contain(text[at + 1..].to_owned())),
        };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = !name.is_empty() && name.bytes().all(token);
        fits.then(|| Self { name: name.to_ascii_lowercase(), must })
    }
}

impl JsonRule {
    /// `/pointer=value`. A value that is not JSON is a text, so that `/status=up` needs no quotes.
    pub fn parse(text: &str) -> Option<Self> {
        let (pointer, value) = text.split_once('=')?;
        let is_pointer = pointer.is_empty() || pointer.starts_with('/');
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        is_pointer.then(|| Self { pointer: pointer.to_owned(), value })
    }
}

impl ByteRange {
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        match text.split_once('-')? {
            ("", count) => number(count).filter(|count| *count > 0).map(Self::Last),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last && last < u64::MAX).then_some(Self::FirstLast(first, last))
            }
        }
    }

    /// As the value of the Range header.
    pub fn header(self) -> String {
        match self {
            Self::FirstLast(first, last) => format!("bytes={first}-{last}"),
            Self::Last(count) => format!("bytes=-{count}"),
        }
    }
}

/// A pattern is three digits, a digit and `xx`, or two numbers with `-` between.
pub(super) fn status_fits(pattern: &str, status: u16) -> bool {
    let digits = status.to_string();
    if let Some((from, to)) = pattern.split_once('-') {
        return matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&status));
    }
    pattern == digits
        || pattern.strip_suffix("xx").is_some_and(|class| digits.len() == 3 && digits.starts_with(class) && class.len() == 1)
}

/// Some status fits the pattern.
pub(super) fn status_is_readable(pattern: &str) -> bool {
    (100..=599).any(|status| status_fits(pattern, status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_header_rule_keeps_every_sign_after_the_first() {
        let rule = |text: &str| HeaderRule::parse(text).map(|rule| (rule.name, rule.must));
        assert_eq!(rule("X-Frame"), Some(("x-frame".into(), HeaderMust::BePresent)));
        assert_eq!(rule("!Server"), Some(("server".into(), HeaderMust::BeAbsent)));
        assert_eq!(rule("a=b=c~d"), Some(("a".into(), HeaderMust::Equal("b=c~d".into()))));
        assert_eq!(rule("a~b=c"), Some(("a".into(), HeaderMust::Contain("b=c".into()))));
        for text in ["", "!", "=x", "a b", "!a=b"] {
            assert_eq!(rule(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_without_quotes_is_a_text_and_a_number_a_number() {
        let value = |text: &str| JsonRule::parse(text).map(|rule| rule.value);
        assert_eq!(value("/a=up"), Some(json!("up")));
        assert_eq!(value("/a=3"), Some(json!(3)));
        assert_eq!(value("/a=\"3\""), Some(json!("3")));
        assert_eq!(value("=null"), Some(json!(null)));
        assert_eq!(value("a=3"), None);
    }

    #[test]
    fn a_range_is_written_as_its_header() {
        assert_eq!(ByteRange::parse("0-99").map(ByteRange::header).as_deref(), Some("bytes=0-99"));
        assert_eq!(ByteRange::parse("-500").map(ByteRange::header).as_deref(), Some("bytes=-500"));
        for text in ["", "-", "-0", "5-", "9-8", "a-b", "+1-2", "0-18446744073709551615"] {
            assert_eq!(ByteRange::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,40}") {
            let _ = (HeaderRule::parse(&text), JsonRule::parse(&text), ByteRange::parse(&text), status_is_readable(&text));
        }
    }
}
