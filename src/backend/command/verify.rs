use super::data_dir::DataDir;
use crate::blobs::Blobs;
use crate::health::tidy;
use crate::home::Home;
use crate::staging::Staging;
use crate::store::{BundleRow, Origin, Setting, Sqlite, Store, TicketStatus};
use bytes::Bytes;
use clap::Args;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::bundle;
use netsonde_contract::id::AgentId;
use netsonde_contract::receipt::Receipt;
use netsonde_disk::Disk;
use std::io::Write;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    data: DataDir,
}

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) bundles: usize,
    pub(crate) bytes: u64,
    /// Blobs that no row names. Those that are bundles are faults: it may be that the database is older than they are.
    pub(crate) unnamed_blobs: usize,
    /// Nobody was promised them.
    pub(crate) uploads: usize,
    /// Where, and what.
    pub(crate) faults: Vec<(String, String)>,
}

impl Verify {
    /// May run beside a server: it reads only.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let home = Home::existing(&self.data.path()?)?;
        let store = Sqlite::open_to_read(&home.database()).await?;
        let receipt_key = home.existing_receipt_key()?.verifying_key();
        let staging = Staging::in_folder(&home.uploads(), Disk::system());
        let mut report = verify(&store, &Blobs::in_folder(&home.blobs(), Disk::system()), &staging, &receipt_key).await?;
        if store.setting(Setting::Installation).await? != home.installation()? {
            report.faults.push(("database".into(), "it belongs to another installation than its directory".into()));
        }
        let mut out = std::io::stdout().lock();
        for (bundle, fault) in &report.faults {
            writeln!(out, "{bundle}: {fault}")?;
        }
        writeln!(
            out,
            "{} bundles ({} bytes) checked, {} faults; {} blobs without a row, {} unfinished uploads",
            report.bundles,
            report.bytes,
            report.faults.len(),
            report.unnamed_blobs,
            report.uploads
        )?;
        Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Checks every acknowledged bundle against its blob, its signatures, its ticket and its receipt.
pub(crate) async fn verify(
    store: &dyn Store,
    blobs: &Blobs,
    staging: &Staging,
    receipt_key: &VerifyingKey,
) -> anyhow::Result<Report> {
    /// Ids read at once.
    const PAGE: u32 = 1000;
    let mut report = Report::default();
    report.faults.extend(store.faults().await?.into_iter().map(|fault| ("database".to_owned(), fault)));
    let mut after = None;
    loop {
        let page = store.bundle_ids_after(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        for id in &page {
            report.bundles += 1;
            // A row that cannot be read is a fault of that bundle, and no reason to leave the others unchecked.
            let checked = match store.bundle(id).await {
                Ok(Some(row)) => {
                    report.bytes += row.size_bytes;
                    check(store, blobs, receipt_key, &row).await?
                }
                Ok(None) => continue,
                Err(error) => Err(with_source(&error)),
            };
            if let Err(fault) = checked {
                report.faults.push((id.to_string(), fault));
            }
        }
    }
    let unnamed = "is a bundle that no row names: the database may be older than it; restore the latest and start the server";
    for digest in blobs.list().await? {
        if store.names_blob(&digest).await? {
            continue;
        }
        let is_bundle = match blobs.get(&digest).await {
            Ok(bytes) => tokio::task::spawn_blocking(move || bundle::verify(&bytes).is_ok()).await?,
            Err(_) => false,
        };
        // A running server may have named it meanwhile.
        if is_bundle && !store.names_blob(&digest).await? {
            report.faults.push((format!("blob {digest}"), unnamed.to_owned()));
        }
        report.unnamed_blobs += 1;
    }
    for digest in blobs.orphans().await? {
        if !store.names_blob(&digest).await? {
            report.faults.push((format!("orphan {digest}"), unnamed.to_owned()));
            report.unnamed_blobs += 1;
        }
    }
    report.uploads = staging.list().await?.len();
    Ok(report)
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The first thing that is wrong with a row, in words.
async fn check(
    store: &dyn Store,
    blobs: &Blobs,
    receipt_key: &VerifyingKey,
    row: &BundleRow,
) -> anyhow::Result<Result<(), String>> {
    let bytes: Bytes = match blobs.get(&row.file_sha256).await {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let size = bytes.len() as u64;
    let verified = tokio::task::spawn_blocking(move || bundle::verify(&bytes)).await?;
    let bundle = match verified {
        Ok(bundle) => bundle,
        Err(refusal) => return Ok(Err(refusal.to_string())),
    };
    let receipt = match Receipt::verify(&row.receipt, receipt_key) {
        Ok(receipt) => receipt,
        Err(error) => return Ok(Err(format!("its receipt does not verify: {error}"))),
    };
    if let Err(fault) = check_origin(store, receipt_key, row, &bundle).await? {
        return Ok(Err(fault));
    }
    let faults = [
        (bundle.id == row.id && size == row.size_bytes && bundle.key == row.key, "its row is of another bundle"),
        (
            receipt.bundle == row.id && receipt.file_sha256 == row.file_sha256 && receipt.received == row.received,
            "its receipt is of another bundle",
        ),
    ];
    Ok(first_fault(faults))
}

fn first_fault<const N: usize>(faults: [(bool, &str); N]) -> Result<(), String> {
    faults.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, fault)| Err(fault.to_owned()))
}

/// Whether the bundle is what its row says that it answers.
async fn check_origin(
    store: &dyn Store,
    receipt_key: &VerifyingKey,
    row: &BundleRow,
    bundle: &bundle::Bundle,
) -> anyhow::Result<Result<(), String>> {
    match &row.origin {
        Origin::Ticket(ticket) => {
            let Some(ticket) = store.ticket(ticket).await? else { return Ok(Err("its ticket is missing".into())) };
            let proved = |proof: &str| ticket.proof_key.verify(&ticket.id, &bundle.key, receipt_key, proof);
            Ok(first_fault([
                (bundle.predicate.ticket.as_ref().is_some_and(|claim| proved(&claim.proof)), "its key did not prove its ticket"),
                (ticket.status == TicketStatus::Used { by: row.id.clone() }, "its ticket is not marked as used by it"),
                (
                    ticket.case == row.case && ticket.set_sha256 == bundle.predicate.set.sha256,
                    "its case or set is not its ticket's",
                ),
            ]))
        }
        Origin::Order { order, agent } => {
            let Some(place) = store.delivery_place(order, agent).await? else { return Ok(Err("its order is missing".into())) };
            Ok(first_fault([
                (AgentId::of(&bundle.key) == *agent, "its key is not its agent's"),
                (bundle.predicate.order.as_ref() == Some(order), "it names another order"),
                (place.case == row.case && place.set_sha256 == bundle.predicate.set.sha256, "its case or set is not its order's"),
            ]))
        }
        Origin::Scheduled { agent, scheduled } => Ok(first_fault([
            (AgentId::of(&bundle.key) == *agent, "its key is not its agent's"),
            (bundle.predicate.scheduled.as_ref().map(tidy).as_ref() == Some(scheduled), "it names another schedule"),
            (store.watched(&row.case).await?.is_some(), "its case watches no schedule"),
        ])),
        Origin::Brought => Ok(Ok(())),
    }
}
