use super::pause::instead;
use super::state_option::StateOption;
use crate::identity::Home;
use crate::orders::{Answer, Answers, Book, Record};
use crate::preview;
use crate::standing::Shelf;
use crate::state::{StateDirectory, default_path, path_of_service};
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Subcommand;
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::document::SetReference;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::harmless::clean;
use netsonde_contract::id::AgentId;
use netsonde_contract::order::{Deep, Order, RefusalCode};
use netsonde_contract::redaction::Level;
use netsonde_contract::set::{Plan, PlannedCheck, ProbeSet, Request, Way, name_taken_by};
use netsonde_report::cost::{aims, cost};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Words to the engineer are a line.
const MAX_WORDS: usize = 300;

#[derive(Subcommand)]
pub(super) enum OrdersCommand {
    /// Lists the orders that came, the newest first.
    #[command(after_help = "Example:\n  netsonde orders list")]
    List {
        #[command(flatten)]
        state: StateOption,
    },
    /// Shows one order: who asks, what it would do, what became of it.
    #[command(after_help = "Example:\n  netsonde orders show 0f3a9c21")]
    Show {
        /// The order's id, or its first digits.
        order: String,
        #[command(flatten)]
        state: StateOption,
    },
    /// Lets an order run that waits for an answer.
    #[command(after_help = "Example:\n  netsonde orders approve 0f3a9c21")]
    Approve {
        /// The order's id, or its first digits.
        order: String,
        #[command(flatten)]
        state: StateOption,
    },
    /// Ends an order that runs, once or as a schedule; support hears of it.
    #[command(after_help = "Example:\n  netsonde orders stop 0f3a9c21")]
    Stop {
        /// The order's id, or its first digits.
        order: String,
        #[command(flatten)]
        state: StateOption,
    },
    /// Refuses an order that waits, for an answer or for its moment, and ends one that runs.
    #[command(after_help = "Example:\n  netsonde orders refuse 0f3a9c21 --reason \"not during the sale\"")]
    Refuse {
        /// The order's id, or its first digits.
        order: String,
        /// Why, for the engineer.
        #[arg(long, value_name = "WORDS", default_value = "")]
        reason: String,
        #[command(flatten)]
        state: StateOption,
    },
}

impl OrdersCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::List { state } => {
                let (state, book) = open(&state)?;
                let home = Home::of(&state);
                terminal::output(&format!("{}{}", looked_at(&home)?, list(&book)))?;
            }
            Self::Show { order, state } => {
                let (state, book) = open(&state)?;
                let own = Home::of(&state).identity()?.map(|identity| identity.agent);
                terminal::output(&show(find(&book, &order)?, own.as_ref()))?;
            }
            Self::Approve { order, state } => answer(&order, &state, &Answer { approved: true, words: String::new() })?,
            Self::Stop { order, state } => end(&order, &state, String::new())?,
            Self::Refuse { order, reason, state } => {
                let words = clean(&reason).to_string().chars().take(MAX_WORDS).collect();
                refuse(&order, &state, words)?;
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}

fn open(state: &StateOption) -> Result<(StateDirectory, Book), Stop> {
    let state = StateDirectory::existing(state.path()).ok_or_else(|| {
        let looked_at = state.path().map(Path::to_owned).or_else(default_path).unwrap_or_default();
        let next = instead(&looked_at, path_of_service().as_deref(), "orders list");
        Stop::usage(format!("there is no state directory {}, and so no order", looked_at.display()))
            .next(next.unwrap_or_else(|| "name the agent's own with --state-dir DIR".to_owned()))
    })?;
    let book = Book::open(&state)
        .map_err(|error| Stop::usage(format!("the orders in {} cannot be read: {error}", state.path().display())))?;
    Ok((state, book))
}

/// Which state that is, and what is on this machine besides: a command of another user than the service's looks at its own.
fn looked_at(home: &Home<'_>) -> Result<String, Stop> {
    let folder = home.state.path().display();
    let text = match home.identity()? {
        Some(identity) => format!("Orders of {}, in {folder}:\n", clean(&identity.organisation)),
        None => {
            let other = instead(home.state.path(), path_of_service().as_deref(), "orders list");
            let other = other.map_or_else(String::new, |other| format!("; {other}"));
            format!("No agent is enrolled in {folder}{other}.\n")
        }
    };
    Ok(text)
}

