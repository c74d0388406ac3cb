use super::form::Form;
use super::guard::Guard;
use super::page;
use super::shown::Shown;
use crate::backend::Backend;
use crate::orders::{self, Outcome, Wish};
use crate::organisation::Organisation;
use crate::signing::Signer;
use crate::stop::Stop;
use crate::{agents, clock};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use netsonde_contract::api::fleet::{KeptDraft, OrderDetail, SubmitOrder};
use netsonde_contract::api::path;
use netsonde_contract::id::{OrderId, TicketId};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A form with every field filled is smaller.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// A browser on the same machine sends a form at once.
const FORM_TIME: Duration = Duration::from_secs(10);
/// Orders from a page live so long unless the form says otherwise.
pub(super) const LIFE: &str = "1h";
/// Nothing but the page's own text and style: no scripts, no frames, forms only to here.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Everything that the pages are made from.
pub(super) struct Site {
    backend: Backend,
    own: Organisation,
    signer: Signer,
    guard: Guard,
    shown: Mutex<Shown>,
}

enum Answer {
    Page(String),
    SeeOther(String),
}

impl Site {
    pub(super) fn new(backend: Backend, own: Organisation, signer: Signer, guard: Guard) -> Self {
        Self { backend, own, signer, guard, shown: Mutex::default() }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let rest = match self.guard.admit(request.method(), &path, request.headers()) {
            Ok(rest) => rest,
            Err((status, why)) => return respond(status, page::plain(why), None),
        };
        let answered = match *request.method() {
            Method::GET => self.read(rest).await,
            Method::POST => match self.form(request).await {
                Ok(form) => self.post(rest, &form).await,
                Err(status) => return respond(status, page::plain("the form cannot be read"), None),
            },
            _ => return respond(StatusCode::METHOD_NOT_ALLOWED, page::plain("this cannot be done here"), None),
        };
        match answered {
            Ok(Some(Answer::Page(page))) => respond(StatusCode::OK, page, None),
            Ok(Some(Answer::SeeOther(to))) => respond(StatusCode::SEE_OTHER, String::new(), Some(to)),
            Ok(None) => respond(StatusCode::NOT_FOUND, page::plain("there is nothing here"), None),
            Err(stop) => respond(StatusCode::BAD_REQUEST, page::stop(self.token(), &stop), None),
        }
    }

    fn token(&self) -> &str {
        self.guard.token()
    }

    async fn read(&self, rest: &str) -> Result<Option<Answer>, Stop> {
        if rest.is_empty() {
            let drafts: Vec<KeptDraft> = self.backend.get("listing the drafts", path::DRAFTS).await?;
            let agents = agents::all(&self.backend).await?;
            return Ok(Some(Answer::Page(page::start(self.token(), &drafts, &agents))));
        }
        if let Some(id) = rest.strip_prefix("drafts/").and_then(TicketId::parse) {
            let kept: KeptDraft = self.backend.get("reading the draft", &path::draft(&id)).await?;
            return self.show(Wish::of_draft(kept, LIFE, &self.signer)?).await;
        }
        if let Some(id) = rest.strip_prefix("orders/").and_then(OrderId::parse) {
            let detail: OrderDetail = self.backend.get("reading the order", &path::order(&id)).await?;
            return Ok(Some(Answer::Page(page::order(self.token(), &detail, &self.backend.address()))));
        }
        Ok(None)
    }

    async fn post(&self, rest: &str, form: &Form) -> Result<Option<Answer>, Stop> {
        if !self.guard.holds(form.get("token")) {
            return Ok(None);
        }
        match rest {
            "orders" => self.show(form.wish(&self.signer)?).await,
            "sign" => self.sign(form).await.map(Some),
            "send" => self.send(form).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Composes the order, keeps it, and shows what it will do.
    async fn show(&self, wish: Wish) -> Result<Option<Answer>, Stop> {
        let prepared = orders::prepare(&self.backend, &self.own, wish, clock::now()).await?;
        let text = orders::describe(&prepared, &self.own.anchor.root().name, &self.signer);
        let page = page::confirm(self.token(), &prepared.order.id, &text);
        self.shown().keep(prepared);
        Ok(Some(Answer::Page(page)))
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sign(&self, form: &Form) -> Result<Answer, Stop> {
        let gone = || Stop::failed("this order was signed already, or is no longer kept").next("open the draft again");
        let id = OrderId::parse(form.get("order")).ok_or_else(gone)?;
        let mut prepared = self.shown().take(&id).ok_or_else(gone)?;
        match orders::sign_prepared(&self.own, &mut prepared, &self.signer, None) {
            Ok(Outcome::Ready(order)) => Ok(self.submit(id, order).await),
            Ok(Outcome::Kept { file, signed, needed }) => Ok(Answer::Page(page::kept(self.token(), &file, signed, needed))),
            Ok(Outcome::Written { file }) => Ok(Answer::Page(page::kept(self.token(), &file, 1, 1))),
            Err(stop) => {
                self.shown().keep(prepared);
                Err(stop)
            }
        }
    }

    /// Sends a signed order that did not get through before.
    async fn send(&self, form: &Form) -> Result<Answer, Stop> {
        let gone =
            || Stop::failed("no signed order waits here under this id").next("see whether it runs: open the list of orders");
        let id = OrderId::parse(form.get("order")).ok_or_else(gone)?;
        let order = self.shown().take_unsent(&id).ok_or_else(gone)?;
        Ok(self.submit(id, order).await)
    }

    /// What does not get through is kept, so that it can be sent again: it is signed, and would be signed in vain.
    async fn submit(&self, id: OrderId, order: Box<SubmitOrder>) -> Answer {
        match orders::submit(&self.backend, &id, &order).await {
            Ok(()) => Answer::SeeOther(format!("/{}/orders/{id}", self.token())),
            Err(stop) => {
                let page = page::unsent(self.token(), &id, &stop);
                self.shown().keep_unsent(id, order);
                Answer::Page(page)
            }
        }
    }

    async fn form(&self, request: Request<Incoming>) -> Result<Form, StatusCode> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind != Some(b"application/x-www-form-urlencoded") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let body = Limited::new(request.into_body(), MAX_FORM_BYTES).collect();
        let body = tokio::time::timeout(FORM_TIME, body).await.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
        let bytes = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
        Ok(Form::parse(&bytes))
    }
}

fn respond(status: StatusCode, page: String, to: Option<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The token stands in the address: it is told to nobody else.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(to) = to.and_then(|to| HeaderValue::from_str(&to).ok()) {
        headers.insert(header::LOCATION, to);
    }
    response
}
