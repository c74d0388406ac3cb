use super::{MappingKey, Redaction, redact};
use crate::bundling::user_names;
use netsonde_contract::document::Document;
use netsonde_contract::redaction::RedactionReport;
use std::sync::Arc;

/// How much is taken out of what is printed: as much as of the bundle, since both end up in tickets and mails.
#[derive(Clone)]
pub(crate) enum Printed {
    /// Somebody asked for all of it (`--redact none`), or nothing is printed.
    Whole,
    Default,
    Strict(Arc<MappingKey>),
}

impl Printed {
    pub(crate) fn redaction(&self) -> Redaction<'_> {
        match self {
            Self::Whole => Redaction::None,
            Self::Default => Redaction::Default,
            Self::Strict(key) => Redaction::Strict(key),
        }
    }

    /// The document as it may be printed, and what went.
    pub(crate) fn of(&self, document: &Document) -> (Document, RedactionReport) {
        redact(document, self.redaction(), &user_names())
    }
}

/// Says that something was left out, and how to see it; nothing where nothing was.
pub(crate) fn remark(report: &RedactionReport) -> Option<String> {
    let count: u64 = report.removed.values().sum();
    let values = if count == 1 { "value was" } else { "values were" };
    let which: Vec<String> =
        report.removed.iter().map(|(reason, count)| format!("{} {count}", reason.replace('_', " "))).collect();
    (count > 0).then(|| {
        let which = which.join(", ");
        format!("netsonde: {count} {values} left out that may be secret ({which}); --redact none prints all")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::redaction::Level;

    #[test]
    fn what_was_left_out_is_said_by_its_kind() {
        let removed = [("banner".to_owned(), 1), ("query_string".to_owned(), 2)].into();
        let said = remark(&RedactionReport { level: Level::Default, removed }).unwrap();
        assert_eq!(
            said,
            "netsonde: 3 values were left out that may be secret (banner 1, query string 2); --redact none prints all"
        );
        assert_eq!(remark(&RedactionReport { level: Level::Default, removed: [].into() }), None);
    }
}
