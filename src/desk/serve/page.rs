//! What the pages say. Everything that comes from elsewhere passes [`escape`].

use crate::orders;
use crate::stop::Stop;
use crate::{agents, labels, table};
use netsonde_contract::api::fleet::{AgentSummary, KeptDraft, OrderDetail};
use netsonde_contract::harmless::clean;
use netsonde_contract::id::OrderId;
use netsonde_contract::set::built_in;
use std::path::Path;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
    pre{background:#f4f4f4;padding:1rem;overflow-x:auto;white-space:pre-wrap}label{display:block;margin:.6rem 0}\
    input,select{font:inherit;width:100%}input[type=checkbox]{width:auto}td,th{text-align:left;padding:.2rem .8rem .2rem 0}\
    button{font:inherit;padding:.4rem 1.2rem}";
/// More agents than this are chosen by their labels.
const MAX_LISTED: usize = 200;
/// How often the page of a running order is fetched again, in seconds.
const REFRESH: u32 = 2;

/// The list of drafts, and the form.
pub(super) fn start(token: &str, drafts: &[KeptDraft], known: &[AgentSummary]) -> String {
    let mut body = String::from("<h1>Orders</h1><h2>Drafts</h2>");
    if drafts.is_empty() {
        body += "<p>There are none. Draft one on a case's page, or below.</p>";
    }
    for kept in drafts {
        let draft = &kept.draft;
        body += &format!(
            "<p><a href=\"/{token}/drafts/{}\">case {}: {} {}</a>, by {}, {}</p>",
            escape(&kept.id),
            escape(draft.case.as_str()),
            escape(draft.set.lines().next().unwrap_or_default()),
            escape(&draft.targets.join(" ")),
            escape(&draft.requester),
            table::moment(kept.made)
        );
    }
    body += &form(token, known);
    document("Orders", "", &body)
}

/// What is seldom filled in: as the options of `trigger`.
const MORE: [(&str, &str); 11] = [
    ("expires", "Until when agents may begin, such as 30m or 4h; 24h at most, 1h unless given"),
    ("requester", "Who asks, for the person at the machine; the key's comment unless given"),
    ("waves", "Waves: how many agents at first, then, and so on, such as 1 10; the rest comes last, 0 is all at once"),
    ("stop_at", "The next wave waits where more than this share of the last one failed, in percent"),
    ("spread", "Each agent begins within so many seconds, at a moment of its own"),
    ("bytes", "What each agent may send and receive at most, such as 10MB"),
    ("every", "A schedule: run it again and again, such as every 5m"),
    ("for", "… for so long, such as 7d; 30d at most"),
    ("deep", "… with this set at once for a target that becomes failing: a name of the catalogue"),
    ("with", "This agent answers the test packets of the others meanwhile (set reflect)"),
    ("answering", "… of these addresses only: the measuring agents', as it sees them"),
];

fn form(token: &str, known: &[AgentSummary]) -> String {
    let sets: String = built_in().iter().map(|set| format!("<option>{}</option>", escape(set.name))).collect();
    let row = |agent: &AgentSummary| {
        format!(
            "<label><input type=\"checkbox\" name=\"agent\" value=\"{}\"> {} {} {} ({})</label>",
            escape(agent.id.as_str()),
            escape(agent.id.short()),
            escape(agent.host_name.as_deref().unwrap_or_default()),
            escape(&labels::shown(&agent.labels)),
            escape(&agents::orders(agent))
        )
    };
    let rows: String = known.iter().filter(|agent| !agent.revoked).take(MAX_LISTED).map(row).collect();
    let field = |name: &str, title: &str| format!("<label>{title}<input name=\"{name}\" autocomplete=\"off\"></label>");
    let more: String = MORE.iter().map(|(name, title)| field(name, title)).collect();
    format!(
        "<h2>New order</h2><form method=\"post\" action=\"/{token}/orders\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <label>Probe set<select name=\"set\">{sets}</select></label>{}{}{}{}{}{rows}<details><summary>Expiry, waves, schedule, two agents</summary>{more}</details><button>Show what will run</button></form>",
        field("case", "Case"),
        field("targets", "Targets, with spaces between"),
        field("parameters", "Parameters as NAME=VALUE, with spaces between"),
        field("reason", "Why, for the person at the machine"),
        field("labels", "All agents with these labels, as NAME=VALUE")
    )
}

/// What will run, and the button that signs exactly that.
pub(super) fn confirm(token: &str, id: &OrderId, text: &str) -> String {
    let body = format!(
        "<h1>Sign this order?</h1><pre>{}</pre><form method=\"post\" action=\"/{token}/sign\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <input type=\"hidden\" name=\"order\" value=\"{}\"><button>Sign and submit</button></form><p><a href=\"/{token}/\">Back</a></p>",
        escape(text),
        escape(id.as_str())
    );
    document("Sign this order?", "", &body)
}

/// What becomes of an order; the page fetches itself again until nothing more can follow.
pub(super) fn order(token: &str, detail: &OrderDetail, backend: &str) -> String {
    let rows: String = detail
        .deliveries
        .iter()
        .map(|delivery| {
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}/{}</td><td>{}</td></tr>",
                escape(delivery.agent.short()),
                delivery.state.name(),
                delivery.checks_done,
                delivery.checks_planned,
                escape(delivery.detail.as_deref().unwrap_or_default())
            )
        })
        .collect();
    let case = escape(detail.order.case.as_str());
    let body = format!(
        "<h1>Order {}</h1><p>{} {}: {}</p><table><tr><th>agent</th><th>state</th><th>checks</th><th>why</th></tr>{rows}</table>\
         <p>Results: <a href=\"{}/cases/{case}\" rel=\"noreferrer\">case {case}</a></p><p><a href=\"/{token}/\">Back</a></p>",
        escape(detail.order.id.as_str()),
        escape(&detail.order.set),
        escape(&detail.order.targets.join(" ")),
        escape(&orders::states(&detail.order)),
        escape(backend)
    );
    let is_over = detail.deliveries.iter().all(|delivery| delivery.state.is_final());
    let again = if is_over { String::new() } else { format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">") };
    document("Order", &again, &body)
}

