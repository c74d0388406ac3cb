use crate::arguments::Format;
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{sign_in, terminal};
use netsonde_contract::api::{CaseSummary, path};
use netsonde_contract::desk_token::DeskToken;
use serde_json::json;

/// Keeps the token once the backend has accepted it.
pub(crate) async fn login(format: Format) -> Result<(), Stop> {
    let text = match sign_in::from_environment() {
        Some(text) => text,
        None => terminal::read_secret("Desk token (nsd1_…)")?,
    };
    let token = DeskToken::parse(&text).map_err(|error| {
        Stop::usage(error.to_string())
            .next("copy the whole string that begins with nsd1_ from what the backend printed on its first run")
    })?;
    if token.backend.starts_with("http://") {
        terminal::say("warning: this backend is reached without TLS: whoever sits between can read the token and every bundle");
    }
    let backend = Backend::new(&token)?;
    let cases: Vec<CaseSummary> = backend.get("signing in", path::CASES).await?;
    let path = sign_in::path()?;
    sign_in::store(&token, &path)?;
    match format {
        Format::Json => {
            let pin = token.tls_pin.as_ref().map(ToString::to_string);
            terminal::output(&Format::json(&json!({"backend": token.backend, "tls_pin": pin, "token_file": path}))?)
        }
        Format::Human => terminal::output(&format!(
            "Signed in to {}, which has {} {}. The token is kept in {}.\n",
            backend.address(),
            cases.len(),
            if cases.len() == 1 { "case" } else { "cases" },
            path.display()
        )),
    }
}
