use super::Redactor;
use super::token::{LEAST_IN_TEXT, looks_secret};
use std::net::{IpAddr, SocketAddr};

/// A text longer than this is cut: an error's own words are short, and what is long carries more than an error.
const MAX_TEXT_BYTES: usize = 2_000;

/// What stands before a secret in `name=secret` and `name: secret`.
const LABELS: [&str; 14] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "password",
    "passwd",
    "pwd",
    "token",
    "secret",
    "key",
    "sig",
    "signature",
    "apikey",
    "api_key",
];
/// Authentication schemes: the word after them is a credential (RFC 9110 section 11.4).
const SCHEMES: [&str; 2] = ["basic", "bearer"];

impl Redactor<'_> {
    /// The words of an operating system, a library or a server: secrets, home paths, user names and what URLs carry are taken out,
    /// word by word; the rest stays readable.
    pub(super) fn text(&mut self, text: &str) -> String {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_TEXT_BYTES).unwrap_or(text.len());
        let mut redacted = String::with_capacity(end);
        let mut secret_follows = false;
        for chunk in text[..end].split_inclusive(parts_chunks) {
            let (chunk, separator) = without_last(chunk, parts_chunks);
            match url_within(chunk) {
                Some((before, url, after)) => {
                    self.words(before, &mut secret_follows, &mut redacted);
                    redacted.push_str(&self.url(url));
                    redacted.push_str(after);
                    secret_follows = false;
                }
                None => self.words(chunk, &mut secret_follows, &mut redacted),
            }
            redacted.push_str(separator);
        }
        if end < text.len() {
            self.count("text_cut");
            redacted.push_str(" [cut]");
        }
        redacted
    }

    fn words(&mut self, chunk: &str, secret_follows: &mut bool, redacted: &mut String) {
        for word in chunk.split_inclusive(parts_words) {
            let (word, separator) = without_last(word, parts_words);
            let is_secret = *secret_follows && !word.is_empty() && !SCHEMES.contains(&word.to_ascii_lowercase().as_str());
            if is_secret {
                self.count("token_in_text");
                redacted.push_str("[redacted]");
            } else {
                redacted.push_str(&self.text_word(word));
            }
            redacted.push_str(separator);
            if !word.is_empty() {
                let name = word.trim_end_matches(':').to_ascii_lowercase();
                let labelled = (separator == "=" || word.ends_with(':')) && LABELS.contains(&name.as_str());
                *secret_follows = labelled || SCHEMES.contains(&name.as_str());
            }
        }
    }

    /// A word of a closed vocabulary, such as a protocol's name: kept where it can be one.
    pub(super) fn word(&mut self, word: &str) -> String {
        const MAX_WORD_BYTES: usize = 64;
        let plain = word.len() <= MAX_WORD_BYTES && word.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if plain && !looks_secret(word, LEAST_IN_TEXT) && !self.is_user_name(word) && !is_home_path(word) {
            return if self.is_strict() { self.strict_word(word) } else { word.to_owned() };
        }
        self.count("unusual_word");
        "[redacted]".to_owned()
    }

    fn text_word(&mut self, word: &str) -> String {
        let inner = word.trim_end_matches(['.', ':', '!', '?']);
        let (inner, tail) = if inner.is_empty() { (word, "") } else { (inner, &word[inner.len()..]) };
        let kept = if is_home_path(inner) {
            self.count("home_path");
            "[home path]".to_owned()
        } else if self.is_user_name(inner) || inner.split(['/', '\\', '@', ':']).any(|part| self.is_user_name(part)) {
            self.count("user_name");
            "[user]".to_owned()
        } else if looks_secret(inner, LEAST_IN_TEXT) && inner.parse::<IpAddr>().is_err() {
            self.count("token_in_text");
            "[redacted]".to_owned()
        } else if inner.starts_with('/') && inner.contains('?') {
            self.path(inner)
        } else if self.is_strict() {
            self.strict_word(inner)
        } else {
            inner.to_owned()
        };
        kept + tail
    }

    /// At the strict level addresses and names are replaced within texts, too.
    pub(super) fn strict_word(&mut self, word: &str) -> String {
        if let Ok(socket) = word.parse::<SocketAddr>() {
            return self.socket(socket).to_string();
        }
        if let Ok(address) = word.parse::<IpAddr>() {
            return self.address(address).to_string();
        }
        let (host, port) = word.split_once(':').unwrap_or((word, ""));
        let letters_at_the_end =
            host.rsplit('.').next().is_some_and(|last| last.len() > 1 && last.chars().all(|c| c.is_ascii_alphabetic()));
        let dotted = host.contains('.') && letters_at_the_end;
        if dotted || self.is_known_name(host) {
            let name = self.name(host);
            return if port.is_empty() { name } else { format!("{name}:{port}") };
        }
        word.to_owned()
    }
}

