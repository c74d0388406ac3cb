//! What a start tells: on the terminal for people, in a file for programs.

use super::serve::Running;
use crate::api::token_digest;
use crate::app::App;
use crate::home::write_private;
use crate::pages::{USER, hash_password};
use crate::random;
use crate::store::Setting;
use anyhow::Context;
use netsonde_contract::desk_token::DeskToken;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// The secrets that exist in clear only now. It has no `Debug`.
pub(crate) struct FirstRun {
    pub(crate) password: String,
    /// `nsd1_…`
    pub(crate) desk_token: String,
}

/// Makes password and desk token where there are none yet.
pub(super) async fn first_run(app: &App) -> anyhow::Result<Option<FirstRun>> {
    if app.store.setting(Setting::DeskTokenDigest).await?.is_some() {
        return Ok(None);
    }
    let (password, token) = (random::password()?, random::token()?);
    let desk_token =
        DeskToken { backend: app.place.url.clone(), tls_pin: app.place.tls_pin.clone(), token: token.clone().into() };
    app.store.set(Setting::PasswordHash, &hash_password(&password)?).await?;
    // Last: a kill before this repeats the first run.
    app.store.set(Setting::DeskTokenDigest, &token_digest(&token)).await?;
    Ok(Some(FirstRun { password, desk_token: desk_token.encode().to_string() }))
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

pub(super) fn announce(running: &Running, ready_file: Option<&Path>) -> anyhow::Result<()> {
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
