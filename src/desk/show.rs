use crate::arguments::Format;
use crate::backend::Backend;
use crate::fetch::intact;
use crate::stop::Stop;
use crate::{table, terminal};
use netsonde_contract::api::{BundleSummary, CaseDetail, path};
use netsonde_contract::bundle::{Bundle, file_name};
use netsonde_contract::document::Document;
use netsonde_contract::id::CaseId;
use netsonde_report::text::{self, Depth, Style};
use serde_json::json;

pub(crate) struct Wish {
    pub(crate) case: String,
    pub(crate) bundle: Option<String>,
    pub(crate) depth: Depth,
}

/// Shows a case. The bundle is verified here and read here: nothing of it is taken from the backend's word.
pub(crate) async fn show(backend: &Backend, wish: &Wish, format: Format) -> Result<(), Stop> {
    let case = CaseId::parse(&wish.case).ok_or_else(|| {
        Stop::usage(format!("`{}` is no case number", terminal::harmless(&wish.case)))
            .next("see `netsonde-desk cases` for what there is")
    })?;
    let detail: CaseDetail = backend.get("reading the case", &path::case(&case)).await?;
    let document = match chosen(&detail, wish.bundle.as_deref())? {
        Some(summary) => Some(document(&intact(&summary.id, &backend.bundle(&summary.id).await?)?)?),
        None => None,
    };
    match format {
        Format::Json => terminal::output(&Format::json(&json!({"case": detail, "document": document}))?),
        Format::Human => terminal::output(&human(&detail, document.as_ref(), wish.depth)),
    }
}

/// The newest bundle, or the one that the given digits begin; none where the case has none yet.
fn chosen<'a>(detail: &'a CaseDetail, digits: Option<&str>) -> Result<Option<&'a BundleSummary>, Stop> {
    let Some(digits) = digits else { return Ok(detail.bundles.first()) };
    let shown = terminal::harmless(digits);
    let mut fitting = detail.bundles.iter().filter(|bundle| bundle.id.as_str().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(bundle), None) => Ok(Some(bundle)),
        (Some(_), Some(_)) => {
            Err(Stop::usage(format!("more than one bundle of the case begins with `{shown}`")).next("give more digits of its id"))
        }
        (None, _) => Err(Stop::usage(format!("the case has no bundle `{shown}`"))
            .next(format!("see what it has: netsonde-desk show {}", terminal::harmless(detail.case.id.as_str())))),
    }
}

/// What the customer's agent found. Where its findings were withheld, this program finds its own in what was measured.
pub(crate) fn document(bundle: &Bundle) -> Result<Document, Stop> {
    let mut document = bundle.document().map_err(|refusal| {
        Stop::failed(format!("the bundle is intact, but cannot be read: {}", terminal::harmless(&refusal.to_string())))
            .next("update netsonde-desk, or fetch the bundle and read its report.html")
    })?;
    if !bundle.files.contains_key(file_name::FINDINGS) {
        let diagnosis = netsonde_diagnosis::diagnose(&document.outcomes, &document.environment);
        document.state = diagnosis.state;
        document.findings = diagnosis.findings;
        document.unexplained = diagnosis.unexplained;
        document.not_measured = diagnosis.not_measured;
    }
    Ok(document)
}

fn human(detail: &CaseDetail, document: Option<&Document>, depth: Depth) -> String {
    let case = &detail.case;
    let mut shown = format!(
        "Case {}, opened {}, updated {}\n\n",
        terminal::harmless(case.id.as_str()),
        table::moment(case.opened),
        table::moment(case.updated)
    );
    match document {
        Some(document) => {
            let style = Style { colour: terminal::output_colour(), width: terminal::output_width(), depth };
            shown += &text::render(document, style);
        }
        None => shown += "No bundle has come in yet.\n",
    }
    if !detail.bundles.is_empty() {
        let rows: Vec<Vec<String>> = detail.bundles.iter().map(bundle_row).collect();
        shown += &format!("\n{}", table::table(&["bundle", "received", "size", "set", "state", "causes"], &rows));
    }
    if !detail.tickets.is_empty() {
        let row = |ticket: &netsonde_contract::api::TicketSummary| {
            vec![
                ticket.id.to_string(),
                ticket.state.as_str().to_owned(),
                table::moment(ticket.expires),
                terminal::harmless(&ticket.set),
                terminal::harmless(&ticket.targets.join(", ")),
            ]
        };
        let rows: Vec<Vec<String>> = detail.tickets.iter().map(row).collect();
        shown += &format!("\n{}", table::table(&["ticket", "state", "expires", "set", "targets"], &rows));
    }
    shown
}

fn bundle_row(bundle: &BundleSummary) -> Vec<String> {
    let key = if bundle.known { "" } else { " (key not known)" };
    vec![
        terminal::harmless(bundle.id.as_str()),
        table::moment(bundle.received),
        table::size(bundle.size_bytes),
        terminal::harmless(&bundle.set),
        format!("{}{key}", table::state(bundle.state)),
        terminal::harmless(&bundle.causes.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::api::CaseSummary;
    use netsonde_contract::finding::State;
    use netsonde_contract::id::BundleId;

    fn detail(ids: &[&str]) -> CaseDetail {
        let at = Timestamp::UNIX_EPOCH;
        let summary = |id: &&str| BundleSummary {
            id: BundleId::new(*id),
            received: at,
            size_bytes: 1,
            ticket: None,
            set: "web".into(),
            state: State::Explained,
            causes: vec!["tls.expired\u{1b}".into()],
            key_id: String::new(),
            known: false,
        };
        let case =
            CaseSummary { id: CaseId::new("4711"), opened: at, updated: at, bundles: 0, state: None, cause: None, watched: None };
        CaseDetail { case, bundles: ids.iter().map(summary).collect(), tickets: Vec::new() }
    }

    #[test]
    fn digits_choose_one_bundle_or_say_why_not() {
        let detail = detail(&["abc1", "abd2"]);
        assert_eq!(chosen(&detail, None).unwrap().unwrap().id.as_str(), "abc1");
        assert_eq!(chosen(&detail, Some("abd")).unwrap().unwrap().id.as_str(), "abd2");
        assert!(chosen(&detail, Some("ab")).unwrap_err().message.contains("more than one"));
        assert!(chosen(&detail, Some("f")).unwrap_err().next.unwrap().contains("show 4711"));
    }

    #[test]
    fn a_case_without_a_bundle_says_so_and_foreign_text_is_harmless() {
        assert!(human(&detail(&[]), None, Depth::default()).contains("No bundle has come in yet."));
        let shown = human(&detail(&["abc1"]), None, Depth::default());
        assert!(shown.contains("tls.expired\\x1b") && shown.contains("key not known"), "{shown}");
    }
}
