use super::write::{Writer, coordinate};
use crate::{facts, shown, units};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Exchange, Fact};
use netsonde_contract::outcome::Outcome;

/// Width of a bar's drawing in its own units; it is stretched to the page.
const WIDTH: f64 = 1_000.0;
/// A phase that took no time worth drawing is still seen.
const MIN_WIDTH: f64 = 2.0;

/// Class of each phase's bar and swatch.
const CLASSES: &[(&str, &str)] = &[
    ("resolve", "ns-phase-resolve"),
    ("connect", "ns-phase-connect"),
    ("TLS", "ns-phase-tls"),
    ("send", "ns-phase-send"),
    ("first byte", "ns-phase-first"),
    ("body", "ns-phase-body"),
];

pub(super) fn write(html: &mut Writer, document: &Document) {
    for outcome in &document.outcomes {
        let requests = requests(outcome);
        if !requests.is_empty() {
            chain(html, outcome, &requests);
        }
    }
}

/// One request with its place on the chain's time axis.
struct Request<'a> {
    exchange: &'a Exchange,
    began_us: u64,
    phases: Vec<(&'static str, u64)>,
}

impl Request<'_> {
    fn took_us(&self) -> u64 {
        self.phases.iter().fold(0, |sum, (_, us)| sum.saturating_add(*us))
    }
}

fn requests(outcome: &Outcome) -> Vec<Request<'_>> {
    let mut requests: Vec<Request<'_>> = Vec::new();
    let mut origin_us = None;
    for observation in shown::observations(outcome) {
        if let Fact::Exchange(exchange) = &observation.fact {
            let origin_us = *origin_us.get_or_insert(observation.at_us);
            let began_us = observation.at_us.saturating_sub(origin_us);
            requests.push(Request { exchange, began_us, phases: facts::phases(&exchange.phases) });
        }
    }
    requests
}

fn chain(html: &mut Writer, outcome: &Outcome, requests: &[Request<'_>]) {
    let end_us = requests.iter().map(|request| request.began_us.saturating_add(request.took_us())).max().unwrap_or(0);
    html.element("figure", &[("class", "ns-figure ns-wide")], |html| {
        let count = units::counted(requests.len(), "request", "requests");
        let caption = format!("{}: {count}, from 0 to {} on one time axis.", outcome.check, units::duration(end_us));
        html.leaf("figcaption", &[], &caption);
        html.element("ol", &[("class", "ns-requests")], |html| {
            for request in requests {
                html.element("li", &[], |html| row(html, request, end_us));
            }
        });
    });
}

fn row(html: &mut Writer, request: &Request<'_>, end_us: u64) {
    html.element("p", &[("class", "ns-request")], |html| {
        let status = request.exchange.status.map_or("no answer".to_owned(), |status| status.to_string());
        let fine = request.exchange.failure.is_none()
            && request.exchange.redirect_stopped.is_none()
            && request.exchange.status.is_some_and(|status| request.exchange.expected || (300..400).contains(&status));
        let class = if fine { "ns-state ns-ok" } else { "ns-state ns-problem" };
        html.leaf("span", &[("class", class)], &status);
        html.text(" ");
        html.leaf("span", &[("class", "ns-url")], &format!("{} {}", request.exchange.method, request.exchange.url));
        let address = request.exchange.address.map_or(String::new(), |address| format!(" at {address}"));
        html.leaf("span", &[("class", "ns-muted")], &format!("{address} {}", units::duration(request.took_us())));
        if let Some(failure) = &request.exchange.failure {
            html.text(" ");
            html.leaf("span", &[("class", "ns-problem")], &facts::short_failure(failure));
        }
    });
    if request.phases.is_empty() {
        return;
    }
    html.element(
        "svg",
        &[("class", "ns-bar"), ("viewBox", "0 0 1000 20"), ("preserveAspectRatio", "none"), ("role", "img")],
        |html| {
            html.leaf("title", &[], "Phases of the request");
            let listed: Vec<String> =
                request.phases.iter().map(|(name, us)| format!("{name} {}", units::duration(*us))).collect();
            html.leaf("desc", &[], &format!("Begins at {}: {}.", units::duration(request.began_us), listed.join(", ")));
            html.shape("rect", &[("class", "ns-bar-back"), ("x", "0"), ("y", "0"), ("width", "1000"), ("height", "20")]);
            // Microseconds of one run are far below 2^53: exact in a float.
            let at = |us: u64| WIDTH * us as f64 / end_us.max(1) as f64;
            let mut from_us = request.began_us;
            for (name, us) in &request.phases {
                let [x, width] = [at(from_us), at(*us).max(MIN_WIDTH)].map(coordinate);
                html.shape("rect", &[("class", class(name)), ("x", &x), ("y", "2"), ("width", &width), ("height", "16")]);
                from_us = from_us.saturating_add(*us);
            }
        },
    );
    html.element("ul", &[("class", "ns-phases")], |html| {
        for (name, us) in &request.phases {
            html.element("li", &[], |html| {
                html.element("svg", &[("class", "ns-swatch"), ("viewBox", "0 0 10 10"), ("aria-hidden", "true")], |html| {
                    html.shape("rect", &[("class", class(name)), ("width", "10"), ("height", "10")]);
                });
                html.text(&format!("{name} {}", units::duration(*us)));
            });
        }
    });
}

fn class(phase: &str) -> &'static str {
    CLASSES.iter().find(|(name, _)| *name == phase).map_or("ns-phase", |(_, class)| class)
}
