use crate::arguments::{Format, TicketWish};
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{duration, table, terminal};
use netsonde_contract::api::{TicketIssued, TicketRequest, path};
use netsonde_contract::id::CaseId;
use netsonde_contract::nearest::nearest;
use netsonde_contract::set::{Plan, Request, built_in, find_built_in};
use netsonde_contract::ticket::Ticket;
use netsonde_report::invitation::Invitation;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Makes a ticket. What was mistyped is said before the backend is asked.
pub(crate) async fn ticket(
    backend: impl FnOnce() -> Result<Backend, Stop>,
    wish: TicketWish,
    format: Format,
) -> Result<(), Stop> {
    let (request, plan) = check(wish)?;
    let backend = backend()?;
    let issued: TicketIssued = backend.post("making the ticket", path::TICKETS, &request).await?;
    let ticket = Ticket::parse(&issued.ticket).map_err(|error| {
        Stop::failed(format!("the backend answered with a ticket that cannot be read: {error}"))
            .next("check that backend and desk are of about the same version")
    })?;
    if ticket.set_sha256 != plan.set.sha256 {
        terminal::say(&format!(
            "warning: the backend's probe set `{}` differs from this program's; what the message says of it may be off",
            terminal::harmless(&ticket.set)
        ));
    }
    let invitation = Invitation { issued: &issued, backend: &backend.address(), plan: &plan };
    match format {
        Format::Json => terminal::output(&Format::json(&as_json(&invitation))?),
        Format::Human => {
            terminal::say(&format!(
                "Ticket {} for case {}, valid until {}. Send the customer what follows; it can be used once.\nTo take it back: netsonde-desk ticket revoke {}\n",
                issued.id,
                ticket.case,
                table::moment(issued.expires),
                issued.id
            ));
            terminal::output(&invitation.text())
        }
    }
}

fn as_json(invitation: &Invitation<'_>) -> Value {
    let commands: BTreeMap<String, String> =
        invitation.commands().into_iter().map(|(system, command)| (system.to_lowercase(), command)).collect();
    let issued = invitation.issued;
    json!({
        "id": issued.id,
        "ticket": issued.ticket,
        "page": issued.page,
        "expires": issued.expires,
        "commands": commands,
        "message": invitation.text(),
    })
}

/// The request, and the plan that the customer's agent will make of it.
fn check(wish: TicketWish) -> Result<(TicketRequest, Plan), Stop> {
    if CaseId::parse(&wish.case).is_none() {
        return Err(Stop::usage(format!("`{}` is no case number", terminal::harmless(&wish.case)))
            .next("use 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot"));
    }
    let names = || built_in().iter().map(|set| set.name);
    let set = find_built_in(&wish.set).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        let next = match nearest(&wish.set, names()) {
            Some(meant) => format!("did you mean --set {meant}? There are: {known}"),
            None => format!("choose one of: {known}"),
        };
        Stop::usage(format!("there is no probe set `{}`", terminal::harmless(&wish.set))).next(next)
    })?;
    let set = set.parse().map_err(|error| Stop::failed(error.to_string()).next("install netsonde-desk again"))?;
    let valid_for_s = duration::ticket_seconds(&wish.valid_for).map_err(|why| Stop::usage(why).next("give --valid-for 7d"))?;
    let parameters = parameters(&wish.parameters)?;
    let wanted = Request { targets: wish.targets.clone(), parameters: parameters.clone(), ..Request::default() };
    let plan = set.plan(&wanted).map_err(|error| {
        Stop::usage(terminal::harmless(&error.to_string()))
            .next(format!("see what the set asks for: netsonde sets show {}", set.name))
    })?;
    let request =
        TicketRequest { case: wish.case, set: set.name, targets: wish.targets, parameters, valid_for_s: Some(valid_for_s) };
    Ok((request, plan))
}

fn parameters(given: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    let mut parameters = BTreeMap::new();
    for text in given {
        let shown = terminal::harmless(text);
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Stop::usage(format!("--param {shown} has no `=`")).next("write it as NAME=VALUE, such as --param count=10")
        })?;
        if parameters.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(
                Stop::usage(format!("--param {} is given twice", terminal::harmless(name))).next("give each parameter once")
            );
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(change: impl FnOnce(&mut TicketWish)) -> TicketWish {
        let mut wish = TicketWish {
            case: "4711".into(),
            set: "web".into(),
            targets: vec!["https://shop.example/".into()],
            parameters: Vec::new(),
            valid_for: "7d".into(),
        };
        change(&mut wish);
        wish
    }

    #[test]
    fn a_sound_wish_becomes_a_request() {
        let (request, plan) = check(wish(|_| ())).unwrap();
        assert_eq!(request.valid_for_s, Some(604_800));
        assert_eq!(plan.set.name, "web");
    }

    #[test]
    fn every_slip_is_a_usage_error_with_its_next_step() {
        type Slip = fn(&mut TicketWish);
        let slips: [(Slip, &str); 8] = [
            (|wish| wish.set = "wbe".into(), "did you mean --set web"),
            (|wish| wish.set = "kubernetes".into(), "choose one of: quick, web"),
            (|wish| wish.case = "../x".into(), "letters, digits"),
            (|wish| wish.targets = Vec::new(), "netsonde sets show web"),
            (|wish| wish.targets = vec!["ftp://x".into()], "netsonde sets show web"),
            (|wish| wish.parameters = vec!["count".into()], "NAME=VALUE"),
            (|wish| wish.parameters = vec!["a=1".into(), "a=2".into()], "once"),
            (|wish| wish.valid_for = "1y".into(), "--valid-for 7d"),
        ];
        for (slip, expected) in slips {
            let stop = check(wish(slip)).err().unwrap();
            assert_eq!(stop.exit, crate::stop::USAGE);
            assert!(stop.next.as_deref().is_some_and(|next| next.contains(expected)), "{expected}: {stop:?}");
        }
    }
}
