use super::data_dir::DataDir;
use super::ready::desk_token;
use crate::api::token_digest;
use crate::app::Place;
use crate::home::Home;
use crate::random;
use crate::store::{Setting, Sqlite, Store};
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::path::Path;

#[derive(Args)]
pub(super) struct NewDeskToken {
    #[command(flatten)]
    data: DataDir,
}

impl NewDeskToken {
    /// Works beside a running server, which reads the token's digest anew for each request.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let token = renew(&self.data.path()?).await?;
        writeln!(std::io::stdout(), "The new desk token is {token}\nThe one before no longer works.")?;
        Ok(())
    }
}

/// Replaces the desk token and returns the new one as `nsd1_…`.
pub(crate) async fn renew(data: &Path) -> anyhow::Result<String> {
    let home = Home::existing(data)?;
    let store = Sqlite::open(&home.database()).await?;
    let place = store.setting(Setting::Place).await?;
    let place = place.context("this server never ran; its first `netsonde-backend serve` prints the desk token")?;
    let place: Place = serde_json::from_str(&place).context("the database does not say where the server is reached")?;
    let token = random::token()?;
    store.set(Setting::DeskTokenDigest, &token_digest(&token)).await?;
    Ok(desk_token(&place, &token))
}
