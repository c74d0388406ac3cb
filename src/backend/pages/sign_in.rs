use super::password::password_fits;
use super::session::{self, Engineer, check_form_token, cookie, cookie_name};
use super::{Frame, USER, render};
use crate::app::App;
use crate::body::Form;
use crate::problem::Refused;
use crate::store::Setting;
use askama::Template;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    form_token: &'a str,
    user: &'a str,
    next: &'a str,
    error: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

/// It has no `Debug`: it holds a password.
#[derive(Deserialize)]
pub(super) struct SignIn {
    user: String,
    password: String,
    form_token: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Result<Response, Refused> {
    page(&app, StatusCode::OK, USER, &wanted.next, None)
}

/// A page with a new token, which its cookie must repeat.
fn page(app: &App, status: StatusCode, user: &str, next: &str, error: Option<&str>) -> Result<Response, Refused> {
    let form_token = crate::random::token()?;
    let page = SignInPage { frame: Frame::for_strangers(), form_token: &form_token, user, next: own_path(next), error };
    let response = render(status, &page)?;
    let token = cookie(app, cookie_name(app, "form"), form_token);
    Ok((CookieJar::new().add(token), response).into_response())
}

pub(super) async fn submit(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    jar: CookieJar,
    Form(given): Form<SignIn>,
) -> Result<Response, Refused> {
    let expected = jar.get(&cookie_name(&app, "form")).map_or("", |cookie| cookie.value());
    check_form_token(expected, &given.form_token)?;
    wait_for_turn(&app, peer.ip()).await;
    if !fits(&app, &given).await? {
        tracing::warn!("wrong user or password");
        tracing::debug!(%peer, "wrong user or password");
        return page(&app, StatusCode::FORBIDDEN, &given.user, &given.next, Some("The user or the password is wrong."));
    }
    app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).succeeded(peer.ip());
    // Whoever signs in anew on a machine that others use does not leave the session of before behind.
    session::end(&app, &jar).await?;
    let session = session::begin(&app).await?;
    tracing::info!("signed in");
    Ok((CookieJar::new().add(session), Redirect::to(own_path(&given.next))).into_response())
}

#[derive(Deserialize)]
pub(super) struct SignOut {
    form_token: String,
}

pub(super) async fn sign_out(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    jar: CookieJar,
    Form(form): Form<SignOut>,
) -> Result<Response, Refused> {
    engineer.check_form(&form.form_token)?;
    let gone = session::end(&app, &jar).await?;
    Ok((CookieJar::new().add(gone), Redirect::to("/sign-in")).into_response())
}

/// Slows down whoever guesses.
async fn wait_for_turn(app: &App, source: IpAddr) {
    let wait = app.sign_ins.lock().unwrap_or_else(PoisonError::into_inner).begin(source, app.clock.now());
    tokio::time::sleep(wait).await;
}

/// The password is checked even for a wrong user, so that both take the same time.
async fn fits(app: &App, given: &SignIn) -> Result<bool, Refused> {
    let hash = app.store.setting(Setting::PasswordHash).await?.unwrap_or_default();
    let password = given.password.clone();
    let _permit = app.passwords.acquire().await.map_err(Refused::internal)?;
    let fits = tokio::task::spawn_blocking(move || password_fits(&password, &hash)).await.map_err(Refused::internal)?;
    Ok(fits.map_err(Refused::internal)? & (given.user == USER))
}

/// Where to go after signing in: a path of this site and nothing that a browser could read as another.
fn own_path(next: &str) -> &str {
    let own = next.starts_with('/') && next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    if own && !next.starts_with("//") { next } else { "/cases" }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn nobody_is_sent_to_another_site_after_signing_in() {
        assert_eq!(own_path("/cases/4711"), "/cases/4711");
        for foreign in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a?b", "evil", "/\r\nSet-Cookie:x"] {
            assert_eq!(own_path(foreign), "/cases", "{foreign}");
        }
    }
}
