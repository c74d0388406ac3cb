//! Names that announce a secret, and where it stands: `token=…`, `"client_secret": "…"`, `Cookie: …`. A short password has no
//! shape of its own; only its name gives it away.

use std::ops::Range;

/// A name that ends in one of these announces a secret, however it is written: `access_token`, `X-Api-Key`, `dbPassword`.
const ENDINGS: [&str; 20] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "sid",
    "session",
    "sessionid",
    "key",
    "keyid",
    "sig",
    "signature",
    "cookie",
    "credential",
    "assertion",
    "samlresponse",
    "jwt",
    "csrf",
    "xsrf",
];
/// Endings of ordinary words, too, so that they have to be the name's whole last part.
const LAST_PARTS: [&str; 2] = ["code", "auth"];
/// Announce a secret where a machine wrote them (`state=…`, `"state": …`), and mean nothing in a sentence (`state: closed`).
const WRITTEN_BY_MACHINES: [&str; 11] =
    ["state", "nonce", "pass", "pin", "otp", "user", "username", "login", "email", "uid", "ticket"];
/// What they announce goes on to the end of the line.
const WHOLE_LINES: [&str; 4] = ["cookie", "authorization", "authorisation", "authentication"];
/// Authentication schemes (RFC 9110 section 11.4): not secret, but what follows them is.
const SCHEMES: [&str; 5] = ["basic", "bearer", "digest", "negotiate", "ntlm"];
/// A status or the number of an error (`code: 503`); one-time codes have six digits.
const MAX_NUMBER_DIGITS: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Plain,
    Code,
    WrittenByMachine,
    WholeLine,
}

/// Where the secret stands that the text's first word announces; none where it announces none.
pub(super) fn announced(text: &str, word: &str) -> Option<Range<usize>> {
    let name = &word[..word.find([':', '\\']).unwrap_or(word.len())];
    let label = label(name)?;
    let rest = text[name.len()..].trim_start_matches(['\\', '"', '\'', '`']);
    let quoted = rest.len() < text.len() - name.len();
    let sign = rest.trim_start_matches([' ', '\t']);
    let after = [":=", "=>", ":", "="].iter().find_map(|given| sign.strip_prefix(given))?;
    if label == Label::WrittenByMachine && !quoted && sign.starts_with(": ") {
        return None;
    }
    let value = skip_scheme(after.trim_start_matches([' ', '\t']));
    let opening = value.len() - value.trim_start_matches('\\').len();
    let begin = text.len() - value.len();
    let range = match value[opening..].chars().next()? {
        quote @ ('"' | '\'' | '`') => {
            let begin = begin + opening + quote.len_utf8();
            let inner = skip_scheme(&text[begin..]);
            let begin = text.len() - inner.len();
            begin..begin + quoted_length(inner, quote, opening > 0)
        }
        open @ ('[' | '{') => begin..begin + bracketed_length(value, open),
        _ if label == Label::WholeLine => begin..begin + value.find(['\n', '\r']).unwrap_or(value.len()),
        _ => begin..begin + plain_length(value),
    };
    let secret = &text[range.clone()];
    let is_number = secret.len() <= MAX_NUMBER_DIGITS && secret.bytes().all(|byte| byte.is_ascii_digit());
    let is_secret = !secret.is_empty() && (label != Label::Code || !is_number);
    is_secret.then_some(range)
}

/// The word is an authentication scheme.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

fn label(name: &str) -> Option<Label> {
    let identifier = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).next()?;
    let lower = identifier.to_ascii_lowercase();
    // A list of secrets is announced by the plural.
    let singular = lower.strip_suffix('s').unwrap_or(&lower);
    let last = |name: &str| name.rsplit(['_', '-', '.']).next().unwrap_or_default().to_owned();
    let is = |list: &[&str]| [&lower[..], singular].iter().any(|name| list.contains(&last(name).as_str()));
    let ends = |list: &[&str]| [&lower[..], singular].iter().any(|name| list.iter().any(|end| name.ends_with(end)));
    if ends(&WHOLE_LINES) {
        Some(Label::WholeLine)
    } else if ends(&ENDINGS) || (is(&LAST_PARTS) && last(singular) != "code") {
        Some(Label::Plain)
    } else if is(&LAST_PARTS) {
        Some(Label::Code)
    } else if is(&WRITTEN_BY_MACHINES) {
        Some(Label::WrittenByMachine)
    } else {
        None
    }
}

fn skip_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((first, rest)) if is_scheme(first) => rest.trim_start_matches(' '),
        _ => value,
    }
}

/// Up to the closing quote, or to the end where it is missing.
fn quoted_length(inner: &str, quote: char, escaped: bool) -> usize {
    let mut before = ' ';
    for (at, character) in inner.char_indices() {
        if character == quote && (before == '\\') == escaped {
            return if escaped { at - 1 } else { at };
        }
        before = character;
    }
    inner.len()
}

/// Up to the bracket that closes the first one, or to the end where it is missing.
fn bracketed_length(value: &str, open: char) -> usize {
    let close = if open == '[' { ']' } else { '}' };
    let mut depth = 0_usize;
    for (at, character) in value.char_indices() {
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
            if depth == 0 {
                return at + close.len_utf8();
            }
        }
    }
    value.len()
}

/// Up to what no value written without quotes contains, without the punctuation of the sentence around it.
fn plain_length(value: &str) -> usize {
    let end = value.find(|c: char| c.is_whitespace() || "&\"'`<>|".contains(c)).unwrap_or(value.len());
    value[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}']).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_name_however_it_is_written() {
        let cases = [
            ("access_token=hunter2; x", "hunter2"),
            ("dbPassword: hunter2", "hunter2"),
            ("client-secret := hunter2", "hunter2"),
            ("password\":\"hun\\\"ter2\"}", "hun\\\"ter2"),
            ("password\\\":\\\"hunter2\\\"}", "hunter2"),
            ("tokens\": [\"hunter2\", \"hunter3\"] left", "[\"hunter2\", \"hunter3\"]"),
            ("state=hunter2&x", "hunter2"),
            ("Set-Cookie: a=b; sid=hunter2\nnext", "a=b; sid=hunter2"),
            ("Authorization: Basic hunter2", "hunter2"),
            ("auth=Bearer hunter2", "hunter2"),
            ("code=123456", "123456"),
            ("password:hun,ter;2", "hun,ter;2"),
        ];
        for (text, secret) in cases {
            let word = text.split(['=', '"', '\\', ' ']).next().unwrap();
            assert_eq!(announced(text, word).map(|range| &text[range]), Some(secret), "{text}");
        }
    }

    #[test]
    fn an_ordinary_sentence_announces_nothing() {
        for text in ["token refused", "error code: 503", "state: closed", "decode: failed", "author=me", "mtu=1400", "password:"]
        {
            let word = text.split(['=', ' ']).next().unwrap();
            assert_eq!(announced(text, word), None, "{text}");
        }
        assert_eq!(announced("code: 503", "code:"), None);
    }
}
