use super::data_dir::DataDir;
use crate::home::Home;
use crate::pages::{USER, hash_password};
use crate::random;
use crate::store::{Setting, Sqlite, Store};
use clap::Args;
use jiff::Timestamp;
use std::io::Write;

#[derive(Args)]
pub(super) struct ResetPassword {
    #[command(flatten)]
    data: DataDir,
}

impl ResetPassword {
    /// Works beside a running server, which reads the password anew at each sign-in.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let home = Home::existing(&self.data.path()?)?;
        let store = Sqlite::open(&home.database()).await?;
        let password = random::password()?;
        store.set(Setting::PasswordHash, &hash_password(&password)?).await?;
        store.sweep_sessions(Timestamp::MAX).await?;
        writeln!(std::io::stdout(), "The new password of {USER} is {password}\nEverybody is signed out.")?;
        Ok(())
    }
}
