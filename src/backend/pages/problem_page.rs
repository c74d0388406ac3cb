use super::{Frame, render};
use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use netsonde_contract::api::Problem;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    problem: &'a Problem,
    /// Where the form was that was refused.
    back: Option<&'a str>,
    /// Customers have no cases to go to.
    customer: bool,
}

/// Turns a refusal into a page where a browser asked; programs get the problem document as it is.
pub(crate) async fn for_browsers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let wants_page = !path.starts_with("/v1/") && asks_for_html(request.headers());
    let was_form = request.method() == Method::POST && !path.ends_with("/revoke") && path != "/sign-out";
    let mut response = next.run(request).await;
    if !wants_page {
        return response;
    }
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let page = ProblemPage {
        frame: Frame::for_strangers(),
        problem: &problem,
        back: was_form.then_some(path.as_str()),
        customer: path.starts_with("/t/"),
    };
    let Ok(mut page) = render(status, &page) else { return response };
    // Retry-After, WWW-Authenticate and their like stay with the refusal.
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            page.headers_mut().insert(name.clone(), value.clone());
        }
    }
    page
}

fn asks_for_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}
