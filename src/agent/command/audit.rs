use super::excerpt;
use super::state_option::StateOption;
use crate::audit::Audit;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{disk, exit, terminal};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Follows the chain of lines and prints its head, which every bundle of an order names; or checks what support gave of its own log.
    #[command(
        after_help = "Examples:\n  netsonde audit verify\n  netsonde audit verify acme-audit.jsonl     what `netsonde-backend audit export` wrote\n  netsonde audit verify acme-audit.jsonl --receipt receipt.dsse.json"
    )]
    Verify {
        /// An excerpt of the backend's log. It is held against this machine's enrolment and the receipts of its bundles, where there are some.
        file: Option<PathBuf>,
        /// A receipt, which names where the backend's log stood; as often as there are receipts.
        #[arg(long = "receipt", value_name = "FILE", requires = "file")]
        receipts: Vec<PathBuf>,
        #[command(flatten)]
        state: StateOption,
    },
    /// Writes the whole log, one JSON object a line, to a file or to standard output.
    #[command(after_help = "Examples:\n  netsonde audit export audit.jsonl\n  netsonde audit export | grep order_refused")]
    Export {
        /// The file to write; standard output without it.
        file: Option<PathBuf>,
        #[command(flatten)]
        state: StateOption,
    },
}

impl AuditCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let (Self::Verify { state, .. } | Self::Export { state, .. }) = &self;
        let state = StateDirectory::existing(state.path());
        if let Self::Verify { file: Some(file), receipts, .. } = &self {
            return excerpt::verify(file, receipts, state.as_ref());
        }
        let Some(state) = state else {
            return Err(Stop::usage("there is no state directory here, and so no audit log").next("name it with --state-dir DIR"));
        };
        let audit = Audit::of(&state);
        match self {
            Self::Verify { .. } => {
                let checked = audit.verify()?;
                terminal::output(&format!("{} entries, unbroken\n", checked.entries))?;
                if checked.dropped > 0 {
                    terminal::output(&format!("{} older entries were dropped as the log had become long\n", checked.dropped))?;
                }
                if let Some(head) = checked.head {
                    terminal::output(&format!("head {head}\n"))?;
                }
            }
            Self::Export { file, .. } => {
                let log = audit.export().map_err(|error| Stop::usage(format!("the audit log cannot be read: {error}")))?;
                match file {
                    Some(file) => disk::replace_file(&file, &log)
                        .map_err(|error| Stop::usage(format!("the log cannot be written to {}: {error}", file.display())))?,
                    None => terminal::output(&String::from_utf8_lossy(&log))?,
                }
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}
