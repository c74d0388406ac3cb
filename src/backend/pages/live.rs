//! What goes on is shown as it changes: a page's part is sent whenever it is another one, as server-sent events (HTML Living Standard, section 9.2).
//!
//! The only script of the pages puts it in its place. Without scripts a page asks for itself anew every few seconds and shows the same.

use super::session::Engineer;
use super::style::addressed;
use crate::app::App;
use crate::clock::moment_in;
use crate::problem::Refused;
use askama::Template;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use netsonde_contract::api::ProblemCode;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

pub(super) const SCRIPT_PATH: &str = "/live.js";
const SCRIPT: &str = include_str!("live.js");
static ADDRESS: LazyLock<String> = LazyLock::new(|| addressed(SCRIPT_PATH, SCRIPT));

/// What a page with the script may do besides what every page may: run that script and ask this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
/// Between two looks, however much is reported; and this many times as long as a look took.
const PAUSE: Duration = Duration::from_millis(250);
const SHARE: u32 = 10;
/// Without anything new the connection is shown to be alive: well within what proxies and this server itself wait for a byte.
const ALIVE: Duration = Duration::from_secs(15);

/// What a page has to say at this moment.
pub(super) enum Now {
    /// Its part that may change.
    Part(String),
    /// It is to be asked for as a whole, and once more.
    Over,
}

impl Now {
    pub(super) fn of(part: &impl Template) -> Result<Self, Refused> {
        part.render().map(Self::Part).map_err(Refused::internal)
    }
}

pub(super) fn address() -> &'static str {
    &ADDRESS
}

pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, super::style::FOR_GOOD)], SCRIPT)
}

/// Allows a page its script.
pub(super) fn with_script(mut page: Response) -> Response {
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

struct Following<R> {
    app: Arc<App>,
    engineer: Engineer,
    read: R,
    changes: watch::Receiver<()>,
    sent: Option<String>,
    looked: Option<(Instant, Duration)>,
    _permit: OwnedSemaphorePermit,
}

/// Sends what `read` says whenever it is something else, until the page is over, nobody is signed in any more, or this server stops.
///
/// # Errors
/// Where too many pages are followed already: whoever asks shows the page as without scripts.
pub(super) fn follow<R, F>(app: Arc<App>, engineer: Engineer, read: R) -> Result<Response, Refused>
where
    R: Fn(Arc<App>, Engineer) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Now, Refused>> + Send,
{
    let permit = Arc::clone(&app.viewers).try_acquire_owned();
    let permit = permit.map_err(|_| Refused::new(ProblemCode::Unavailable, "Too many pages are followed at once."))?;
    let changes = app.notebook.changes();
    let following = Following { app, engineer, read, changes, sent: None, looked: None, _permit: permit };
    let events = stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.next().await {
            Some(Now::Part(html)) => Some((Event::default().event("part").json_data(&html), Some(following))),
            // An event without data is none to a browser.
            Some(Now::Over) => Some((Ok(Event::default().event("over").data("over")), None)),
            None => None,
        }
    });
    // What a proxy would gather is sent on as it comes: nginx's word for it.
    let unbuffered = [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    let mut answer = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response();
    for (name, value) in unbuffered {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

impl<R, F> Following<R>
where
    R: Fn(Arc<App>, Engineer) -> F,
    F: Future<Output = Result<Now, Refused>>,
{
    /// What is something else than what was sent; nothing where the connection has to end, and is to be made anew.
    async fn next(&mut self) -> Option<Now> {
        loop {
            if let Some((at, took)) = self.looked {
                self.wait(at + PAUSE.max(took * SHARE)).await;
            }
            if self.app.stopping.is_cancelled() {
                return None;
            }
            let began = moment_in(Duration::ZERO);
            let now = match self.look().await {
                Ok(now) => now,
                Err(refused) => {
                    tracing::error!(cause = refused.explained(), "a page cannot be followed");
                    return None;
                }
            };
            self.looked = Some((moment_in(Duration::ZERO), began.elapsed()));
            match now {
                Now::Over => return Some(Now::Over),
                Now::Part(html) if self.sent.as_ref() != Some(&html) => {
                    self.sent = Some(html.clone());
                    return Some(Now::Part(html));
                }
                Now::Part(_) => {}
            }
        }
    }

    /// Whoever signed out sees nothing more.
    async fn look(&self) -> Result<Now, Refused> {
        if !self.engineer.is_signed_in(&self.app).await? {
            return Ok(Now::Over);
        }
        (self.read)(Arc::clone(&self.app), self.engineer.clone()).await
    }

    /// Until something was reported, but not before `earliest`; or until it is time to look.
    async fn wait(&mut self, earliest: Instant) {
        let app = Arc::clone(&self.app);
        let waiting = async {
            tokio::time::sleep_until(earliest).await;
            let _ = tokio::time::timeout(app.limits.look, self.changes.changed()).await;
        };
        tokio::select! {
            () = waiting => {}
            () = app.stopping.cancelled() => {}
        }
    }
}
