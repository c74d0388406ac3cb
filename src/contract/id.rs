use ed25519_dalek::VerifyingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Makes a text newtype that prints and serialises as its text.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
    BundleId
}

impl BundleId {
    /// The id as text from outside, or nothing where it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_hexadecimal(text, 64).then(|| Self(text.to_owned()))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

text_id! {
    /// A ticket's public name: 16 lower-case base32 characters; not its secret.
    TicketId
}

impl TicketId {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// The id that 80 random bits spell in base32 (RFC 4648 section 6, in lower case).
    pub fn from_bytes(random: [u8; 10]) -> Self {
        let bits = random.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
        let digit = |position: u32| char::from(Self::ALPHABET[((bits >> (75 - 5 * position)) & 31) as usize]);
        Self((0..16).map(digit).collect())
    }

    /// The id as text from outside, or nothing where it is not 16 lower-case base32 characters.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16 && text.bytes().all(|byte| Self::ALPHABET.contains(&byte))).then(|| Self(text.to_owned()))
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
    OrganisationId
}

text_id! {
    /// An enrolled agent: the SHA-256 of its bundle key's 32 bytes, 64 lower-case hexadecimal digits.
    AgentId
}

text_id! {
    /// An order: 128 random bits, 32 lower-case hexadecimal digits. It is the nonce that keeps an order from being run twice.
    OrderId
}

impl OrganisationId {
    /// The id as text from outside, or nothing where it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_hexadecimal(text, 64).then(|| Self(text.to_owned()))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl AgentId {
    /// The agent that signs its bundles with `key`.
    pub fn of(key: &VerifyingKey) -> Self {
        Self(crate::bundle::hexadecimal(&Sha256::digest(key.as_bytes())))
    }

    /// The id as text from outside, or nothing where it is not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_hexadecimal(text, 64).then(|| Self(text.to_owned()))
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

    /// The id as text from outside, or nothing where it is not 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        is_hexadecimal(text, 32).then(|| Self(text.to_owned()))
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
