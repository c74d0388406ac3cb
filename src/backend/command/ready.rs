//! What a start tells: on the terminal for people, in a file for programs.

use super::serve::Running;
use crate::api::token_digest;
use crate::app::{App, Place};
use crate::home::write_private;
use crate::pages::{USER, hash_password};
use crate::random;
use crate::store::Setting;
use anyhow::Context;
use netsonde_contract::desk_token::DeskToken;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// The secrets that exist in clear only now. They are good once [`keep`] is done, which must come after they were announced: what is lost
/// before that is made anew by the next start. It has no `Debug`.
pub(crate) struct FirstRun {
    pub(crate) password: String,
    /// `nsd1_…`
    pub(crate) desk_token: String,
    password_hash: String,
    token_digest: String,
}

/// New password and desk token, where none were announced yet.
pub(super) async fn first_run(app: &App) -> anyhow::Result<Option<FirstRun>> {
    if app.store.setting(Setting::DeskTokenDigest).await?.is_some() {
        return Ok(None);
    }
    let (password, token) = (random::password()?, random::token()?);
    Ok(Some(FirstRun {
        password_hash: hash_password(&password)?,
        password,
        desk_token: desk_token(&app.place, &token),
        token_digest: token_digest(&token),
    }))
}

/// Makes the announced secrets the ones that work.
pub(super) async fn keep(app: &App, first: &FirstRun) -> anyhow::Result<()> {
    app.store.set(Setting::PasswordHash, &first.password_hash).await?;
    // Last: a kill before this repeats the first run.
    app.store.set(Setting::DeskTokenDigest, &first.token_digest).await?;
    Ok(())
}

/// `nsd1_…`
pub(super) fn desk_token(place: &Place, token: &str) -> String {
    let token = DeskToken { backend: place.url.clone(), tls_pin: place.tls_pin.clone(), token: token.to_owned().into() };
    token.encode().to_string()
}

#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desk_token: Option<&'a str>,
    tls_pin: Option<String>,
}

/// # Errors
/// Where the file or standard output cannot be written: then nobody has the secrets, and they must not be kept.
pub(crate) fn announce(running: &Running, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let place = &running.app.place;
    if let Some(file) = ready_file {
        let ready = Ready {
            url: &place.url,
            password: running.first_run.as_ref().map(|first| first.password.as_str()),
            desk_token: running.first_run.as_ref().map(|first| first.desk_token.as_str()),
            tls_pin: place.tls_pin.as_ref().map(ToString::to_string),
        };
        let json = serde_json::to_vec_pretty(&ready).context("cannot write the ready file")?;
        write_private(file, &json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if let Some(first) = &running.first_run {
        writeln!(
            out,
            "This is the first run. Keep what follows: it is shown this once.\n\n  pages       {url}\n  user        {USER}\n  password    {password}\n  desk token  {desk}\n",
            url = place.url,
            password = first.password,
            desk = first.desk_token,
        )?;
    }
    writeln!(out, "netsonde-backend listens on {} as {}", running.address, place.url)?;
    out.flush()?;
    Ok(())
}
