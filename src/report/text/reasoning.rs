use super::{BOLD, Column, DIM, PLAIN, Sheet, heading};
use crate::reasoning::{Branch, tree};
use netsonde_contract::document::Document;

/// Columns by which each level of the tree stands further in.
const STEP: usize = 2;

/// The tree of the conclusion, a line a branch.
pub(super) fn reasoning(sheet: &mut Sheet, document: &Document) {
    heading(sheet, "Reasoning");
    for target in tree(document) {
        sheet.paragraph(STEP, BOLD, &target.text);
        for layer in &target.branches {
            branch(sheet, layer, STEP);
        }
    }
}

fn branch(sheet: &mut Sheet, branch_of: &Branch, indent: usize) {
    let indent = if sheet.is_narrow() { STEP } else { indent + STEP };
    sheet.hanging(
        &[Column::new("", indent).space(0), Column::new("-", 1).space(1).paint(DIM)],
        indent + 2,
        PLAIN,
        &branch_of.text,
    );
    for below in &branch_of.branches {
        branch(sheet, below, indent);
    }
}
