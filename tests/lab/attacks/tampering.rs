use super::case::Tamper;
use super::trust::{Organisation, key_of};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::order::MEDIA_TYPE;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

/// The order of the group of Ed25519 (RFC 8032 section 5.1), little end first.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0x10,
];
/// More than an order may have.
const HUGE: usize = 600 * 1024;
/// Deeper than a reader that calls itself can go.
const DEEP: usize = 100_000;

/// The payload's envelope, signed by everybody named.
///
/// # Errors
/// Where nobody has such a name.
pub(super) fn sign(payload_type: &str, payload: &[u8], signers: &[String]) -> Result<String> {
    let mut envelope = Envelope::unsigned(payload_type, payload.to_vec());
    for name in signers {
        let key = key_of(name)?;
        let signature = key.sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key.verifying_key(), signature);
    }
    Ok(String::from_utf8_lossy(&envelope.to_json()).into_owned())
}

/// The envelope after the attacker had it.
///
/// # Errors
/// Where it can no longer be read, as after another tampering.
pub(super) fn tamper(text: &str, payload: &[u8], how: Tamper, organisation: &Organisation) -> Result<String> {
    let asha = ["asha".to_owned()];
    let mut value: Value = serde_json::from_str(text).context("reading an envelope again")?;
    let signature = STANDARD.decode(value["signatures"][0]["sig"].as_str().unwrap_or_default()).context("reading a signature")?;
    let replace = |value: &mut Value, signature: &[u8]| value["signatures"][0]["sig"] = STANDARD.encode(signature).into();
    match how {
        Tamper::Payload => {
            let altered = String::from_utf8_lossy(payload).replace("10.99.0.1", "10.99.0.2");
            value["payload"] = STANDARD.encode(altered).into();
        }
        Tamper::Signature => {
            let mut flipped = signature;
            flipped[10] ^= 1;
            replace(&mut value, &flipped);
        }
        Tamper::SignaturePlusOrder => replace(&mut value, &plus_order(&signature)),
        Tamper::ZeroSignature => replace(&mut value, &[0; 64]),
        Tamper::SignatureOfAnother => {
            let other = sign(MEDIA_TYPE, b"{}", &asha)?;
            value["signatures"] = serde_json::from_str::<Value>(&other).context("reading an envelope")?["signatures"].take();
        }
        Tamper::SshSignature => replace(&mut value, &key_of("asha")?.sign(&ssh_blob(payload)).to_bytes()),
        Tamper::BareSignature => replace(&mut value, &key_of("asha")?.sign(payload).to_bytes()),
        Tamper::KeyTwice | Tamper::KeyTwiceRenamed | Tamper::ManySignatures => {
            let mut again = value["signatures"][0].clone();
            if how == Tamper::KeyTwiceRenamed {
                again["keyid"] = netsonde_contract::bundle::key_id(&key_of("ben")?.verifying_key()).into();
            }
            let count = if how == Tamper::ManySignatures { 16 } else { 1 };
            if let Some(signatures) = value["signatures"].as_array_mut() {
                signatures.extend(std::iter::repeat_n(again, count));
            }
        }
        Tamper::NoSignature => value["signatures"] = json!([]),
        Tamper::OtherType => value["payloadType"] = netsonde_contract::receipt::MEDIA_TYPE.into(),
        Tamper::Cut => return Ok(text[..text.len() / 2].to_owned()),
        Tamper::NotJson => return Ok("<html>Please sign in</html>".to_owned()),
        Tamper::Nested => return Ok("[".repeat(DEEP)),
        Tamper::NestedPayload => return sign(MEDIA_TYPE, "[".repeat(DEEP).as_bytes(), &asha),
        Tamper::Huge => value["more"] = "x".repeat(HUGE).into(),
        Tamper::PayloadTwice => {
            let evil = STANDARD.encode(String::from_utf8_lossy(payload).replace("10.99.0.1", "10.99.0.2"));
            return Ok(text.replacen('{', &format!("{{\"payload\":\"{evil}\","), 1));
        }
        Tamper::KeyOfPayloadTwice => {
            let twice = String::from_utf8_lossy(payload).replacen('{', "{\"targets\":[\"10.99.0.2:7000\"],", 1);
            return sign(MEDIA_TYPE, twice.as_bytes(), &asha);
        }
        Tamper::KeyListInstead => return organisation.list_json().context("the organisation has no list of keys"),
    }
    Ok(value.to_string())
}

/// What OpenSSH signs (PROTOCOL.sshsig) for the namespace that orders would have.
fn ssh_blob(message: &[u8]) -> Vec<u8> {
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let parts = [string(b"order@netsonde"), string(b""), string(b"sha512"), string(&Sha512::digest(message))];
    [b"SSHSIG".to_vec(), parts.concat()].concat()
}

fn plus_order(signature: &[u8]) -> Vec<u8> {
    let mut sum = signature.to_vec();
    let mut carry = 0_u16;
    for (byte, add) in sum[32..].iter_mut().zip(GROUP_ORDER) {
        let total = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (total as u8, total >> 8);
    }
    sum
}
