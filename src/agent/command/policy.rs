use super::state_option::StateOption;
use crate::identity::{Home, held_epochs};
use crate::orders::{Here, Judgement, Machine, Taken, judge, place};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, policy_file, terminal};
use clap::{Args, Subcommand};
use netsonde_contract::api::fleet::{MAX_SUBMIT_BYTES, SubmitOrder};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::harmless::clean_lines;
use netsonde_contract::id::AgentId;
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Addressees, MerkleProof, Order, Refusal, RefusalCode};
use netsonde_contract::policy::{Policy, Remote, TEMPLATE, Verdict};
use netsonde_contract::size;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Which file is the policy.
#[derive(Args)]
pub(super) struct PolicyOption {
    /// The policy's file [default: /etc/netsonde/policy.toml, on Windows %ProgramData%\netsonde\policy.toml].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyOption {
    pub(super) fn path(&self) -> Option<&Path> {
        self.policy.as_deref()
    }
}

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Writes a policy in which every key is explained and no order is taken.
    #[command(after_help = "Examples:\n  sudo netsonde policy init\n  netsonde policy init --policy ./policy.toml")]
    Init {
        #[command(flatten)]
        policy: PolicyOption,
    },
    /// Reads the policy as the agent does, and says what it comes to.
    #[command(after_help = "Example:\n  netsonde policy check")]
    Check {
        #[command(flatten)]
        policy: PolicyOption,
    },
    /// Says what would become of an order, and which line decides. Nothing is run and nothing is noted.
    #[command(
        after_help = "Examples:\n  netsonde policy explain order.dsse.json     exits 0 where it would run or be asked about, 4 where it is refused\n  netsonde policy explain - < order.dsse.json"
    )]
    Explain {
        /// The order's file, or `-` for standard input.
        #[arg(value_name = "ORDER")]
        order: PathBuf,
        #[command(flatten)]
        policy: PolicyOption,
        #[command(flatten)]
        state: StateOption,
    },
}

impl PolicyCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::Init { policy } => init(&policy_file::path(policy.path())),
            Self::Check { policy } => check(&policy_file::path(policy.path())),
            Self::Explain { order, policy, state } => explain(&order, &policy_file::path(policy.path()), &state),
        }
    }
}

fn init(path: &Path) -> Result<u8, Stop> {
    let failed = |error: std::io::Error| {
        let stop = Stop::usage(format!("the policy cannot be written to {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => stop.next("it is there already: edit it, and then netsonde policy check"),
            _ => stop.next("run it as root, or name another file with --policy FILE"),
        }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // Everybody may read what may be asked of the machine; nobody else may write it, whatever the umask says.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(TEMPLATE.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    terminal::say(&format!(
        "Wrote {}; it takes no orders until you change it.\n  next: edit it, and then netsonde policy check",
        path.display()
    ));
    Ok(exit::AS_EXPECTED)
}

fn check(path: &Path) -> Result<u8, Stop> {
    let policy = policy_file::load(path)?;
    policy_file::check_zone(&policy, path)?;
    terminal::output(&describe(path, &policy))?;
    Ok(exit::AS_EXPECTED)
}

