use crate::audit::Head;
use crate::dsse::{DsseError, Envelope};
use crate::id::{BundleId, CaseId, TicketId};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The DSSE payload type of a receipt, and the media type of the envelope that carries it.
pub const MEDIA_TYPE: &str = "application/vnd.netsonde.receipt+json";

/// What the backend signs once a bundle is stored for good. An agent counts a bundle as delivered on nothing less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    pub bundle: BundleId,
    /// SHA-256 of the file as it was stored, lower-case hexadecimal.
    pub file_sha256: String,
    pub size_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// By the backend's clock.
    pub received: Timestamp,
    /// Where the case can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_url: Option<String>,
    /// Where the backend's audit log stood: whoever holds the receipt can tell a log that was rewritten since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Head>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("the receipt is not signed by the support backend's key: {0}")]
    Envelope(#[from] DsseError),
    #[error("the receipt is signed, but cannot be read: {0}")]
    Malformed(String),
}

impl Receipt {
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(MEDIA_TYPE, crate::bundle::json_bytes(self), key)
    }

    /// The receipt in an envelope, once `key` is seen to have signed it.
    ///
    /// # Errors
    /// Where the envelope is malformed, of another type, signed by another key, or holds no receipt.
    pub fn verify(envelope_json: &[u8], key: &VerifyingKey) -> Result<Self, ReceiptError> {
        let envelope = Envelope::from_json(envelope_json)?;
        let payload = envelope.verify(MEDIA_TYPE, key)?;
        serde_json::from_slice(payload).map_err(|error| ReceiptError::Malformed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_of_another_backend_is_refused() {
        let receipt = Receipt {
            bundle: BundleId::new("ab".repeat(32)),
            file_sha256: "cd".repeat(32),
            size_bytes: 7,
            ticket: None,
            case: CaseId::parse("4711"),
            received: Timestamp::UNIX_EPOCH,
            case_url: None,
            audit: None,
        };
        let (own, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let json = receipt.sign(&own).to_json();
        assert_eq!(Receipt::verify(&json, &own.verifying_key()), Ok(receipt));
        assert_eq!(Receipt::verify(&json, &other.verifying_key()), Err(ReceiptError::Envelope(DsseError::NotSigned)));
    }
}