/// What stands between chunks: no URL contains it.
fn parts_chunks(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '`' | '<' | '>' | '|')
}

/// What stands between the words of a chunk. Brackets of an IPv6 address are among them, so that the address within is seen.
fn parts_words(character: char) -> bool {
    matches!(character, '(' | ')' | '{' | '}' | ',' | ';' | '[' | ']' | '=' | '\'')
}

/// A piece of `split_inclusive` as its text and the separator that ended it.
fn without_last(piece: &str, is_separator: fn(char) -> bool) -> (&str, &str) {
    match piece.char_indices().next_back() {
        Some((at, last)) if is_separator(last) => piece.split_at(at),
        _ => (piece, ""),
    }
}

/// What stands before a URL in a chunk, the URL, and the punctuation after it.
fn url_within(chunk: &str) -> Option<(&str, &str, &str)> {
    let (before, _) = chunk.split_once("://")?;
    let scheme = before.chars().rev().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')).count();
    let (before, url) = chunk.split_at(before.len() - scheme);
    let end = url.trim_end_matches(['.', ',', ';', ':', '!', ')', ']', '}', '\'']).len();
    Some((before, &url[..end], &url[end..]))
}

/// A path below somebody's home, on any system.
fn is_home_path(word: &str) -> bool {
    let plain = word.replace('\\', "/").to_ascii_lowercase();
    ["/home/", "/users/", "/root/", "/export/home/", "/var/home/"].iter().any(|home| plain.contains(home))
        || plain.starts_with("~/")
}

#[cfg(test)]
mod tests {
    use crate::redaction::tests::redactor;

    #[test]
    fn an_errors_words_stay_readable_without_what_is_private() {
        let cases = [
            ("Connection refused (os error 111)", "Connection refused (os error 111)"),
            ("reading /home/anna/ca.pem failed", "reading [home path] failed"),
            ("open C:\\Users\\anna\\key.pem: denied", "open [home path]: denied"),
            ("user annabelle may not", "user [user] may not"),
            ("token=9f86d081884c7d659a2feaa0c55ad015 refused", "token=[redacted] refused"),
            ("GET https://x.example/a?key=1 failed.", "GET https://x.example/a?[redacted] failed."),
            ("(see https://x.example/a?b=1).", "(see https://x.example/a?[redacted])."),
            ("Authorization: Basic dXNlcjpw", "Authorization: Basic [redacted]"),
            ("password=hunter2; retry", "password=[redacted]; retry"),
            ("password: hunter2", "password: [redacted]"),
            ("no key, no token", "no key, no token"),
            ("no route to 2001:db8:1111:2222:3333:4444:5555:6666", "no route to 2001:db8:1111:2222:3333:4444:5555:6666"),
        ];
        for (given, expected) in cases {
            assert_eq!(redactor().text(given), expected, "{given}");
        }
    }

    #[test]
    fn a_page_in_place_of_an_error_is_cut() {
        let redacted = redactor().text(&"word ".repeat(5_000));
        assert!(redacted.len() < 3_000 && redacted.ends_with("[cut]"));
    }
}
