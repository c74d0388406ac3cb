use super::write::Writer;
use crate::reasoning::{Branch, tree};
use netsonde_contract::document::Document;

/// A tree for each target, to unfold.
pub(super) fn write(html: &mut Writer, document: &Document) {
    for target in tree(document) {
        html.element("details", &[("class", "ns-details")], |html| {
            html.leaf("summary", &[], &target.text);
            list(html, &target.branches);
        });
    }
}

fn list(html: &mut Writer, branches: &[Branch]) {
    html.element("ul", &[("class", "ns-reasoning")], |html| {
        for branch in branches {
            html.element("li", &[], |html| {
                html.prose(&branch.text);
                if !branch.branches.is_empty() {
                    list(html, &branch.branches);
                }
            });
        }
    });
}
