use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The HMAC is cut to 128 bits (RFC 8762 section 4.4).
pub(super) const MAC_BYTES: usize = 16;

/// A key that sender and reflector share. It has no `Debug`, for the secret's sake.
#[derive(Clone)]
pub struct ReflectorKey(Zeroizing<Vec<u8>>);

impl ReflectorKey {
    /// Shorter keys are weaker than the cut HMAC.
    pub const MIN_BYTES: usize = 16;
    /// Longer ones are no keys but files given by mistake.
    pub const MAX_BYTES: usize = 1_024;

    /// The key in a file's bytes; white space around it, such as the final line end, is no part of it.
    ///
    /// # Errors
    /// In words, where it is too short or too long.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        let key = bytes.trim_ascii();
        if (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&key.len()) {
            Ok(Self(Zeroizing::new(key.to_vec())))
        } else {
            Err(format!("a key has {} to {} bytes, this one {}", Self::MIN_BYTES, Self::MAX_BYTES, key.len()))
        }
    }

    /// Over the parts, one after the other.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let whole = self.over(parts).finalize().into_bytes();
        let mut cut = [0; MAC_BYTES];
        cut.copy_from_slice(&whole[..MAC_BYTES]);
        cut
    }

    /// Compares in constant time.
    pub(super) fn fits(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        mac.len() == MAC_BYTES && self.over(parts).verify_truncated_left(mac).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 section 2)")]
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).expect("every length is a key");
        for part in parts {
            hmac.update(part);
        }
        hmac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_the_first_half_of_hmac_sha_256() {
        // RFC 4231 section 4.4, test case 3: twenty bytes 0xaa over fifty bytes 0xdd.
        let key = ReflectorKey::new(&[0xaa; 20]).unwrap();
        let expected = [0x77, 0x3e, 0xa9, 0x1e, 0x36, 0x80, 0x0e, 0x46, 0x85, 0x4d, 0xb8, 0xeb, 0xd0, 0x91, 0x81, 0xa7];
        assert_eq!(key.mac(&[&[0xdd; 20], &[0xdd; 30]]), expected);
        assert!(key.fits(&[&[0xdd; 50]], &expected));
        assert!(!key.fits(&[&[0xdd; 49]], &expected) && !key.fits(&[&[0xdd; 50]], &expected[..8]));
    }

    #[test]
    fn a_file_with_too_little_in_it_is_no_key() {
        assert!(ReflectorKey::new(b"0123456789abcde\n").is_err());
        assert!(ReflectorKey::new(b"0123456789abcdef\n").is_ok());
    }
}
