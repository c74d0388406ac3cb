//! Each part of the page on its own: escaped HTML without a heading, to be styled by [`super::STYLE`]. Where a run has nothing of
//! the kind, the fragment is empty, so that a page can leave out its heading too.

use super::write::Writer;
use netsonde_contract::document::Document;
use netsonde_contract::history::History;

/// Findings, unexplained failures and what was not measured.
pub fn findings(document: &Document) -> String {
    made(document, super::finding::write)
}

/// How the conclusion was reached, as a tree to unfold.
pub fn reasoning(document: &Document) -> String {
    made(document, super::reasoning::write)
}

/// What the other run saw differently, where the diagnosis was held against one.
pub fn compared(document: &Document) -> String {
    made(document, super::compared::write)
}

/// A drawing of each path, the place of the fault marked.
pub fn path(document: &Document) -> String {
    made(document, super::path::write)
}

/// Every HTTP request on its chain's time axis, by phases.
pub fn waterfall(document: &Document) -> String {
    made(document, super::waterfall::write)
}

/// Round-trip times of every series of echo requests.
pub fn rtt(document: &Document) -> String {
    made(document, super::rtt::write)
}

/// Every question to every name server.
pub fn dns(document: &Document) -> String {
    made(document, super::dns::write)
}

/// Every certificate chain with its dates and the trust stores' verdicts.
pub fn certificates(document: &Document) -> String {
    made(document, super::certificates::write)
}

/// Every check with its result, and its observations to unfold.
pub fn checks(document: &Document) -> String {
    made(document, super::checks::write)
}

/// The machine and the program that measured.
pub fn environment(document: &Document) -> String {
    made(document, super::environment::write)
}

/// The checks as they stand in the bundle, to unfold.
pub fn raw(document: &Document) -> String {
    made(document, super::raw::write)
}

/// What was measured before the run: when it began, a line a check, the changes marked.
pub fn history(history: &History) -> String {
    let mut html = Writer::default();
    super::past::write(&mut html, history);
    html.finish()
}

fn made(document: &Document, write: fn(&mut Writer, &Document)) -> String {
    let mut html = Writer::default();
    write(&mut html, document);
    html.finish()
}
