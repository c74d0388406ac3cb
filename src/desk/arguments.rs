use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// The support engineer's side of netsonde: tickets, cases, bundles.
#[derive(Parser)]
#[command(name = "netsonde-desk", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What standard output carries.
    #[arg(long, value_enum, default_value = "human", global = true)]
    pub(crate) format: Format,
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
}
