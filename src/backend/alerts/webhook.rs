//! Webhooks as Standard Webhooks (standardwebhooks.com) has them: `webhook-id`, `webhook-timestamp`, and `webhook-signature`, an HMAC-SHA256 over both
//! and the body.

use super::address::Gate;
use super::{Trouble, config};
use crate::store::AlertRow;
use axum::http::{Method, Request, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls_pki_types::ServerName;
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// From the first packet to the last byte of the answer. Receivers answer first and work later.
const PATIENCE: Duration = Duration::from_secs(15);
/// One address of several may be dead.
const CONNECT: Duration = Duration::from_secs(5);
/// Of an answer, whose status is all that matters.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A receiver by HTTP.
pub(crate) struct Webhook {
    url: Url,
    key: Vec<u8>,
    tls: Arc<rustls::ClientConfig>,
}

impl Webhook {
    pub(super) fn new(url: Url, key: Vec<u8>, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { url, key, tls }
    }

    pub(super) fn place(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.authority())
    }

    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(super) async fn send(&self, gate: &Gate, alert: &AlertRow, now: Timestamp) -> Result<(), Trouble> {
        let late = || Trouble::of(format!("{} did not answer in {} s", self.place(), PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, self.post(gate, alert, now)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn post(&self, gate: &Gate, alert: &AlertRow, now: Timestamp) -> Result<(), Trouble> {
        let request = self.request(alert, now)?;
        let stream = self.connect(gate).await?;
        let secure = self.url.scheme() == "https";
        if !secure {
            return exchange(stream, request).await;
        }
        let failed = |error: &dyn std::fmt::Display| Trouble::of(format!("TLS with {} failed: {error}", self.place()));
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.map_err(|error| failed(&error))?;
        exchange(stream, request).await
    }

    async fn connect(&self, gate: &Gate) -> Result<TcpStream, Trouble> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        let mut trouble = Trouble::of(format!("{} has no address", self.place()));
        for address in gate.addresses(self.url.host_str().unwrap_or_default(), port).await? {
            match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => trouble = Trouble::of(format!("{address} cannot be reached: {error}")),
                Err(_) => trouble = Trouble::of(format!("{address} does not answer")),
            }
        }
        Err(trouble)
    }

    fn request(&self, alert: &AlertRow, now: Timestamp) -> Result<Request<Full<Bytes>>, Trouble> {
        let body = serde_json::to_vec(&alert.alert).map_err(|error| Trouble::of(error.to_string()))?;
        let timestamp = now.as_second();
        let target = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("netsonde-backend/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &alert.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(&self.key, &alert.id, timestamp, &body)?)
            .body(Full::from(body))
            .map_err(|error| Trouble::of(error.to_string()))
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Result<String, Trouble> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Trouble::of(error.to_string()))?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether the other side took it. A redirect is not followed: it would lead past the gate.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(), Trouble> {
    let broken = |error: hyper::Error| Trouble::of(format!("the connection broke: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driving = tokio::spawn(connection);
    let answered = sender.send_request(request).await.map_err(broken);
    let answer = match answered {
        Ok(answer) => answer,
        Err(trouble) => {
            driving.abort();
            return Err(trouble);
        }
    };
    let (parts, body) = answer.into_parts();
    // What it says is for nobody, but a receiver is not to see a broken connection.
    let _ = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    driving.abort();
    if parts.status.is_success() {
        return Ok(());
    }
    let asked = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Trouble {
        words: format!("it answered with status {}", parts.status),
        after: asked.map(Duration::from_secs),
        // Standard Webhooks: the receiver wants no more of it.
        is_final: parts.status == StatusCode::GONE,
    })
}

/// # Errors
/// Where the secret is not as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, config::Wrong> {
    let wrong = || {
        config::Wrong(
            "a secret is whsec_ and the base64 of 24 to 64 random bytes, such as: echo whsec_$(openssl rand -base64 32)".into(),
        )
    };
    let text = secret.trim().strip_prefix("whsec_").ok_or_else(wrong)?;
    let key = STANDARD.decode(text).map_err(|_| wrong())?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_the_one_that_standard_webhooks_makes() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_short_or_no_base64_is_refused() {
        for wrong in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
    }
}
