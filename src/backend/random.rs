//! Randomness from the operating system, in the shapes that this program needs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The operating system gave no randomness; nothing can be made without it.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub(crate) struct NoRandomness(#[source] getrandom::Error);

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(NoRandomness)
}

/// A secret of 256 bits as 43 characters that need no escaping anywhere.
pub(crate) fn token() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// 100 bits as five groups of four, which a person can read out and type.
pub(crate) fn password() -> Result<String, NoRandomness> {
    let letters = base32(&bytes::<13>()?);
    let groups: Vec<&str> = (0..5).filter_map(|group| letters.get(group * 4..group * 4 + 4)).collect();
    Ok(groups.join("-"))
}

/// Lower-case base32 without padding (RFC 4648 section 6), of whole digits only.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    (0..bytes.len() * 8 / 5)
        .map(|digit| char::from(ALPHABET[(0..5).fold(0, |value, place| value << 1 | bit(digit * 5 + place))]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_agrees_with_the_vectors_of_rfc_4648() {
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
        assert_eq!(base32(&[0xff; 10]), "7".repeat(16));
    }

    #[test]
    fn passwords_have_their_shape_and_differ() {
        let (one, other) = (password().unwrap(), password().unwrap());
        assert_eq!(one.len(), 24);
        assert_eq!(one.matches('-').count(), 4);
        assert_ne!(one, other);
    }
}