fn find<'a>(book: &'a Book, given: &str) -> Result<&'a Record, Stop> {
    let fits: Vec<&Record> = book.all().into_iter().filter(|record| record.id.as_str().starts_with(given)).collect();
    match fits.as_slice() {
        [one] if !given.is_empty() => Ok(one),
        [] => Err(Stop::usage(format!("there is no order {}", clean(given))).next("netsonde orders list shows them")),
        _ => Err(Stop::usage(format!("more than one order begins with {}", clean(given))).next("give more digits of its id")),
    }
}

/// Refuses what waits, and ends what runs.
fn refuse(given: &str, state: &StateOption, words: String) -> Result<(), Stop> {
    let (_, book) = open(state)?;
    if find(&book, given)?.state == DeliveryState::Running {
        return end(given, state, words);
    }
    answer(given, state, &Answer { approved: false, words })
}

fn end(given: &str, state: &StateOption, words: String) -> Result<(), Stop> {
    let (state, book) = open(state)?;
    let record = find(&book, given)?;
    let removed = Shelf::of(&state).remove(&record.id).map_err(|error| {
        Stop::usage(format!("the schedule cannot be ended: {error}")).next("end it as the user that the agent runs as")
    })?;
    let is_measuring = record.state == DeliveryState::Running && record.bundle.is_none();
    if !removed && is_measuring {
        give(&state, record, &Answer { approved: false, words })?;
        terminal::say(&format!("Order {} ends within seconds; the agent tells support.", record.id.short()));
        return Ok(());
    }
    if !removed {
        return Err(Stop::usage(format!("order {} does not run: it is {}", record.id.short(), record.state.name()))
            .next("netsonde orders list shows which do; netsonde pause stops everything that was ordered"));
    }
    terminal::say(&format!("Order {} is repeated no more; the agent tells support within a minute.", record.id.short()));
    Ok(())
}

fn answer(given: &str, state: &StateOption, answer: &Answer) -> Result<(), Stop> {
    let (state, book) = open(state)?;
    let record = find(&book, given)?;
    let may_be_refused = record.state == DeliveryState::Accepted && !answer.approved;
    if record.state != DeliveryState::Asked && !may_be_refused {
        return Err(Stop::usage(format!("order {} waits for no answer: it is {}", record.id.short(), record.state.name()))
            .next("netsonde orders list shows which do"));
    }
    give(&state, record, answer)?;
    let done = if answer.approved { "approved; the agent runs it within seconds" } else { "refused" };
    terminal::say(&format!("Order {} is {done}.", record.id.short()));
    Ok(())
}

fn give(state: &StateDirectory, record: &Record, answer: &Answer) -> Result<(), Stop> {
    Answers::of(state).give(&record.id, answer).map_err(|error| {
        Stop::usage(format!("the answer cannot be written: {error}")).next("answer as the user that the agent runs as")
    })
}

fn list(book: &Book) -> String {
    let all = book.all();
    if all.is_empty() {
        return "No orders came.\n".to_owned();
    }
    let mut text = String::new();
    for record in all {
        let about = record.about.as_ref();
        let what = about.map_or_else(String::new, |about| {
            format!("{} by {}, case {}: {}", about.set, about.requester, about.case, about.targets.join(", "))
        });
        let code = record.code.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{}  {}  {:<22} {}",
            record.id.short(),
            record.received.strftime("%Y-%m-%d %H:%M"),
            format!("{}{code}", record.state.name()),
            clean(&what)
        );
    }
    text
}

fn show(record: &Record, own: Option<&AgentId>) -> String {
    let mut text = format!("Order {}\n", record.id);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<10} {}", clean(value));
    };
    line("state", record.state.name());
    for (name, value) in [("code", &record.code), ("detail", &record.detail), ("decided by", &record.decided)] {
        if let Some(value) = value {
            line(name, value);
        }
    }
    if let Some(advice) = record.code.as_deref().and_then(RefusalCode::from_code) {
        line("for them", advice.advice());
    }
    if let Some(about) = &record.about {
        line("asked by", &about.requester);
        if !about.reason.is_empty() {
            line("because", &about.reason);
        }
        line("case", about.case.as_str());
        line("signed by", &about.signers.join(", "));
        line("expires", &format!("{:.0}", about.expires));
        line("set", &about.set);
        line("targets", &about.targets.join(", "));
    }
    if let Some(bundle) = &record.bundle {
        line("bundle", bundle.as_str());
    }
    if let Some(envelope) = &record.envelope {
        let unreadable = || "  What it would do cannot be shown: do not approve it, and ask support.\n".to_owned();
        let plan = order_of(envelope).and_then(|order| plan(order, own));
        text.push_str(&netsonde_contract::harmless::clean_lines(&plan.unwrap_or_else(unreadable)));
    }
    if record.state == DeliveryState::Asked {
        let _ = writeln!(text, "Answer it: netsonde orders approve {0}, or netsonde orders refuse {0}", record.id.short());
    }
    text
}

