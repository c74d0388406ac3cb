use super::{DIM, PLAIN, Sheet, YELLOW, heading, pairs};
use crate::compared;
use netsonde_contract::document::Document;

/// What the other run saw differently, side by side.
pub(super) fn compared(sheet: &mut Sheet, document: &Document) {
    let Some(control) = &document.control else { return };
    heading(sheet, "Against the control");
    sheet.paragraph(2, PLAIN, &compared::head(control));
    for difference in &control.differences {
        sheet.blank();
        sheet.paragraph(2, YELLOW, &compared::subject(difference));
        pairs(sheet, 4, &[("here", difference.here.clone()), ("there", difference.there.clone())]);
        sheet.paragraph(4, DIM, &compared::evidence(control.bundle.short(), &difference.control_evidence));
    }
}