/// More engineers must sign.
pub(super) fn kept(token: &str, file: &Path, signed: usize, needed: usize) -> String {
    let file = escape(&file.display().to_string());
    let body = format!(
        "<h1>{signed} of {needed} signatures</h1><p>The order is in <code>{file}</code>. A second engineer shows and signs it with \
         <code>netsonde-desk sign {file}</code> before it expires.</p><p><a href=\"/{token}/\">Back</a></p>"
    );
    document("More signatures", "", &body)
}

/// Signed, and not submitted.
pub(super) fn unsent(token: &str, id: &OrderId, stop: &Stop) -> String {
    let id = escape(id.as_str());
    let next = stop.next.as_deref().map_or_else(String::new, |next| format!("<p>{}</p>", escape(next)));
    let body = format!(
        "<h1>Signed, and not submitted</h1><p>{}</p>{next}<p>Order {id} is kept here with its signature until this command ends. The backend takes it once, \
         however often it is sent.</p><form method=\"post\" action=\"/{token}/send\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <input type=\"hidden\" name=\"order\" value=\"{id}\"><button>Send it again</button></form><p><a href=\"/{token}/\">Back</a></p>",
        escape(&stop.message)
    );
    document("Not submitted", "", &body)
}

pub(super) fn stop(token: &str, stop: &Stop) -> String {
    let next = stop.next.as_deref().map_or_else(String::new, |next| format!("<p>{}</p>", escape(next)));
    document(
        "Not done",
        "",
        &format!("<h1>Not done</h1><p>{}</p>{next}<p><a href=\"/{token}/\">Back</a></p>", escape(&stop.message)),
    )
}

/// For whoever may be a stranger: it names nothing.
pub(super) fn plain(why: &str) -> String {
    document("netsonde-desk", "", &format!("<p>{}</p>", escape(why)))
}

fn document(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>{head}<style>{STYLE}</style></head><body>{body}</body></html>"
    )
}

/// Text for an element or a quoted attribute, without what would disguise other text.
fn escape(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| clean(line).into_owned()).collect();
    lines.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_is_text_and_nothing_else() {
        let page = confirm("t", &OrderId::from_bytes([1; 16]), "<script>alert(1)</script>\n\u{202e}\"'");
        assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\n"), "{page}");
    }
}
