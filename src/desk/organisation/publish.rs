use super::folder::{Folder, Published};
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{clock, terminal};
use netsonde_contract::api::path;
use reqwest::Method;

/// Hands the signed documents to the backend, which gives them to the agents. It can withhold them, and nothing else.
pub(super) async fn publish(folder: &Folder, backend: &Backend) -> Result<(), Stop> {
    let own = folder.open()?;
    own.live_list(clock::now()).map_err(|error| {
        Stop::failed(format!("the list of keys cannot be published: {error}")).next("sign one: netsonde-desk org sign-list")
    })?;
    backend.tell("publishing the organisation's documents", Method::PUT, path::TRUST, &own.documents).await?;
    let (root, list) = own.anchor.versions();
    folder.keep_published(&Published { backend: backend.address(), root, list, at: clock::now() })?;
    terminal::say(&format!(
        "{} has root version {root} and list version {list}; agents get them with their next request.",
        backend.address()
    ));
    Ok(())
}
