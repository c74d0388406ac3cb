/// One customer's part of the log.
mod export;

use super::data_dir::DataDir;
use crate::home::Home;
use crate::store::{Sqlite, Store};
use clap::{Args, Subcommand};
use ed25519_dalek::VerifyingKey;
use netsonde_contract::audit::{Altered, Entry, Head, follow};
use netsonde_contract::receipt::Receipt;
use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

#[cfg(test)]
pub(crate) use export::{Wanted, export};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    data: DataDir,
    /// Only check the log; print no entries
    #[arg(long)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Write what concerns one customer's agents for that customer, and of every other entry no word, only what the chain needs
    #[command(
        after_help = "Examples:\n  netsonde-backend audit export --label customer=acme acme-audit.jsonl\n  netsonde-backend audit export --case 4711 > audit.jsonl\nThe customer checks it with `netsonde audit verify FILE`."
    )]
    Export(export::Export),
}

/// What was followed, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Where the log stands, as far as it holds.
    pub(crate) head: Option<Head>,
    /// Receipts that name an entry.
    pub(crate) receipts: usize,
    pub(crate) faults: Vec<String>,
}

impl Audit {
    /// One JSON object a line on standard output, what it came to on standard error. May run beside a server: it reads only.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(Part::Export(export)) = self.part {
            return export.run().await;
        }
        let home = Home::existing(&self.data.path()?)?;
        let store = Sqlite::open_to_read(&home.database()).await?;
        let receipt_key = home.existing_receipt_key()?.verifying_key();
        let mut out = std::io::stdout().lock();
        let followed = follow_whole(&store, &receipt_key, |entry| {
            if !self.quiet {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
            }
            Ok(())
        })
        .await?;
        let mut said = std::io::stderr().lock();
        for fault in &followed.faults {
            writeln!(said, "{fault}")?;
        }
        let (number, sha256) = followed.head.as_ref().map_or((0, "none"), |head| (head.number, head.sha256.as_str()));
        writeln!(
            said,
            "{number} entries, head {sha256}; {} receipts name an entry; {} faults",
            followed.receipts,
            followed.faults.len()
        )?;
        Ok(if followed.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Follows the log from its first entry to its last, and holds it against what signed receipts say of it.
pub(crate) async fn follow_whole(
    store: &dyn Store,
    receipt_key: &VerifyingKey,
    mut show: impl FnMut(&Entry) -> anyhow::Result<()>,
) -> anyhow::Result<Followed> {
    /// Entries read at once.
    const PAGE: u32 = 1000;
    let mut named = heads_in_receipts(store, receipt_key).await?;
    let mut followed = Followed { receipts: named.values().map(Vec::len).sum(), ..Followed::default() };
    let (mut at, mut holds) = (0, true);
    loop {
        let page = store.audit_after(at, PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.number;
        for entry in &page {
            show(entry)?;
            let wrong = named.remove(&entry.number).unwrap_or_default().into_iter().filter(|(_, sha256)| *sha256 != entry.sha256);
            followed.faults.extend(
                wrong.map(|(bundle, _)| {
                    format!("entry {} is not the one that the receipt of bundle {bundle} names", entry.number)
                }),
            );
        }
        if holds {
            match follow(followed.head.clone(), &page) {
                Ok(head) => followed.head = head,
                Err(Altered { number }) => {
                    holds = false;
                    followed.faults.push(Altered { number }.to_string());
                }
            }
        }
    }
    let missing = named.into_iter().flat_map(|(number, receipts)| receipts.into_iter().map(move |(bundle, _)| (number, bundle)));
    followed
        .faults
        .extend(missing.map(|(number, bundle)| format!("entry {number} is missing, which the receipt of bundle {bundle} names")));
    Ok(followed)
}

/// By an entry's number: the bundles whose receipts name it, and the hash that they name.
async fn heads_in_receipts(store: &dyn Store, key: &VerifyingKey) -> anyhow::Result<HashMap<u64, Vec<(String, String)>>> {
    const PAGE: u32 = 1000;
    let mut named: HashMap<u64, Vec<(String, String)>> = HashMap::new();
    let mut after = None;
    loop {
        let page = store.bundle_ids_after(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(named) };
        after = Some(last.clone());
        for id in &page {
            // A row or receipt that cannot be read is `verify`'s to find.
            let Ok(Some(row)) = store.bundle(id).await else { continue };
            if let Ok(Receipt { audit: Some(head), .. }) = Receipt::verify(&row.receipt, key) {
                named.entry(head.number).or_default().push((id.short().to_owned(), head.sha256));
            }
        }
    }
}
