//! What looks like a secret: no dictionary, only shape.

/// In a text or a header: shorter mixtures are product names (`SecP256r1MLKEM768` has 17).
pub(super) const LEAST_IN_TEXT: usize = 20;
/// In a URL's path, where ordinary words are short and tokens are many.
pub(super) const LEAST_IN_PATH: usize = 16;

/// A universally unique id without its dashes has 32 hexadecimal digits; session ids have 24 and more.
const LEAST_HEXADECIMAL: usize = 24;
/// Letters only, in both cases: no word of a language is that long with capitals inside.
const LEAST_MIXED_CASE: usize = 24;
/// Account, card and telephone numbers.
const LEAST_DIGITS: usize = 12;
/// How well-known kinds of key begin.
const PREFIXES: [&str; 10] = ["eyJ", "sk_", "pk_", "ghp_", "gho_", "github_pat_", "xox", "AKIA", "ASIA", "glpat-"];
/// A prefix alone is no key.
const LEAST_AFTER_PREFIX: usize = 16;

/// Whether a word looks like a key, a session or another secret. `least` is the length from which letters mixed with digits count.
pub(super) fn looks_secret(word: &str, least: usize) -> bool {
    let is_hexadecimal = |c: char| c.is_ascii_hexdigit() || c == '-';
    let digits = word.chars().filter(|c| c.is_ascii_hexdigit()).count();
    let hexadecimal = word.chars().all(is_hexadecimal) && digits >= LEAST_HEXADECIMAL;
    let known_kind = PREFIXES.iter().any(|prefix| word.starts_with(prefix)) && word.len() >= LEAST_AFTER_PREFIX;
    hexadecimal || known_kind || runs(word).any(|run| run_looks_secret(run, least))
}

/// The stretches between the signs that also separate words.
fn runs(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '=')).filter(|run| !run.is_empty())
}

fn run_looks_secret(run: &str, least: usize) -> bool {
    let has = |test: fn(&char) -> bool| run.chars().any(|c| test(&c));
    let (letters, digits) = (has(char::is_ascii_alphabetic), has(char::is_ascii_digit));
    let mixed_case = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    (letters && digits && run.len() >= least)
        || (letters && mixed_case && run.len() >= LEAST_MIXED_CASE)
        || (!letters && digits && run.len() >= LEAST_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_words_by_their_shape() {
        let secret = [
            "4f3c2e1d0b9a88776655443322110000",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "eyJhbGciOiJIUzI1NiJ9.e30.abc",
            "Zm9vYmFyYmF6cXV4Zm9vMTIz",
            "4111111111111111",
            "AKIAIOSFODNN7EXAMPLE",
            "AbCdEfGhIjKlMnOpQrStUvWxYz",
        ];
        for word in secret {
            assert!(looks_secret(word, LEAST_IN_TEXT), "{word}");
        }
        let plain = [
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "SecP256r1MLKEM768",
            "connection",
            "2026-11-21T20:01:00Z",
            "Apache/2.4.57",
            "text/html",
            "internationalization",
            "ecdsa_secp256r1_sha256",
        ];
        for word in plain {
            assert!(!looks_secret(word, LEAST_IN_TEXT), "{word}");
        }
    }

    #[test]
    fn a_path_takes_shorter_mixtures_for_tokens() {
        assert!(looks_secret("a1b2c3d4e5f6g7h8", LEAST_IN_PATH));
        assert!(!looks_secret("checkout2026", LEAST_IN_PATH));
    }
}
