use ed25519_dalek::VerifyingKey;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Makes a text newtype that prints and serialises as its text. With `= fits, words` it is read from nothing else than what fits: such ids
/// stand in paths, URLs and logs, and far sides choose them.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        text_id! { @type $(#[$doc])* #[derive(Deserialize)] $name }
    };
    ($(#[$doc:meta])* $name:ident = $fits:expr, $words:literal) => {
        text_id! { @type $(#[$doc])* $name }

        impl $name {
            #[doc = concat!("The id as text from outside, or nothing where it is not ", $words, ".")]
            pub fn parse(text: &str) -> Option<Self> {
                let fits: fn(&str) -> bool = $fits;
                fits(text).then(|| Self(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                // What it is instead is not repeated: it may be of any length.
                Self::parse(&text).ok_or_else(|| D::Error::custom(concat!(stringify!($name), " is not ", $words)))
            }
        }
    };
    (@type $(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One configured check within a run, such as `connect`, or `connect#2` for the second target.
    CheckId
}

text_id! {
    /// One observation: its check and its ordinal there, from 1, such as `connect/3`.
    ObservationId
}

impl ObservationId {
    /// The `ordinal`-th observation (from 1) of `check`.
    pub fn of(check: &CheckId, ordinal: usize) -> Self {
        Self(format!("{check}/{ordinal}"))
    }
}

text_id! {
    /// A run: a UUID of version 7, in text.
    RunId
}

text_id! {
    /// A bundle: the SHA-256 of its `manifest.json`, 64 lower-case hexadecimal digits.
    BundleId = |text| is_hexadecimal(text, 64), "64 lower-case hexadecimal digits"
}

impl BundleId {
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// Base32 (RFC 4648 section 6), in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

text_id! {
    /// A ticket's public name: 16 lower-case base32 characters; not its secret.
    TicketId = |text| text.len() == 16 && text.bytes().all(|byte| ALPHABET.contains(&byte)), "16 lower-case base32 characters"
}

impl TicketId {
    /// The id that 80 random bits spell in base32 (RFC 4648 section 6, in lower case).
    pub fn from_bytes(random: [u8; 10]) -> Self {
        let bits = random.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let digit = |position: u32| char::from(ALPHABET[((bits >> (75 - 5 * position)) & 31) as usize]);
        Self((0..16).map(digit).collect())
    }
}

text_id! {
    /// A support case, in the support organisation's own numbering.
    CaseId
}

impl CaseId {
    /// At most this many characters: case numbers are short, and they stand in file names and URLs.
    pub const MAX_CHARS: usize = 64;

    /// The id as a person gave it: letters, digits, `-`, `_` and `.`, 1 to 64 of them, not beginning with a dot.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = !text.is_empty() && text.len() <= Self::MAX_CHARS && !text.starts_with('.') && text.chars().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }
}

text_id! {
    /// A support organisation: the SHA-256 of its first root statement's bytes, 64 lower-case hexadecimal digits. It never changes.
    OrganisationId = |text| is_hexadecimal(text, 64), "64 lower-case hexadecimal digits"
}

text_id! {
    /// An enrolled agent: the SHA-256 of its bundle key's 32 bytes, 64 lower-case hexadecimal digits.
    AgentId = |text| is_hexadecimal(text, 64), "64 lower-case hexadecimal digits"
}

text_id! {
    /// An order: 128 random bits, 32 lower-case hexadecimal digits. It is the nonce that keeps an order from being run twice.
    OrderId = |text| is_hexadecimal(text, 32), "32 lower-case hexadecimal digits"
}

impl OrganisationId {
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// So many digits of an agent's id name it, as long as no other begins so.
const FEWEST_DIGITS: usize = 8;

impl AgentId {
    /// The beginning of an id that `text` can be, in the spelling of ids. What can be one is never a host name.
    pub fn beginning(text: &str) -> Option<String> {
        let is_one = text.len() >= FEWEST_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| text.to_ascii_lowercase())
    }

    /// The agent that signs its bundles with `key`.
    pub fn of(key: &VerifyingKey) -> Self {
        Self(crate::bundle::hexadecimal(&Sha256::digest(key.as_bytes())))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl OrderId {
    /// The bytes must come from the system's random number generator.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        Self(crate::bundle::hexadecimal(&random))
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_id_that_leads_out_of_a_folder_or_hides_something_is_not_read() {
        let long = "a".repeat(64);
        let read = |text: &str| serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<AgentId>(&read(&long)).is_ok() && serde_json::from_str::<BundleId>(&read(&long)).is_ok());
        assert!(serde_json::from_str::<OrderId>(&read(&long[..32])).is_ok());
        assert!(serde_json::from_str::<BTreeMap<OrderId, u8>>(&format!("{{{}:1}}", read(&long[..32]))).is_ok());
        let paths = ["", "/var/lib/netsonde/taken", "../identity", "..", "a/../b", "C:\\x", "\u{202e}"];
        for text in paths.iter().copied().chain([&long[1..], &*long.to_uppercase(), &format!("{}/", &long[1..]), &long.repeat(9)])
        {
            let json = read(text);
            assert!(serde_json::from_str::<OrderId>(&json).is_err(), "{text}");
            assert!(serde_json::from_str::<AgentId>(&json).is_err(), "{text}");
            assert!(serde_json::from_str::<BundleId>(&json).is_err(), "{text}");
            assert!(serde_json::from_str::<OrganisationId>(&json).is_err(), "{text}");
            let error = serde_json::from_str::<TicketId>(&json).unwrap_err().to_string();
            assert!(error.len() < 100, "{error}");
        }
        assert!(serde_json::from_str::<BTreeMap<OrderId, u8>>("{\"../x\":1}").is_err());
    }
}
