use super::super::data_dir::DataDir;
use crate::clock::Clock;
use crate::home::Home;
use crate::store::{AgentRow, Sqlite, Store};
use anyhow::{Context, bail, ensure};
use clap::Args;
use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use netsonde_contract::audit::{Excerpt, Head, Line, Subject, follow};
use netsonde_contract::id::{AgentId, CaseId};
use netsonde_contract::trust::{PublicKey, fingerprint};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Entries read at once.
const PAGE: u32 = 1000;
/// Fewer digits of an id are none of an agent's.
const FEWEST_DIGITS: usize = 8;

#[derive(Args)]
pub(super) struct Export {
    /// The file to write; standard output without it
    file: Option<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    data: DataDir,
}

/// Whose entries are told.
#[derive(Args, Default)]
#[group(required = true, multiple = true)]
pub(crate) struct Wanted {
    /// An agent, by its id, the first 8 digits of it, or its host name; as often as there are agents
    #[arg(long = "agent", value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    /// All agents with this label; where several are given, with each of them
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// All agents that orders of this case went to, and its tickets and bundles
    #[arg(long = "case", value_name = "ID", value_parser = case)]
    pub(crate) cases: Vec<CaseId>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn case(text: &str) -> Result<CaseId, String> {
    CaseId::parse(text).ok_or_else(|| "this is no number of a case".to_owned())
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) excerpt: Excerpt,
    pub(crate) agents: usize,
    pub(crate) told: u64,
    pub(crate) sealed: u64,
}

