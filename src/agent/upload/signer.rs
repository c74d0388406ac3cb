use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::bundle::key_id;
use netsonde_contract::request_signature::{Covered, SIGNATURE, SIGNATURE_INPUT, content_digest, sign};
use netsonde_probes::clock::Clock;
use reqwest::Request;
use reqwest::header::{HeaderName, HeaderValue};
use std::sync::{Mutex, PoisonError};

/// Signs an enrolled agent's requests with its transport key.
///
/// The backend's clock is what a signature's time is held against. Where this machine's clock is wrong, the signer alone is set right: what
/// else relies on the clock keeps it as it is.
pub(crate) struct RequestSigner {
    key: SigningKey,
    clock: Clock,
    skew: Mutex<SignedDuration>,
}

impl RequestSigner {
    pub(crate) fn new(key: SigningKey, clock: Clock) -> Self {
        Self { key, clock, skew: Mutex::new(SignedDuration::ZERO) }
    }

    /// Takes the backend's clock for the right one.
    pub(crate) fn correct(&self, server_time: Timestamp) {
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = server_time.duration_since(self.clock.wall());
    }

    /// Adds digest and signature.
    ///
    /// # Errors
    /// In words, where the system gives no random bytes or the request has no host.
    pub(super) fn sign(&self, request: &mut Request) -> Result<(), String> {
        // Whoever sends a body piece by piece has said its digest already.
        let said = request.headers().get(netsonde_contract::api::header::CONTENT_DIGEST).and_then(|value| value.to_str().ok());
        let digest = match said {
            Some(digest) => digest.to_owned(),
            None => content_digest(request.body().and_then(|body| body.as_bytes()).unwrap_or_default()),
        };
        let url = request.url();
        let host = url.host_str().ok_or("the request has no host")?.to_ascii_lowercase();
        let authority = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        let covered = Covered {
            method: request.method().as_str(),
            authority: &authority,
            path: url.path(),
            query: url.query().unwrap_or_default(),
            content_digest: &digest,
        };
        let skew = *self.skew.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = self.clock.wall();
        // A clock at the end of time is as wrong with the correction as without.
        let created = wall.checked_add(skew).unwrap_or(wall);
        let random = crate::state::random::<16>().map_err(|stop| stop.message)?;
        let nonce = netsonde_contract::bundle::hexadecimal(&random);
        let headers = sign(&covered, &key_id(&self.key.verifying_key()), created, &nonce, &self.key);
        for (name, value) in [
            (netsonde_contract::api::header::CONTENT_DIGEST, digest),
            (SIGNATURE_INPUT, headers.input),
            (SIGNATURE, headers.signature),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::request_signature::{Headers, SignatureError};

    #[test]
    fn a_corrected_signer_is_believed_by_a_backend_with_another_clock() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let signer = RequestSigner::new(key.clone(), Clock::start());
        let there = Clock::start().wall() + SignedDuration::from_hours(24 * 365);
        let verified = || {
            let url = "http://127.0.0.1:81/v1/work?after=7&wait=50".parse().unwrap();
            let mut request = Request::new(reqwest::Method::GET, url);
            signer.sign(&mut request).unwrap();
            let text = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            let covered = Covered {
                method: "GET",
                authority: "127.0.0.1:81",
                path: "/v1/work",
                query: "after=7&wait=50",
                content_digest: &text("content-digest"),
            };
            let headers = Headers { input: text(SIGNATURE_INPUT), signature: text(SIGNATURE) };
            headers.verify(&covered, &key.verifying_key(), there)
        };
        assert!(matches!(verified(), Err(SignatureError::ClockSkew { .. })));
        signer.correct(there);
        assert_eq!(verified().unwrap().key_id, key_id(&key.verifying_key()));
    }
}