fn describe(path: &Path, policy: &Policy) -> String {
    if policy.text.is_empty() {
        return format!("There is no {}: no order runs. `netsonde policy init` writes one.\n", path.display());
    }
    let list = |items: Vec<String>, none: &str| if items.is_empty() { none.to_owned() } else { items.join(", ") };
    let texts = |items: Vec<String>| list(items, "none");
    let mut text = format!("{} is in order.\n", path.display());
    let budget = &policy.budget;
    // Writing to a text cannot fail.
    let _ = writeln!(text, "  orders    {}", policy.remote.name());
    let _ = writeln!(text, "  signers   {}", list(policy.signers.clone(), "all whom the organisation lists"));
    let _ = writeln!(text, "  signed by {} of them at least", policy.signatures);
    let _ = writeln!(text, "  kinds     {}", texts(policy.kinds.iter().map(|kind| kind.name().to_owned()).collect()));
    let _ = writeln!(text, "  hours     {}", list(policy.hours.iter().map(ToString::to_string).collect(), "always"));
    let _ = writeln!(text, "  names     {}", texts(policy.names.iter().map(ToString::to_string).collect()));
    let _ = writeln!(text, "  networks  {}", texts(policy.networks.iter().map(ToString::to_string).collect()));
    if policy.remote != Remote::Deny && policy.names.is_empty() && policy.networks.is_empty() {
        let _ = writeln!(
            text,
            "  warning: orders are taken and no target fits: name those that may be measured in targets.names or targets.networks"
        );
    }
    let denied =
        policy.denied_names.iter().map(ToString::to_string).chain(policy.denied_networks.iter().map(ToString::to_string));
    let _ = writeln!(text, "  never     {}", texts(denied.collect()));
    let _ = writeln!(text, "  ports     {}", list(policy.ports.iter().map(port_range).collect(), "every port"));
    let resolvers = if policy.resolvers {
        "this machine's own are asked for names"
    } else {
        "none is asked: names have their addresses from the hosts file"
    };
    let _ = writeln!(text, "  resolvers {resolvers}");
    let _ = writeln!(text, "  proxied   {}", texts(policy.proxied.iter().map(ToString::to_string).collect()));
    let _ = writeln!(
        text,
        "  nat64     {}",
        list(
            policy.nat64.iter().map(ToString::to_string).collect(),
            "the well-known prefixes, and what this network's resolver tells (RFC 7050) to refuse by"
        )
    );
    let certificates = if policy.certificate_urls { "what they name may be asked" } else { "what they name is not asked" };
    let _ = writeln!(text, "  certificates {certificates}");
    let _ = writeln!(
        text,
        "  budget    {} s, {} packets, {}, {} packets a second to one target, {} checks at once",
        budget.time.as_secs(),
        budget.packets,
        size::words(budget.bytes),
        budget.per_target_rate,
        budget.concurrency
    );
    let _ = writeln!(text, "  schedules {}", schedules(policy));
    let _ = writeln!(text, "  answers   {}", answers(policy));
    let _ = writeln!(text, "  bundles   go to {}", list(policy.backends.clone(), "the backend that this machine enrolled with"));
    let vouches = if policy.accept_inspection {
        "what this machine trusts: inspection is accepted"
    } else {
        "the key that the enrolment names, if any"
    };
    let _ = writeln!(text, "  TLS       by {vouches}");
    let _ = writeln!(text, "  redacted  {}", policy.redaction.name());
    let _ = writeln!(text, "  digest    {}", policy.sha256());
    text
}

/// What an order may ask to be repeated.
fn schedules(policy: &Policy) -> String {
    let words = |time: std::time::Duration| format!("{:#}", jiff::SignedDuration::try_from(time).unwrap_or_default());
    match policy.schedules.life {
        Some(life) => format!("repeated every {} or less often, for {} at most", words(policy.schedules.every), words(life)),
        None => "nothing is repeated".to_owned(),
    }
}

/// Whose test packets an order may have this machine answer.
fn answers(policy: &Policy) -> String {
    let serve = &policy.serve;
    if serve.peers.is_empty() {
        return "nobody's test packets".to_owned();
    }
    let joined = |items: Vec<String>| items.join(", ");
    let ports = match serve.ports.as_slice() {
        [] => "any UDP port".to_owned(),
        ports => format!("UDP {}", joined(ports.iter().map(port_range).collect())),
    };
    let without = if policy.kinds.contains(&Kind::Reflect) { "" } else { "; but the kind reflect is not allowed, so nobody's" };
    let peers = joined(policy.serve.peers.iter().map(ToString::to_string).collect());
    format!("test packets of {peers}, at {ports}, for {} s at most{without}", serve.time.as_secs())
}

