use super::bundle::{document, open};
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::{Args, ValueEnum};
use netsonde_report::escalation;
use std::path::PathBuf;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde escalate evidence.tar.gz\n  netsonde escalate evidence.tar.gz --format html > note.html"
)]
pub(super) struct EscalateCommand {
    /// The bundle's file.
    file: PathBuf,
    /// How to print the note.
    #[arg(long, value_enum, default_value_t)]
    format: NoteFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum NoteFormat {
    /// For a ticket.
    #[default]
    Markdown,
    /// A page to print.
    Html,
}

impl EscalateCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let document = document(&open(&self.file)?.1, &self.file)?;
        terminal::output(&match self.format {
            NoteFormat::Markdown => escalation::markdown(&document),
            NoteFormat::Html => escalation::html(&document),
        })?;
        Ok(exit::AS_EXPECTED)
    }
}
