//! What a run would do, what it would cost and what would leave the machine: said before anything is sent.

use crate::follow_up::{MAX_FOLLOW_UPS, MAX_PACKETS};
use netsonde_contract::kind::Kind;
use netsonde_contract::redaction::Level;
use netsonde_contract::set::Plan;
use netsonde_contract::size;
use netsonde_contract::ticket::Ticket;
use netsonde_report::cost::cost;
use std::fmt::Write;

/// The plan and its checks in plain words.
pub(crate) fn describe(plan: &Plan, level: Level, ticket: Option<&Ticket>, will_upload: bool, follow_up: bool) -> String {
    let mut text = String::new();
    let targets: Vec<String> = plan.targets.iter().map(ToString::to_string).collect();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "Probe set {} (version {}): {}", plan.set.name, plan.set.version, plan.question);
    if !targets.is_empty() {
        let _ = writeln!(text, "  targets   {}", targets.join(", "));
    }
    let bytes = plan.bytes.map_or_else(String::new, |bytes| format!(", and sends and receives at most {}", size::words(bytes)));
    let _ = writeln!(text, "  takes     at most {} s{bytes}", plan.budget.as_secs_f64());
    if let Some(ticket) = ticket {
        let _ = writeln!(text, "  case      {}", ticket.case);
        let _ = writeln!(text, "  ticket    {}, valid until {}", ticket.id, ticket.expires);
    }
    let _ = writeln!(text, "Checks, and what each sends at most:");
    for check in &plan.checks {
        let need = if check.required { "required" } else { "supporting" };
        let _ = writeln!(text, "  {:<12} {:<10} {:<10} {}", check.id.as_str(), check.params.kind().name(), need, cost(check));
    }
    if follow_up {
        let _ = writeln!(
            text,
            "May ask up to {MAX_FOLLOW_UPS} follow-ups, of at most {MAX_PACKETS} packets together, where several causes remain possible:\n  only to the addresses, hosts and name servers above, within the same time (--no-follow-up asks none)"
        );
    }
    text.push_str(&leaving(level, ticket, will_upload));
    text
}

/// What a measurement under load transfers at most, which a person may pay for: said before it begins. Nothing where nothing is loaded.
pub(crate) fn load_ahead(plan: &Plan) -> Vec<String> {
    let loads = plan.checks.iter().filter(|check| check.params.kind() == Kind::Load);
    loads
        .map(|check| {
            format!(
                "netsonde: the check `{}` fills the way to its target: {} (--max-bytes sets the bound)",
                check.id,
                cost(check)
            )
        })
        .collect()
}

fn leaving(level: Level, ticket: Option<&Ticket>, will_upload: bool) -> String {
    let taken_out = match level {
        Level::None => "  nothing is taken out of it (--redact none)",
        Level::Default => {
            "  with     names and addresses of what is measured; this machine's name, interfaces, resolvers, proxies\n  without  credentials, cookies, query strings, tokens, user names, contents of pages"
        }
        Level::Strict => "  with names and addresses replaced by tokens that only this machine can resolve",
    };
    let destination = match ticket.filter(|_| will_upload) {
        Some(ticket) => {
            let how = if ticket.tls_pin.is_some() { ", known by the key in the ticket" } else { "" };
            format!("It is sent once, to {}{how}.", ticket.backend)
        }
        None => "It is not sent anywhere.".to_owned(),
    };
    format!("The result is one signed file:\n{taken_out}\n{destination}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::set::{Request, built_in};
    use netsonde_contract::target::TargetForm;

    /// The deadline of a check is no measure of how long it loads a line that somebody pays for.
    #[test]
    fn a_load_is_announced_with_its_own_time() {
        let set = built_in().iter().map(|set| set.parse().unwrap()).find(|set| set.name == "load").unwrap();
        let plan = set.plan(&Request { targets: vec!["https://shop.example/".to_owned()], ..Request::default() }).unwrap();
        let [line] = &load_ahead(&plan)[..] else { panic!() };
        assert!(line.starts_with("netsonde: the check `load` fills the way to its target: at most 1"), "{line}");
        assert!(line.contains("110 small measurements (11 s)"), "{line}");
    }

    #[test]
    fn every_check_is_named_with_what_it_sends() {
        for set in built_in() {
            let set = set.parse().unwrap();
            let target =
                set.target.map(|form| if form == TargetForm::Url { "https://shop.example/?card=1" } else { "shop.example:443" });
            let needed = set.parameters.iter().filter(|own| own.default.is_none());
            let parameters = needed.map(|own| (own.name.clone(), "mysql".to_owned())).collect();
            let request = Request { targets: target.into_iter().map(str::to_owned).collect(), parameters, ..Request::default() };
            let plan = set.plan(&request).unwrap();
            let text = describe(&plan, Level::Default, None, false, true);
            for check in &plan.checks {
                assert!(
                    text.contains(&format!("  {:<12} {:<10} ", check.id.as_str(), check.params.kind().name())),
                    "{}: {text}",
                    set.name
                );
            }
            assert!(text.contains("not sent anywhere"), "{text}");
        }
    }
}