fn port_range(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (one, last) if one == last => one.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

fn explain(order: &Path, policy_path: &Path, state: &StateOption) -> Result<u8, Stop> {
    let order = read_order(order)?;
    let policy = policy_file::load(policy_path);
    let missing = || Stop::usage("this machine is not enrolled, so no order is for it").next("netsonde enroll");
    let state = StateDirectory::existing(state.path()).ok_or_else(missing)?;
    let home = Home::of(&state);
    let identity = home.enrolled()?;
    let anchor = home.anchor()?.ok_or_else(missing)?;
    let epochs = held_epochs(&home)?;
    let taken = Taken::open(&state).map_err(|error| Stop::usage(format!("taken.json cannot be read: {error}")))?;
    let machine = Machine {
        anchor: &anchor,
        agent: &identity.agent,
        epochs: &epochs,
        policy: &policy,
        here: Here {
            resolvers: &netsonde_probes::system_resolvers(),
            paused: home.is_paused(),
            proxy: &ProxyChoice::Environment,
            backend: &identity.backend,
            now: Clock::start().wall(),
        },
    };
    match judge(&order.envelope, order.proof(&identity.agent).as_ref(), &machine, &|id| taken.contains(id)) {
        Judgement::Refused(refusal) => {
            let of_many = refusal.code == RefusalCode::OtherAgent && order.submitted.is_none() && is_for_many(&order.envelope);
            let beside = if of_many {
                "\n  (it is for many agents: whether this one is among them is proved beside the order)"
            } else {
                ""
            };
            terminal::output(&format!("refused before the policy is asked: {}{beside}\n", words(&refusal)))?;
            Ok(exit::REFUSED)
        }
        Judgement::Verified(verified, decision) => {
            let signers: Vec<String> = verified.signers.iter().map(|key| key.fingerprint()).collect();
            let serving = verified
                .order
                .serve
                .as_ref()
                .map_or_else(String::new, |serve| format!("asks that {}\n", serve.in_words(Some(&identity.agent))));
            let repeat = verified.order.repeat.as_ref();
            let repeated = repeat.map_or_else(String::new, |repeat| format!("asks to be run {}\n", repeat.in_words()));
            let bytes =
                verified.plan.bytes.map_or_else(String::new, |bytes| format!("asks for {} at most\n", size::words(bytes)));
            let (parameters, deep) = (&verified.order.parameters, verified.deep.as_ref());
            let asked = super::orders::contents(parameters, &verified.plan, deep, verified.serves);
            let asked = clean_lines(&asked);
            terminal::output(&format!("signed by {}\n{serving}{repeated}{bytes}{asked}", signers.join(", ")))?;
            let (verdict, code) = match &decision.verdict {
                Verdict::Run => ("it would run".to_owned(), exit::AS_EXPECTED),
                Verdict::Ask => ("somebody here would be asked".to_owned(), exit::AS_EXPECTED),
                Verdict::Refuse(refusal) => (format!("refused: {}", words(refusal)), exit::REFUSED),
            };
            terminal::output(&format!("{verdict}\ndecided by {}\n", place(&decision)))?;
            Ok(code)
        }
    }
}

fn words(refusal: &Refusal) -> String {
    netsonde_contract::harmless::clean(&format!("{} ({})", refusal.detail, refusal.code)).to_string()
}

fn is_for_many(envelope: &[u8]) -> bool {
    let order = Envelope::from_json(envelope).ok().and_then(|envelope| Order::unverified(&envelope).ok());
    order.is_some_and(|order| matches!(order.agents, Addressees::Tree { .. }))
}

/// An order as it is in a file.
struct GivenOrder {
    envelope: Vec<u8>,
    /// The whole of what the desk would submit, where the desk wrote the file.
    submitted: Option<SubmitOrder>,
}

impl GivenOrder {
    /// A bundle's `order.dsse.json`, or what `netsonde-desk trigger --output` wrote.
    fn of(bytes: Vec<u8>) -> Self {
        match serde_json::from_slice::<SubmitOrder>(&bytes) {
            Ok(submitted) => Self { envelope: submitted.envelope.clone().into_bytes(), submitted: Some(submitted) },
            Err(_) => Self { envelope: bytes, submitted: None },
        }
    }

    /// Of the agent's place among many: it travels beside an order, and only the desk's file has what it is made of.
    fn proof(&self, agent: &AgentId) -> Option<MerkleProof> {
        let agents = &self.submitted.as_ref()?.agents;
        let place = agents.iter().position(|one| one.agent == *agent)?;
        Addressees::of(agents).1?.proof(place)
    }
}

fn read_order(path: &Path) -> Result<GivenOrder, Stop> {
    let most = MAX_SUBMIT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Stop::usage(format!("the order {} cannot be read: {error}", path.display()))
            .next("give the file order.dsse.json of a bundle, or one from support")
    })?;
    Ok(GivenOrder::of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::order::{Addressee, Epoch};

    /// What the desk writes for a second engineer, or for the customer, is read as a bundle's order is.
    #[test]
    fn an_order_is_read_from_the_desks_file_too_with_the_proof_of_this_machines_place() {
        let addressee =
            |number: u16| Addressee { agent: AgentId::new(format!("{number:064x}")), epoch: Epoch::from_bytes([7; 16]) };
        let agents: Vec<Addressee> = (0..150).map(addressee).collect();
        let envelope = "{\"payload\":\"\"}".to_owned();
        let submitted = SubmitOrder {
            envelope: envelope.clone(),
            agents: agents.clone(),
            waves: Vec::new(),
            stop_at_failed_percent: None,
            draft: None,
        };
        let read = GivenOrder::of(serde_json::to_vec(&submitted).unwrap());
        assert_eq!(read.envelope, envelope.clone().into_bytes());
        let Addressees::Tree { root, count } = Addressees::of(&agents).0 else { panic!("150 agents are listed") };
        let proof = read.proof(&agents[77].agent).unwrap();
        assert!(proof.holds(&agents[77].leaf(), &root, count));
        assert_eq!(read.proof(&addressee(150).agent), None, "it is not among them");
        let bare = GivenOrder::of(envelope.clone().into_bytes());
        assert!(bare.submitted.is_none() && bare.envelope == envelope.into_bytes());
        assert_eq!(bare.proof(&agents[0].agent), None);
    }

    #[test]
    fn whatever_a_policy_says_is_shown() {
        let text = "[orders]\nsignatures = 2\n[targets]\ndeny = [\"pay.shop.example\"]\ndeny_networks = [\"10.1.9.0/24\"]\nports = [\"443\", \"8000-8100\"]\nresolvers = false\nproxied = [\"*.shop.example\"]\ncertificate_urls = true\nnat64 = [\"2001:db8:64::/96\"]\n[upload]\nbackends = [\"https://support.example\"]\naccept_inspection = true\n[budget]\nbytes = \"25MB\"\n";
        let shown = describe(Path::new("policy.toml"), &Policy::parse("policy.toml", text).unwrap());
        for line in [
            "signed by 2 of them at least",
            "never     pay.shop.example, 10.1.9.0/24",
            "ports     443, 8000-8100",
            "resolvers none is asked",
            "proxied   *.shop.example",
            "nat64     2001:db8:64::/96",
            "10000 packets, 25 MB, 20 packets a second to one target",
            "TLS       by what this machine trusts: inspection is accepted",
            "certificates what they name may be asked",
            "bundles   go to https://support.example",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }

    #[test]
    fn a_policy_that_takes_orders_and_names_no_target_is_warned_of() {
        let shown = |text: &str| describe(Path::new("policy.toml"), &Policy::parse("policy.toml", text).unwrap());
        let warns = |text: &str| shown(text).contains("warning: orders are taken and no target fits");
        assert!(warns("[orders]\nremote = \"allow\"\n") && warns("[orders]\nremote = \"ask\"\n"));
        assert!(!warns("[orders]\nremote = \"deny\"\n"));
        assert!(!warns("[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"10.0.0.0/8\"]\n"));
        assert!(!warns("[orders]\nremote = \"allow\"\n[targets]\nnames = [\"*.shop.example\"]\n"));
    }

    fn answers_of(text: &str) -> String {
        let policy = Policy::parse("policy.toml", text).unwrap();
        describe(Path::new("policy.toml"), &policy).lines().find(|line| line.contains("answers")).unwrap().trim().to_owned()
    }

    #[test]
    fn a_policy_tells_whom_the_machine_may_be_made_to_answer() {
        assert_eq!(answers_of("version = 1\n"), "answers   nobody's test packets");
        let named = "version = 1\n[serve]\npeers = [\"10.20.0.5\"]\ntime = \"2m\"\nports = [\"862\", \"9000-9010\"]\n";
        assert_eq!(answers_of(named), "answers   test packets of 10.20.0.5/32, at UDP 862, 9000-9010, for 120 s at most");
        let without = format!("{named}[orders]\nkinds = [\"tcp\"]\n");
        assert!(answers_of(&without).ends_with("but the kind reflect is not allowed, so nobody's"), "{}", answers_of(&without));
    }
}
