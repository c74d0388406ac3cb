//! `serve`: drafts, a form and what becomes of orders, for a browser on this machine.
//!
//! The server listens on 127.0.0.1 only and answers nobody but the page that it printed the address of: every request must name exactly its own
//! Host (so that a name that was rebound to the loopback gets nothing), come from its own Origin, and carry the token of this start. A page of
//! another site knows neither. What is signed is what was shown: an order is composed once, kept here under its id, and the form that signs names
//! only that id. The pages need no scripts and may run none.

/// What is wanted by a form.
mod form;
/// Which requests are answered.
mod guard;
/// What the pages say.
mod page;
/// Orders that were shown and not signed yet.
mod shown;
/// From a request to its answer.
mod site;

use crate::backend::Backend;
use crate::organisation::Folder;
use crate::stop::Stop;
use crate::{orders, random, terminal};
use guard::Guard;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use netsonde_contract::order::Epoch;
use site::Site;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// One person's browser opens a handful.
const MAX_CONNECTIONS: usize = 16;
/// A browser on the same machine sends its headers at once.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// After an accept that failed (such as for want of descriptors) the next would fail at once, too.
const BACK_OFF: Duration = Duration::from_millis(200);

/// Serves until it is interrupted.
pub(crate) async fn serve(backend: Backend, place: Option<PathBuf>, port: u16, key: Option<String>) -> Result<(), Stop> {
    let own = Folder::at(place)?.open()?;
    let signer = orders::signer(&own, key.as_deref())?;
    let failed = |error: std::io::Error| {
        Stop::failed(format!("127.0.0.1:{port} cannot be listened on: {error}")).next("give another --port, or 0 for any")
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let guard = Guard::new(address, fresh_token()?);
    terminal::output(&format!("http://{address}/{}/\n", guard.token()))?;
    terminal::say(
        "Open that address in a browser on this machine. It works until this command ends (Ctrl-C), and for nobody who does not know it.",
    );
    let site = Arc::new(Site::new(backend, own, signer, guard));
    tokio::select! {
        () = accept(listener, site) => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, std::convert::Infallible>(site.answer(request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A browser that goes away has what it wanted.
            let _ = connection.await;
            drop(permit);
        });
    }
}

/// 128 random bits in hexadecimal; the form of an epoch.
fn fresh_token() -> Result<String, Stop> {
    Ok(Epoch::from_bytes(random::bytes()?).as_str().to_owned())
}

#[cfg(test)]
mod tests;
