use super::Redactor;
use super::label;
use super::public::is_algorithm;
use super::token::{LEAST_IN_TEXT, looks_secret};
use std::net::{IpAddr, SocketAddr};

/// A text longer than this is cut: an error's own words are short, and what is long carries more than an error.
const MAX_TEXT_BYTES: usize = 2_000;
/// Punctuation of the sentence around a URL.
const PUNCTUATION: [char; 11] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '#'];

impl Redactor<'_> {
    /// The words of an operating system, a library or a server: secrets, home paths, user names and what URLs carry are taken out,
    /// word by word; the rest stays readable.
    pub(super) fn text(&mut self, text: &str) -> String {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_TEXT_BYTES).unwrap_or(text.len());
        let mut redacted = String::with_capacity(end);
        let mut rest = &text[..end];
        while !rest.is_empty() {
            let begin = rest.find(|c| !parts_words(c)).unwrap_or(rest.len());
            redacted.push_str(&rest[..begin]);
            rest = self.first_word(&rest[begin..], &mut redacted);
        }
        if end < text.len() {
            self.count("text_cut");
            redacted.push_str(" [cut]");
        }
        redacted
    }

    /// Redacts the first word with what belongs to it, and gives back what follows.
    fn first_word<'t>(&mut self, text: &'t str, redacted: &mut String) -> &'t str {
        let word = &text[..text.find(parts_words).unwrap_or(text.len())];
        let chunk = &text[..text.find(parts_chunks).unwrap_or(text.len())];
        let chunk = chunk.trim_end_matches(PUNCTUATION);
        if let Some(begin) = url_begin(word) {
            if begin > 0 {
                redacted.push_str(&self.text_word(&word[..begin]));
            }
            let end = chunk.len().max(begin);
            redacted.push_str(&self.url(&text[begin..end]));
            &text[end..]
        } else if let Some(at) = word.find('?').or_else(|| word.find('#').filter(|at| word[..*at].contains('/')))
            && at + 1 < chunk.len()
        {
            // A URL without its scheme.
            let before = &word[..at];
            let kept = if before.contains('/') && !is_home_path(before) { self.path(before) } else { self.text_word(before) };
            self.count("query_string");
            redacted.push_str(&kept);
            redacted.push_str(&format!("{}[redacted]", &word[at..=at]));
            &text[chunk.len()..]
        } else if let Some(secret) = label::announced(text, word) {
            self.count("token_in_text");
            redacted.push_str(&text[..secret.start]);
            redacted.push_str("[redacted]");
            &text[secret.end..]
        } else if word.starts_with('/') && chunk.contains(['=', ';']) && !is_home_path(word) {
            redacted.push_str(&self.path(chunk));
            &text[chunk.len()..]
        } else {
            redacted.push_str(&self.text_word(word));
            let rest = &text[word.len()..];
            if label::is_scheme(word) { self.credential(rest, redacted) } else { rest }
        }
    }

    /// What follows the name of an authentication scheme is a credential (RFC 9110 section 11.4).
    fn credential<'t>(&mut self, text: &'t str, redacted: &mut String) -> &'t str {
        let Some(value) = text.strip_prefix(' ') else { return text };
        let length = value.find(parts_chunks).unwrap_or(value.len());
        if length == 0 {
            return text;
        }
        self.count("token_in_text");
        redacted.push_str(" [redacted]");
        &value[length..]
    }

    /// A word of a closed vocabulary, such as a protocol's name: kept where it can be one.
    pub(super) fn word(&mut self, word: &str) -> String {
        const MAX_WORD_BYTES: usize = 64;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:() ".contains(c);
        if word.len() <= MAX_WORD_BYTES && word.chars().all(plain) && !looks_secret(word, LEAST_IN_TEXT) {
            return self.text(word);
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
        } else if let Some((_, host)) = inner.rsplit_once('@') {
            self.count("user_info");
            format!("[redacted]@{}", self.text_word(host))
        } else if looks_secret(inner, LEAST_IN_TEXT) && inner.parse::<IpAddr>().is_err() && !is_algorithm(inner) {
            self.count("token_in_text");
            "[redacted]".to_owned()
        } else if let Some(at) = encoded_sign(inner) {
            self.count("query_string");
            format!("{}[redacted]", &inner[..at])
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

/// What stands between words. Brackets of an IPv6 address are among it, so that the address within is seen.
fn parts_words(character: char) -> bool {
    parts_chunks(character) || matches!(character, '(' | ')' | '{' | '}' | ',' | ';' | '[' | ']' | '=' | '&' | '\'')
}

/// Where a URL begins within a word.
fn url_begin(word: &str) -> Option<usize> {
    let (before, _) = word.split_once("://")?;
    let scheme = before.chars().rev().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')).count();
    Some(before.len() - scheme)
}

/// Where `?`, `=` or `&` stands in percent-encoding: a URL within a URL.
pub(super) fn encoded_sign(word: &str) -> Option<usize> {
    ["%3f", "%3d", "%26"].iter().filter_map(|sign| word.to_ascii_lowercase().find(sign)).min()
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
            ("/cb?code=x&state=hunterI failed", "/cb?[redacted] failed"),
            ("</next?page=hunter2>; rel=\"next\"", "</next?[redacted]>; rel=\"next\""),
            ("back to shop.example/#id=hunter2.", "back to shop.example/#[redacted]."),
            (
                "access_token=hunterB; client_secret=hunterC; db_password=hunterG",
                "access_token=[redacted]; client_secret=[redacted]; db_password=[redacted]",
            ),
            ("{\"password\":\"hunterA\", \"tries\":3}", "{\"password\":\"[redacted]\", \"tries\":3}"),
            ("u:hunter2@shop.example refused", "[redacted]@shop.example refused"),
            ("Cookie: theme=a; sid=hunter2", "Cookie: [redacted]"),
            ("goto%3Fcode%3Dhunter2", "goto[redacted]"),
            ("is it up?", "is it up?"),
            ("tunnel: http://proxy.example:3128, refused", "tunnel: http://proxy.example:3128, refused"),
            (
                "run again with --proxy http://host:port, or set HTTPS_PROXY",
                "run again with --proxy http://host:port, or set HTTPS_PROXY",
            ),
            ("write it as https://host:port or socks5h://host:port", "write it as https://host:port or socks5h://host:port"),
            ("--proxy http://host:hunter2", "--proxy [redacted]"),
            ("signed with sha1WithRSAEncryption, which", "signed with sha1WithRSAEncryption, which"),
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
