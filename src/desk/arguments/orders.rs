use clap::{Args, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

/// What to run, where, and for which case.
#[derive(Args)]
pub(crate) struct TriggerWish {
    /// The probe set: a name of the catalogue, or a file whose name ends in .toml.
    #[arg(value_name = "SET|FILE.toml")]
    pub(crate) set: String,
    /// An agent: its id, the first 8 digits of it or more, or its host name. May be given several times.
    #[arg(long = "agent", value_name = "ID")]
    pub(crate) agents: Vec<String>,
    /// A group: all agents that carry this label when the order is made, as NAME=VALUE, such as site=oslo. Given several times, an agent must carry
    /// all of them; agents that --agent names come as well.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// What to aim at; may be given several times.
    #[arg(long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// A parameter of the set, as NAME=VALUE; may be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// The support case that the results belong to.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: String,
    /// Why, in words that the person at the machine sees.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
    /// Who asks, in words that the person at the machine sees; the key's comment unless given.
    #[arg(long)]
    pub(crate) requester: Option<String>,
    /// This agent answers the test packets of the others meanwhile (set reflect): its id, the first 8 digits of it or more, or its host
    /// name. The target is its address and UDP port, as the others reach it.
    #[arg(long, value_name = "ID", requires = "answering", conflicts_with = "waves")]
    pub(crate) with: Option<String>,
    /// The only addresses that it answers: the measuring agents', as it sees them. May be given several times.
    #[arg(long, value_name = "ADDRESS", requires = "with")]
    pub(crate) answering: Vec<IpAddr>,
    /// How many agents get the order at first, then, and so on; the rest comes last. 0 for all at once. More than 11 agents go as 1,10
    /// with --stop-at 20 unless this says otherwise.
    #[arg(long = "wave", value_name = "NUMBERS", value_delimiter = ',')]
    pub(crate) waves: Vec<u32>,
    /// The next wave waits where more than this share of the last one failed, in percent.
    #[arg(long, value_name = "PERCENT", requires = "waves", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) stop_at: Option<u8>,
    /// Until when agents may begin, such as 30m or 4h; 24h at most.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) expires: String,
    /// What each agent may send and receive for it at most, such as 10MB; otherwise what the set and the agent's policy say.
    #[arg(long, value_name = "SIZE")]
    pub(crate) bytes: Option<String>,
    /// Run it again and again, such as every 5m, as a schedule that the agents keep; a bundle comes where its health changes to failing.
    #[arg(long, value_name = "TIME", requires = "repeat_for", conflicts_with_all = ["with", "waves"])]
    pub(crate) every: Option<String>,
    /// For so long, such as 7d; 30d at most.
    #[arg(long = "for", id = "repeat_for", value_name = "TIME", requires = "every")]
    pub(crate) repeat_for: Option<String>,
    /// Each agent begins within this time, such as 600 seconds or 10m, at a moment of its own, so that many do not come to one target at once.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["with", "every"])]
    pub(crate) spread: Option<String>,
    /// Of a schedule: the set that is run at once for a target that becomes failing; a name of the catalogue, or a file whose name ends in .toml.
    #[arg(long, value_name = "SET|FILE.toml", requires = "every")]
    pub(crate) deep: Option<String>,
    #[command(flatten)]
    pub(crate) how: SignWish,
}

/// How an order is signed and followed.
#[derive(Args)]
pub(crate) struct SignWish {
    /// The key that signs: an OpenSSH private key file, a .pub file whose key the ssh-agent holds, or `agent`.
    #[arg(long, value_name = "FILE|agent")]
    pub(crate) key: Option<String>,
    /// Do not ask before signing.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not wait for what becomes of the order.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Wait for what becomes of the order, which is done anyway.
    #[arg(long, conflicts_with = "no_follow")]
    pub(crate) follow: bool,
    /// Write the signed order to this file and submit nothing. Where more engineers must sign, the file that they are handed.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum OrdersCommand {
    /// Lists the orders, the newest first.
    List {
        /// Only those of this case.
        #[arg(long)]
        case: Option<String>,
    },
    /// Shows what has become of an order at each agent.
    Show {
        id: String,
        /// Wait until nothing more can follow.
        #[arg(long)]
        follow: bool,
    },
    /// Lets the next wave of an order that stopped go on, after a look at what failed; it is judged by its own failures alone.
    Resume {
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Ends an order: agents that have not begun do not, and those that run stop.
    Cancel { id: String },
}

#[derive(Subcommand)]
pub(crate) enum AgentsCommand {
    /// Gives an agent labels; `NAME=` takes one away.
    Label {
        id: String,
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
    },
    /// Says that only one machine is left of those that shared an identity, or that the backend's database was put back to an older state.
    Single { id: String },
    /// Ends an agent's enrolment: it gets no more orders, and its bundles no longer count as known.
    Revoke {
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// What an enrolment is to be.
#[derive(Args)]
pub(crate) struct EnrolWish {
    /// So many agents may enrol with the string: more than one for fleets and images.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) uses: u32,
    /// The agents that enrol with it get this label, as NAME=VALUE; may be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// How long the string can be used.
    #[arg(long, value_name = "HOURS", default_value_t = netsonde_contract::enrolment::DEFAULT_LIFE_HOURS)]
    pub(crate) hours: u32,
    /// Hands in the request file of a machine that cannot reach the backend, and writes the answer beside it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["uses", "labels", "hours"])]
    pub(crate) request: Option<PathBuf>,
    /// Do not ask before handing in a request.
    #[arg(long)]
    pub(crate) yes: bool,
}
