use crate::app::App;
use crate::clock::later;
use crate::problem::Refused;
use crate::store::SessionRow;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use netsonde_contract::api::ProblemCode;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Somebody who is signed in.
#[derive(Clone)]
pub(super) struct Engineer {
    /// What their forms must carry.
    pub(super) form_token: String,
    session: [u8; 32],
}

impl Engineer {
    /// Whether the session goes on.
    pub(super) async fn is_signed_in(&self, app: &App) -> Result<bool, Refused> {
        Ok(app.store.session(&self.session, app.clock.now()).await?.is_some())
    }

    /// # Errors
    /// Where a form was not sent from a page of this session.
    pub(super) fn check_form(&self, token: &str) -> Result<(), Refused> {
        check_form_token(&self.form_token, token)
    }
}

/// # Errors
/// Where the two differ.
pub(super) fn check_form_token(expected: &str, given: &str) -> Result<(), Refused> {
    if !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        return Ok(());
    }
    Err(Refused::new(ProblemCode::Forbidden, "The form was not sent from a page of this session.")
        .next_step("Open the page again and send the form from there."))
}

/// Whoever is not signed in is sent to the sign-in page, and from there back to where they wanted to go.
impl FromRequestParts<Arc<App>> for Engineer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let jar = CookieJar::from_headers(&parts.headers);
        match current(app, &jar).await {
            Ok(Some(session)) => Ok(Self { form_token: session.form_token, session: session.digest }),
            Ok(None) if parts.method == Method::GET => {
                let wanted = parts.uri.path();
                Err(Redirect::to(&format!("/sign-in?next={wanted}")).into_response())
            }
            Ok(None) => Err(Refused::new(ProblemCode::Unauthorized, "You are not signed in, or no longer.")
                .next_step("Sign in and send the form again.")
                .into_response()),
            Err(refused) => Err(refused.into_response()),
        }
    }
}

async fn current(app: &App, jar: &CookieJar) -> Result<Option<SessionRow>, Refused> {
    match jar.get(&session_cookie(app)) {
        Some(cookie) => Ok(app.store.session(&digest(cookie.value()), app.clock.now()).await?),
        None => Ok(None),
    }
}

/// Begins a session and returns its cookie.
pub(super) async fn begin(app: &App) -> Result<Cookie<'static>, Refused> {
    let token = crate::random::token()?;
    let expires = later(app.clock.now(), app.limits.session);
    app.store.add_session(&SessionRow { digest: digest(&token), form_token: crate::random::token()?, expires }).await?;
    Ok(cookie(app, session_cookie(app), token))
}

/// Ends the session that the cookies name, if any, and returns the cookie that removes it from the browser.
pub(super) async fn end(app: &App, jar: &CookieJar) -> Result<Cookie<'static>, Refused> {
    if let Some(cookie) = jar.get(&session_cookie(app)) {
        app.store.remove_session(&digest(cookie.value())).await?;
    }
    let mut gone = cookie(app, session_cookie(app), String::new());
    gone.make_removal();
    Ok(gone)
}

fn session_cookie(app: &App) -> String {
    cookie_name(app, "session")
}

/// With its prefix a browser takes the cookie only from this host, over TLS, for the whole site. Plain HTTP is on loopback only.
pub(super) fn cookie_name(app: &App, what: &str) -> String {
    let prefix = if app.place.is_https() { "__Host-" } else { "" };
    format!("{prefix}netsonde-{what}-{}", app.short_name())
}

/// Ends with the browser; the session itself ends by the database.
pub(super) fn cookie(app: &App, name: String, value: String) -> Cookie<'static> {
    Cookie::build((name, value)).path("/").http_only(true).secure(app.place.is_https()).same_site(SameSite::Strict).build()
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
