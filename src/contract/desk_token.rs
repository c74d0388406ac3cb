use crate::pasted::{self, PasteError};
use crate::pin::Pin;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const PREFIX: &str = "nsd1_";

/// What the desk needs to sign in: where the backend is, how to know it, and the secret. It has no `Debug`, for the secret's sake.
#[derive(Clone, PartialEq, Eq)]
pub struct DeskToken {
    /// The backend's base URL, without a final slash.
    pub backend: String,
    /// The backend's TLS key, where its certificate is a private one.
    pub tls_pin: Option<Pin>,
    /// Sent as `Authorization: Bearer`.
    pub token: Zeroizing<String>,
}

/// Why a token string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a usable desk token (nsd1_…): {0}")]
pub struct DeskTokenError(#[from] PasteError);

#[derive(Serialize, Deserialize)]
struct Wire {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    token: Zeroizing<String>,
}

impl DeskToken {
    /// The string `nsd1_…` that the backend prints once.
    pub fn encode(&self) -> Zeroizing<String> {
        let wire = Wire { url: self.backend.clone(), pin: self.tls_pin.clone(), token: self.token.clone() };
        pasted::encode(PREFIX, &wire)
    }

    /// # Errors
    /// Where the string is something else, damaged, of a newer version, or holds no http or https URL.
    pub fn parse(text: &str) -> Result<Self, DeskTokenError> {
        let wire: Wire = pasted::decode(PREFIX, text)?;
        let backend = pasted::base_url(&wire.url).ok_or(PasteError::Malformed)?;
        if wire.token.is_empty() || !wire.token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PasteError::Malformed.into());
        }
        Ok(Self { backend, tls_pin: wire.pin, token: wire.token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> DeskToken {
        DeskToken { backend: "https://support.example".into(), tls_pin: None, token: Zeroizing::new("s3cret".into()) }
    }

    #[test]
    fn a_token_survives_a_mail_program_that_wraps_lines() {
        let text = sample().encode();
        let wrapped = format!(" {}\r\n{}\n", &text[..20], &text[20..]);
        assert!(DeskToken::parse(&wrapped).ok() == Some(sample()));
    }

    #[test]
    fn every_cut_of_a_token_is_told_as_damage() {
        let text = sample().encode();
        for end in PREFIX.len()..text.len() {
            assert_eq!(DeskToken::parse(&text[..end]).err(), Some(DeskTokenError(PasteError::Damaged)), "cut at {end}");
        }
        assert_eq!(DeskToken::parse("nst1_abc").err(), Some(DeskTokenError(PasteError::OtherPrefix)));
        assert_eq!(DeskToken::parse("nsd2_abc").err(), Some(DeskTokenError(PasteError::NewerVersion)));
    }
}
