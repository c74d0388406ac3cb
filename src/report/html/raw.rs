use super::write::Writer;
use netsonde_contract::document::Document;

pub(super) fn write(html: &mut Writer, document: &Document) {
    for outcome in &document.outcomes {
        // An outcome came from JSON or is going there; one that cannot is left out rather than the whole report.
        let Ok(json) = serde_json::to_string_pretty(outcome) else { continue };
        html.element("details", &[("class", "ns-details ns-raw")], |html| {
            html.leaf("summary", &[], &format!("{}: JSON", outcome.check));
            html.element("pre", &[], |html| html.lines(&json));
        });
    }
}