impl Export {
    /// What it came to on standard error. May run beside a server: it reads only.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let home = Home::existing(&self.data.path()?)?;
        let store = Sqlite::open_to_read(&home.database()).await?;
        let key = home.existing_receipt_key()?;
        let now = Clock::system().now();
        let written = match &self.file {
            Some(file) => {
                let writing = || format!("writing the excerpt to {}", file.display());
                let mut out = BufWriter::new(File::create(file).with_context(writing)?);
                let written = export(&store, &key, &self.wanted, now, &mut out).await?;
                out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).with_context(writing)?;
                written
            }
            None => export(&store, &key, &self.wanted, now, &mut std::io::stdout().lock()).await?,
        };
        let Written { excerpt, agents, told, sealed } = written;
        let mut said = std::io::stderr().lock();
        writeln!(said, "{told} entries told, which concern {agents} agents or everybody; {sealed} sealed")?;
        if let Some(Head { number, .. }) = excerpt.after {
            writeln!(said, "entries 1 to {number} are older than excerpts and not in it")?;
        }
        writeln!(said, "head {} {}, signed by {}", excerpt.head.number, excerpt.head.sha256, fingerprint(&key.verifying_key()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the excerpt of all that was logged before now, a line each.
pub(crate) async fn export(
    store: &dyn Store,
    key: &SigningKey,
    wanted: &Wanted,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<Written> {
    // What is logged from here on is not in it, so that all that it is about is known by now.
    let head = store.audit_head().await?.context("the audit log has no entry yet")?;
    let Looked { after, successions } = look_through(store, head.number).await?;
    ensure!(after.as_ref() != Some(&head), "no entry of the audit log is of a version that can be sealed");
    let mut about = chosen(store, wanted).await?;
    // The latest first, so that whoever came before whoever came before is found too.
    for [former, latter] in successions.into_iter().rev() {
        if about.contains_key(&latter) {
            about.insert(former, Subject::Agent);
        }
    }
    let agents: Vec<AgentId> =
        about.iter().filter(|(_, what)| **what == Subject::Agent).map(|(id, _)| AgentId::new(id.clone())).collect();
    for agent in &agents {
        let orders = store.deliveries_to(agent, u32::MAX).await?.into_iter().map(|delivery| delivery.order);
        about.extend(orders.map(|order| (order.as_str().to_owned(), Subject::Order)));
    }
    let excerpt = Excerpt { made: now, key: PublicKey::new(key.verifying_key(), ""), after, head, about };
    let mut line = |bytes: &[u8]| out.write_all(bytes).and_then(|()| out.write_all(b"\n")).context("writing the excerpt");
    line(&excerpt.sign(key))?;
    let mut written = Written { excerpt, agents: agents.len(), told: 0, sealed: 0 };
    let mut at = written.excerpt.after.clone();
    while at.as_ref() != Some(&written.excerpt.head) {
        let last = at.as_ref().map_or(0, |head| head.number);
        let mut page = store.audit_after(last, PAGE).await?;
        page.retain(|entry| entry.number <= written.excerpt.head.number);
        ensure!(!page.is_empty(), "entry {} of the audit log is missing; netsonde-backend audit says more", last + 1);
        at = follow(at, &page).context("netsonde-backend audit says more")?;
        for entry in &page {
            let told =
                written.excerpt.line(entry).with_context(|| format!("entry {} of the audit log has no salt", entry.number))?;
            match told {
                Line::Open(_) => written.told += 1,
                Line::Sealed(_) => written.sealed += 1,
            }
            line(&serde_json::to_vec(&told)?)?;
        }
    }
    Ok(written)
}

/// What must be known of the whole log before its first line is written.
#[derive(Default)]
struct Looked {
    /// The last entry that cannot be sealed.
    after: Option<Head>,
    /// Agents, and which took their places, in the log's order.
    successions: Vec<[String; 2]>,
}

async fn look_through(store: &dyn Store, end: u64) -> anyhow::Result<Looked> {
    let mut looked = Looked::default();
    let mut at = 0;
    while at < end {
        let page = store.audit_after(at, PAGE).await?;
        let Some(last) = page.last() else { break };
        at = last.number;
        for entry in page.into_iter().filter(|entry| entry.number <= end) {
            if entry.salt.is_none() {
                looked.after = Some(entry.head());
            }
            looked.successions.extend(<[String; 2]>::try_from(entry.about));
        }
    }
    Ok(looked)
}

/// The ids that were asked for.
async fn chosen(store: &dyn Store, wanted: &Wanted) -> anyhow::Result<BTreeMap<String, Subject>> {
    let agents = store.agents(u32::MAX).await?;
    let mut about = BTreeMap::new();
    for text in &wanted.agents {
        about.insert(named(&agents, text)?.id.as_str().to_owned(), Subject::Agent);
    }
    if !wanted.labels.is_empty() {
        let fits = |agent: &&AgentRow| wanted.labels.iter().all(|(name, value)| agent.labels.get(name) == Some(value));
        let labelled: Vec<_> = agents.iter().filter(fits).map(|agent| (agent.id.as_str().to_owned(), Subject::Agent)).collect();
        ensure!(!labelled.is_empty(), "no enrolled agent has these labels");
        about.extend(labelled);
    }
    for case in &wanted.cases {
        ensure!(store.case(case).await?.is_some(), "there is no case {case}");
        let tickets = store.tickets_of(case, u32::MAX).await?.into_iter();
        about.extend(tickets.map(|ticket| (ticket.id.as_str().to_owned(), Subject::Ticket)));
        let bundles = store.bundles_of(case, u32::MAX).await?.into_iter();
        about.extend(bundles.map(|bundle| (bundle.id.as_str().to_owned(), Subject::Bundle)));
        for order in store.orders(Some(case), u32::MAX).await? {
            let deliveries = store.deliveries(&order.id, u32::MAX).await?;
            about.extend(deliveries.into_iter().map(|delivery| (delivery.agent.as_str().to_owned(), Subject::Agent)));
        }
    }
    Ok(about)
}

/// The one that `text` names, as at the desk.
fn named<'a>(agents: &'a [AgentRow], text: &str) -> anyhow::Result<&'a AgentRow> {
    let fits = |agent: &&AgentRow| {
        (text.len() >= FEWEST_DIGITS && agent.id.as_str().starts_with(text)) || agent.host_name.as_deref() == Some(text)
    };
    let mut fitting = agents.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(agent), None) => Ok(agent),
        (Some(_), Some(_)) => bail!("more than one agent is called `{text}`: give its whole id"),
        (None, _) => bail!("no enrolled agent is called `{text}`: give the first {FEWEST_DIGITS} digits of its id"),
    }
}