fn order_of(envelope: &str) -> Option<Order> {
    Order::unverified(&Envelope::from_json(envelope.as_bytes()).ok()?).ok()
}

/// What the order would do, on this machine and on the one that answers it. It was verified before it was kept, and is verified again before it
/// runs.
fn plan(order: Order, own: Option<&AgentId>) -> Option<String> {
    let set = ProbeSet::parse("the order's set", &order.set).ok()?;
    let deep = Deep::of(&order, &order.targets, |_| BTreeMap::new()).ok()?;
    let parameters = order.parameters.clone();
    let request = Request { targets: order.targets, parameters: order.parameters, ..Request::default() };
    let mut plan = set.plan(&request).ok()?.of_at_most(order.bytes);
    // Whether the agent's proxies are used is not for this command to know.
    let (checks, ways): (Vec<_>, Vec<_>) = set.either_way(&request).ok()?.into_iter().unzip();
    let named = |wanted: Way| {
        let ids = checks.iter().zip(&ways).filter(|(_, way)| **way == wanted).map(|(check, _)| check.id.as_str());
        ids.collect::<Vec<_>>().join(", ")
    };
    let of_ways =
        [(named(Way::Proxied), "only where a proxy of this machine's is used"), (named(Way::Direct), "only where none is")];
    plan.checks = checks.clone();
    let mut text = String::new();
    let mut is_serving = false;
    if let Some(seconds) = order.spread_seconds {
        let _ = writeln!(text, "  spread     each agent begins within {seconds} s, at a moment of its own");
    }
    if let Some(repeat) = &order.repeat {
        let _ = writeln!(text, "  repeated   {}; each run is put before the policy anew", repeat.in_words());
    }
    if let Some(serve) = &order.serve {
        let _ = writeln!(text, "  answers    {}", serve.in_words(own));
        if own == Some(&serve.agent) {
            plan = serve.plan(plan);
            is_serving = true;
        }
    }
    let described = preview::describe(&plan, Level::Default, None, false, false);
    // What is said there of files and uploads is for people's own runs.
    text.push_str(described.split("The result is one signed file:").next()?);
    text.push_str(&contents(&parameters, &plan, deep.as_ref(), is_serving));
    for (ids, when) in of_ways.iter().filter(|(ids, _)| !ids.is_empty() && !is_serving) {
        let _ = writeln!(text, "  {when}: {ids}");
    }
    Some(text)
}

