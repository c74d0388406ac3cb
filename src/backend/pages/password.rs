use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// A password could not be hashed, or the stored hash cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("argon2 failed: {0}")]
pub(crate) struct PasswordError(String);

/// Argon2id with the crate's parameters, which are OWASP's first choice (19 MiB, 2 passes), as a PHC string with its own salt.
pub(crate) fn hash_password(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| PasswordError(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether the password is the one whose hash this is. Takes tens of milliseconds of a core, whatever the answer.
pub(super) fn password_fits(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(|error| PasswordError(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits_its_hash() {
        let hash = hash_password("abcd-efgh").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(password_fits("abcd-efgh", &hash).unwrap());
        assert!(!password_fits("abcd-efgi", &hash).unwrap());
        assert_ne!(hash_password("abcd-efgh").unwrap(), hash);
        assert!(password_fits("x", "damaged").is_err());
    }
}
