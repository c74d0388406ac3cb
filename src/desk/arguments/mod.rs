/// `agents`, `enrol`, `trigger`, `sign`, `orders`.
mod orders;
/// `org`.
mod organisation;

pub(crate) use orders::{AgentsCommand, EnrolWish, OrdersCommand, SignWish, TriggerWish};
pub(crate) use organisation::{OrganisationCommand, RootWish};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// The support engineer's side of netsonde: tickets, cases, bundles, and orders to enrolled agents.
#[derive(Parser)]
#[command(name = "netsonde-desk", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What standard output carries.
    #[arg(long, value_enum, default_value = "human", global = true)]
    pub(crate) format: Format,
    /// The folder of the organisation's root and list of keys; `netsonde/organisation` in your configuration folder otherwise.
    #[arg(long, value_name = "FOLDER", env = "NETSONDE_ORGANISATION", global = true)]
    pub(crate) organisation: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    Human,
    /// One JSON document.
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Signs in to a support backend.
    ///
    /// Asks for the desk token (nsd1_…) that the backend printed on its first run, or reads it from standard input or from
    /// NETSONDE_DESK_TOKEN; tries it; and keeps it in a file that only you can read.
    Login,
    /// Makes a ticket and the message to paste to the customer.
    Ticket(TicketArguments),
    /// Lists the cases, the newest first.
    Cases,
    /// Shows a case: what its newest bundle found, its bundles and its tickets.
    Show {
        /// The case's number.
        case: String,
        /// The bundle to read instead of the newest: its id, or the first digits of it.
        #[arg(long, value_name = "ID")]
        bundle: Option<String>,
        /// Every observation, not only the summary of each check.
        #[arg(long)]
        detail: bool,
        /// How the conclusion was reached: what each cause rests on, and what was ruled out by what.
        #[arg(long)]
        explain: bool,
    },
    /// Downloads a bundle and verifies it on this machine.
    Fetch {
        /// The bundle's id: 64 hexadecimal digits.
        bundle: String,
        /// The file to write; `netsonde-ID.tar.gz` in this folder otherwise.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Hands in bundles' files that came by other ways, such as those of machines that are offline.
    ///
    /// Each is verified on this machine first. A bundle of a ticket, or of an enrolled agent's order or schedule, goes to the case of
    /// that; any other goes to the case that --case names.
    Import {
        /// The bundles' files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The case that they are for, whatever they say themselves.
        #[arg(long, value_name = "CASE")]
        case: Option<String>,
    },
    /// The organisation's root, and whose orders count.
    Org {
        #[command(subcommand)]
        command: OrganisationCommand,
    },
    /// Makes the string (nse1_…) with which a customer's agents enrol.
    #[command(visible_alias = "enroll")]
    Enrol(EnrolWish),
    /// Lists the enrolled agents, labels them, or ends an enrolment.
    #[command(args_conflicts_with_subcommands = true)]
    Agents {
        #[command(subcommand)]
        command: Option<AgentsCommand>,
        /// Only those with this label, as NAME=VALUE; given several times, all must fit.
        #[arg(long = "label", value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// The same as --format json.
        #[arg(long)]
        json: bool,
    },
    /// Runs a probe set on enrolled agents: shows what will run, signs the order, and follows it to its findings.
    ///
    /// Exit code: 0 as expected, 1 a problem was found or a run failed, 3 more engineers must sign and nothing was submitted, 4 an agent refused the order.
    Trigger(Box<TriggerWish>),
    /// Shows and signs a draft that was made on a page, or adds a signature to an order's file.
    Sign {
        /// The draft's id, or a file that `--output` wrote.
        #[arg(value_name = "DRAFT|FILE")]
        draft: String,
        /// Until when agents may begin, where a draft is signed; 24h at most.
        #[arg(long, value_name = "TIME", default_value = "1h")]
        expires: String,
        #[command(flatten)]
        how: SignWish,
    },
    /// Lists, shows and cancels orders.
    Orders {
        #[command(subcommand)]
        command: OrdersCommand,
    },
    /// Serves drafts and a form for orders to a browser on this machine.
    Serve {
        /// The port on 127.0.0.1; 0 for any that is free.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// The key that signs, as `trigger` takes it.
        #[arg(long, value_name = "FILE|agent")]
        key: Option<String>,
    },
    /// Prints completions for a shell.
    Completions { shell: Shell },
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct TicketArguments {
    #[command(subcommand)]
    pub(crate) command: Option<TicketCommand>,
    #[command(flatten)]
    pub(crate) wish: TicketWish,
}

#[derive(Subcommand)]
pub(crate) enum TicketCommand {
    /// Takes a ticket back, so that it no longer works.
    Revoke {
        /// The ticket's id: 16 letters and digits, as `show` lists it.
        id: String,
    },
}

/// What the ticket is to be. Case and set are required but where a subcommand is given, which takes the whole group's place.
#[derive(Args, Default)]
pub(crate) struct TicketWish {
    /// The support case that the result belongs to.
    #[arg(long, required = true, value_name = "CASE", default_value = "", hide_default_value = true)]
    pub(crate) case: String,
    /// The probe set to run.
    #[arg(long, required = true, value_name = "SET", default_value = "", hide_default_value = true)]
    pub(crate) set: String,
    /// What to aim at, such as https://shop.example/ or db.example:5432; may be given several times.
    #[arg(long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// A parameter of the set, as NAME=VALUE; may be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// How long the ticket can be used, such as 12h or 7d; 30d at most.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) valid_for: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_ticket_needs_case_and_set_and_revoke_needs_neither() {
        assert!(Arguments::try_parse_from(["netsonde-desk", "ticket", "--case", "4711"]).is_err());
        assert!(Arguments::try_parse_from(["netsonde-desk", "ticket", "--case", "4711", "--set", "web"]).is_ok());
        assert!(Arguments::try_parse_from(["netsonde-desk", "ticket", "revoke", "abc"]).is_ok());
        assert!(Arguments::try_parse_from(["netsonde-desk", "ticket"]).is_err());
    }

    #[test]
    fn a_first_root_needs_a_name_and_knows_no_old_keys_and_the_next_one_has_both() {
        let fits = |given: &str| Arguments::try_parse_from(["netsonde-desk", "org"].into_iter().chain(given.split(' '))).is_ok();
        assert!(fits("init --name Contoso") && !fits("init") && !fits("init --name Contoso --old-root-key old"));
        assert!(fits("rotate-root") && fits("rotate-root --name Other --old-root-key old"));
    }
}
