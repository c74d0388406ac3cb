mod certificates;
mod checks;
mod compared;
mod dns;
mod environment;
mod finding;
mod past;
mod path;
mod raw;
mod reasoning;
mod rtt;
mod waterfall;
pub(crate) mod write;

/// Parts of the page, for a page that is already there.
pub mod fragment;

use crate::words;
use netsonde_contract::document::Document;
use netsonde_contract::finding::State;
use netsonde_contract::history::History;
use netsonde_contract::target::Target;
use write::Writer;

/// The style of every fragment, to stand in the page's `<style>`. Every class begins with `ns-`.
pub const STYLE: &str = include_str!("style.css");

/// The style of the page around the fragments.
const PAGE_STYLE: &str = include_str!("page.css");

/// Nothing may be loaded, run, framed or sent from the page, even if an escape were missed somewhere.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole report as one file that opens anywhere: no scripts, nothing loaded from elsewhere, prints well.
pub fn page(document: &Document) -> String {
    page_after(document, None)
}

/// The same, with what was measured before the run.
pub fn page_after(document: &Document, history: Option<&History>) -> String {
    let mut html = Writer::default();
    html.own("<!DOCTYPE html>\n<html lang=\"en\">\n");
    html.element("head", &[], |html| {
        html.own("<meta charset=\"utf-8\">\n");
        html.element("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)], |_| {});
        html.own("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.own("<meta name=\"color-scheme\" content=\"light dark\">\n");
        html.leaf("title", &[], &format!("{} · {} · netsonde", title(document), words::verdict(document)));
        html.element("style", &[], |html| {
            html.own(STYLE);
            html.own(PAGE_STYLE);
        });
    });
    html.element("body", &[], |html| {
        head(html, document);
        html.element("main", &[], |html| {
            before(html, history);
            sections(html, document);
        });
        html.element("footer", &[("class", "page-foot")], |html| {
            let version = &document.environment.version;
            html.leaf("p", &[], &format!("Made by netsonde {version} from run {}.", document.run.id));
        });
    });
    html.own("</html>\n");
    html.finish()
}

fn title(document: &Document) -> String {
    let targets: Vec<String> = document.run.targets.iter().map(Target::shown).collect();
    if targets.is_empty() { document.run.set.name.clone() } else { targets.join(", ") }
}

fn head(html: &mut Writer, document: &Document) {
    let state = match document.state {
        State::AsExpected => "ns-verdict ns-ok",
        State::Explained | State::Unexplained => "ns-verdict ns-problem",
        State::Indeterminate => "ns-verdict ns-degraded",
    };
    html.element("header", &[("class", "page-head")], |html| {
        html.leaf("p", &[("class", "page-kind")], "Network diagnosis by netsonde");
        html.leaf("h1", &[], &title(document));
        html.leaf("p", &[("class", state)], &words::verdict(document));
        for limit in words::limits(document) {
            html.leaf("p", &[("class", "ns-limit")], &limit);
        }
        html.pairs(&words::run(document));
    });
}

/// A part of the page: its heading, and what makes its content, empty where there is nothing to show.
type Section = (&'static str, fn(&Document) -> String);

/// In reading order; those in one row stand side by side where the page is wide enough.
const ROWS: &[&[Section]] = &[
    &[("Findings", fragment::findings)],
    &[("How this was concluded", fragment::reasoning)],
    &[("Against the control", fragment::compared)],
    &[("Path", fragment::path), ("Round-trip times", fragment::rtt)],
    &[("Requests", fragment::waterfall)],
    &[("Name lookups", fragment::dns)],
    &[("Certificates", fragment::certificates)],
    &[("Checks", fragment::checks)],
    &[("Machine", fragment::environment)],
    &[("Raw facts", fragment::raw)],
];

/// First of all: since when it is so is what everybody asks first.
fn before(html: &mut Writer, history: Option<&History>) {
    let content = history.map(fragment::history).unwrap_or_default();
    if content.is_empty() {
        return;
    }
    html.element("div", &[("class", "page-row")], |html| {
        html.element("section", &[], |html| {
            html.leaf("h2", &[], "Before this run");
            html.own(&content);
        });
    });
}

fn sections(html: &mut Writer, document: &Document) {
    for row in ROWS {
        let filled = row.iter().map(|(heading, make)| (heading, make(document))).filter(|(_, content)| !content.is_empty());
        let filled: Vec<_> = filled.collect();
        if !filled.is_empty() {
            html.element("div", &[("class", "page-row")], |html| {
                for (heading, content) in filled {
                    html.element("section", &[], |html| {
                        html.leaf("h2", &[], heading);
                        html.own(&content);
                    });
                }
            });
        }
    }
}