/// What an order is aimed at, for whoever agrees to it: its parameters, every name and address of its checks, those of its deep set as well, and
/// whether a set is another one than its name says.
pub(super) fn contents(parameters: &BTreeMap<String, String>, plan: &Plan, deep: Option<&Deep>, is_serving: bool) -> String {
    let mut text = String::new();
    let not_own = |set: &SetReference| {
        let words = |known| format!("  NOT the catalogue's {known}: another set (sha256 {}) under its name\n", set.sha256);
        name_taken_by(set).map_or_else(String::new, words)
    };
    text.push_str(&not_own(&plan.set));
    for (name, value) in parameters {
        let _ = writeln!(text, "  parameter {}", clean(&format!("{name}={value}")));
    }
    let aimed = |checks: &[PlannedCheck]| {
        let line = |check: &PlannedCheck| Some(format!("  {:<12} {}\n", check.id.as_str(), clean(&aims(check)?)));
        checks.iter().filter_map(line).collect::<String>()
    };
    if !is_serving {
        let _ = write!(text, "Names and addresses, as the checks have them:\n{}", aimed(&plan.checks));
    }
    if let Some(Deep { set, plan }) = deep {
        let (name, version, longest) = (clean(&set.name), set.version, plan.budget.as_secs_f64());
        let _ = writeln!(
            text,
            "For a target that becomes failing, at once, the deep set {name} (version {version}), at most {longest} s:"
        );
        text.push_str(&not_own(&plan.set));
        for check in &plan.checks {
            let _ = writeln!(text, "  {:<12} {:<10} {}", check.id.as_str(), check.params.kind().name(), clean(&cost(check)));
        }
        text.push_str(&aimed(&plan.checks));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::{CaseId, OrderId, OrganisationId};
    use netsonde_contract::order::{Addressee, Addressees, Epoch, Serve};
    use netsonde_contract::set::find_built_in;

    fn agent(digit: char) -> AgentId {
        AgentId::new(digit.to_string().repeat(64))
    }

    fn order(serve: Option<Serve>) -> Order {
        let one = |digit| Addressee { agent: agent(digit), epoch: Epoch::from_bytes([1; 16]) };
        Order {
            organisation: OrganisationId::new("0".repeat(64)),
            id: OrderId::from_bytes([7; 16]),
            set: find_built_in("reflect").unwrap().parse().unwrap().text,
            targets: vec!["10.30.0.7:862".into()],
            parameters: [].into(),
            agents: Addressees::Listed(vec![one('a'), one('b')]),
            not_before: jiff::Timestamp::UNIX_EPOCH,
            expires: jiff::Timestamp::UNIX_EPOCH,
            case: CaseId::new("4711"),
            requester: "asha".into(),
            reason: String::new(),
            signatures: 1,
            serve,
            repeat: None,
            bytes: None,
            deep: None,
            spread_seconds: None,
        }
    }

    #[test]
    fn whoever_agrees_sees_every_name_and_address_the_deep_sets_too() {
        let check =
            |id: &str, kind: &str, with: &str| format!("[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\nwith = {{ {with} }}\n");
        let web = |checks: &str| {
            let head = "name = \"web\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\ntarget = \"url\"\n";
            format!("{head}[parameters.path]\ntype = \"text\"\ndefault = \"/\"\nhelp = \"h\"\n{checks}")
        };
        let swept = check("a", "icmp", "host = \"{target.host}\", targets = [\"192.0.2.0/28\", \"db.example\"]");
        let asked = check("b", "dns", "name = \"told.example\", servers = [\"192.0.2.53\", \"192.0.2.54\"]");
        let deep = check("c", "tcp", "host = \"{target.host}\", port = 443, targets = [\"deep.example\"]");
        let order = Order {
            set: web(&format!("{swept}{asked}")),
            deep: Some(web(&deep)),
            targets: vec!["https://shop.example/".into()],
            parameters: [("path".to_owned(), "/secret".to_owned())].into(),
            repeat: Some(netsonde_contract::order::Repeat { every_seconds: 300, life_seconds: 3_600 }),
            ..order(None)
        };
        let text = plan(order.clone(), None).unwrap();
        let all = ["192.0.2.0/28", "db.example", "told.example", "192.0.2.53", "192.0.2.54", "deep.example", "path=/secret"];
        for shown in all {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        assert_eq!(text.matches("NOT the catalogue's web").count(), 2, "{text}");
        let usual = Order { set: find_built_in("web").unwrap().text.to_owned(), deep: None, parameters: [].into(), ..order };
        assert!(!plan(usual, None).unwrap().contains("NOT the catalogue's"));
        // What cannot be shown is not left out in silence.
        let broken = Order { set: "name = 1".into(), ..super::tests::order(None) };
        let mut envelope = broken.envelope();
        envelope.add_signature(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key(), [0; 64]);
        let envelope = String::from_utf8(envelope.to_json()).unwrap();
        let id = OrderId::from_bytes([7; 16]);
        let record = Record::new(&id, DeliveryState::Asked, jiff::Timestamp::UNIX_EPOCH);
        assert!(show(&Record { envelope: Some(envelope), ..record }, None).contains("do not approve it"));
    }

    #[test]
    fn whoever_is_asked_sees_that_their_machine_is_to_answer_and_whom() {
        let peers = vec!["10.20.0.5".parse().unwrap()];
        let serve = Serve { agent: agent('b'), port: 862, peers, seconds: 120, key: "0f".repeat(32) };
        let serving = plan(order(Some(serve.clone())), Some(&agent('b'))).unwrap();
        let says = "this machine answers test packets of 10.20.0.5 at UDP port 862 for at most 120 s";
        assert!(serving.contains(says), "{serving}");
        // A check's kind stands in a column of its own.
        let reflects =
            |text: &str| text.lines().any(|line| line.split_whitespace().nth(1) == Some("reflect") && line.starts_with("  "));
        assert!(!reflects(&serving), "who answers measures nothing: {serving}");
        let measuring = plan(order(Some(serve)), Some(&agent('a'))).unwrap();
        assert!(measuring.contains("agent bbbbbbbbbbbb answers test packets of 10.20.0.5"), "{measuring}");
        assert!(reflects(&measuring), "{measuring}");
        assert!(!plan(order(None), Some(&agent('a'))).unwrap().contains("answers test packets"));
    }
}
