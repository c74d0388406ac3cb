use super::write::Writer;
use crate::compared;
use netsonde_contract::document::Document;

/// What the other run saw differently, side by side.
pub(super) fn write(html: &mut Writer, document: &Document) {
    let Some(control) = &document.control else { return };
    html.leaf("p", &[], &compared::head(control));
    if control.differences.is_empty() {
        return;
    }
    html.element("table", &[("class", "ns-table ns-stack")], |html| {
        html.header_row(&["what", "here", "there", "evidence there"]);
        html.element("tbody", &[], |html| {
            for difference in &control.differences {
                html.element("tr", &[], |html| {
                    html.leaf("td", &[], &compared::subject(difference));
                    html.leaf("td", &[], &difference.here);
                    html.leaf("td", &[], &difference.there);
                    html.leaf("td", &[], &compared::evidence(control.bundle.short(), &difference.control_evidence));
                });
            }
        });
    });
}
