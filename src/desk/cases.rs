use crate::arguments::Format;
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{table, terminal};
use netsonde_contract::api::{CaseSummary, WatchedCase, path};

pub(crate) async fn cases(backend: &Backend, format: Format) -> Result<(), Stop> {
    let cases: Vec<CaseSummary> = backend.get("listing the cases", path::CASES).await?;
    match format {
        Format::Json => terminal::output(&Format::json(&cases)?),
        Format::Human if cases.is_empty() => {
            terminal::output("There are no cases yet: the first ticket opens one (netsonde-desk ticket --case … --set …).\n")
        }
        Format::Human => {
            terminal::output(&table::table(&["case", "updated", "bundles", "state", "cause", "watches"], &rows(&cases)))
        }
    }
}

/// What a case that was opened by itself watches, and how that is.
fn watches(case: &WatchedCase) -> String {
    let subject = case.target.as_ref().unwrap_or(&case.schedule);
    terminal::harmless(&format!("{subject} {}", case.state))
}

fn rows(cases: &[CaseSummary]) -> Vec<Vec<String>> {
    let row = |case: &CaseSummary| {
        vec![
            terminal::harmless(case.id.as_str()),
            table::moment(case.updated),
            case.bundles.to_string(),
            case.state.map_or("waiting", table::state).to_owned(),
            case.cause.as_deref().map_or(String::new(), terminal::harmless),
            case.watched.as_ref().map_or(String::new(), watches),
        ]
    };
    cases.iter().map(row).collect()
}
