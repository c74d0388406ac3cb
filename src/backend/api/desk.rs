use crate::app::App;
use crate::problem::Refused;
use crate::store::Setting;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use netsonde_contract::api::ProblemCode;
use netsonde_contract::bundle::hexadecimal;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The caller holds the desk token, which is good for tickets, cases and bundles.
pub(super) struct Desk;

impl FromRequestParts<Arc<App>> for Desk {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let refused = || {
            Refused::new(ProblemCode::Unauthorized, "This needs the desk token.")
                .next_step("Sign in with the nsd1_… string that netsonde-backend printed on its first run.")
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        };
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
        let token = authorization.strip_prefix("Bearer ").ok_or_else(refused)?;
        let digest = app.store.setting(Setting::DeskTokenDigest).await?.ok_or_else(refused)?;
        if bool::from(token_digest(token).as_bytes().ct_eq(digest.as_bytes())) { Ok(Self) } else { Err(refused()) }
    }
}

/// What the database keeps of a token. A token has 256 random bits, so a plain digest gives nothing away.
pub(crate) fn token_digest(token: &str) -> String {
    hexadecimal(&Sha256::digest(token))
}
