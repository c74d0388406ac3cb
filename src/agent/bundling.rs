//! From a measured document to a signed bundle: redact, pack, sign.

use crate::measurement::Measured;
use crate::redaction::{self, MappingKey, Redaction};
use crate::state::{self, Sequence, StateDirectory};
use crate::stop::Stop;
use ed25519_dalek::SigningKey;
use netsonde_contract::bundle::{self, Build, Clocks, Consent, Contents, Packed, Predicate, Scheduled, TicketProof};
use netsonde_contract::document::Document;
use netsonde_contract::id::OrderId;
use netsonde_contract::policy::Policy;
use netsonde_contract::redaction::{Level, RedactionReport};
use netsonde_contract::ticket::Ticket;

/// Who signs, and as which bundle of theirs.
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) sequence: Sequence,
}

/// What the bundle says of the agreement it rests on.
pub(crate) struct Agreement<'a> {
    pub(crate) consent: Consent,
    pub(crate) ticket: Option<&'a Ticket>,
    pub(crate) level: Level,
    /// The order that was obeyed, and what allowed it.
    pub(crate) order: Option<Obeyed<'a>>,
    /// Why the agent ran it by itself.
    pub(crate) because: Option<Because>,
    /// The last digest of the machine's audit log.
    pub(crate) audit_head: Option<String>,
    /// The backend's clock, where it was heard.
    pub(crate) server_time: Option<jiff::Timestamp>,
}

/// A schedule that the agent keeps, and the policy in force where there is one.
pub(crate) struct Because {
    pub(crate) scheduled: Scheduled,
    pub(crate) policy_sha256: Option<String>,
}

/// An order that was obeyed.
pub(crate) struct Obeyed<'a> {
    pub(crate) id: &'a OrderId,
    /// As it was signed.
    pub(crate) envelope: &'a [u8],
    pub(crate) policy: &'a Policy,
}

/// Redacts, packs and signs. The measured document itself stays as it is.
///
/// # Errors
/// Where the key of strict redaction cannot be had, or the bundle would pass its bounds.
pub(crate) fn make(
    measured: Measured,
    agreement: &Agreement<'_>,
    signer: &Signer,
    state: Option<&StateDirectory>,
) -> Result<(Document, Packed), Stop> {
    let mapping = match (agreement.level, state) {
        (Level::Strict, Some(state)) => Some(state.mapping_key()?),
        (Level::Strict, None) => Some(MappingKey::from_bytes(state::random::<32>()?)),
        _ => None,
    };
    let how = match (&mapping, agreement.level) {
        (Some(key), _) => Redaction::Strict(key),
        (None, Level::None) => Redaction::None,
        (None, _) => Redaction::Default,
    };
    let Measured { document, journal, clock, capture, history, printed: _ } = measured;
    let (redacted, report) = redaction::redact(&document, how, &user_names());
    let history = history.map(|history| if mapping.is_some() { history.without_names() } else { history });
    let page = netsonde_report::html::page_after(&redacted, history.as_ref());
    let scheduled = agreement.because.as_ref().map(|because| match &mapping {
        Some(key) => redaction::scheduled_without_names(&because.scheduled, key),
        None => because.scheduled.clone(),
    });
    let predicate = Predicate { scheduled, ..predicate(&redacted, &report, agreement, signer, clock.wall()) };
    let mut contents = Contents::of(&redacted, &report, journal.into_lines(), page);
    // Strict redaction replaces addresses, and a capture's headers are little else.
    if let Some(capture) = capture.filter(|_| agreement.level != Level::Strict) {
        contents.add_capture(capture.file);
    }
    // So does an order, with what it is aimed at, and a policy, with what it names.
    if let Some(order) = agreement.order.as_ref().filter(|_| agreement.level != Level::Strict) {
        contents.add_order(order.envelope.to_vec(), order.policy.text.clone().into_bytes());
    }
    if let Some(history) = history {
        contents.add_history(&history);
    }
    let packed = bundle::pack(contents, predicate, &signer.key).map_err(|error| {
        Stop::usage(format!("packing the bundle failed: {error}")).next("run fewer checks or targets at once")
    })?;
    Ok((document, packed))
}

/// What the manifest says of the run; all of it comes from what is already redacted.
fn predicate(
    redacted: &Document,
    report: &RedactionReport,
    agreement: &Agreement<'_>,
    signer: &Signer,
    ended: jiff::Timestamp,
) -> Predicate {
    let ticket = agreement.ticket.map(|ticket| TicketProof {
        id: ticket.id.clone(),
        proof: ticket.proof_key().proof(&ticket.id, &signer.key.verifying_key(), &ticket.receipt_key),
    });
    Predicate {
        key_id: String::new(),
        build: build(),
        run: redacted.run.id.clone(),
        set: redacted.run.set.clone(),
        case: redacted.run.case.clone(),
        ticket,
        order: agreement.order.as_ref().map(|order| order.id.clone()),
        scheduled: None,
        audit_head: agreement.audit_head.clone(),
        policy_sha256: match (&agreement.order, &agreement.because) {
            (Some(order), _) => Some(order.policy.sha256()),
            (None, because) => because.as_ref().and_then(|because| because.policy_sha256.clone()),
        },
        consent: agreement.consent,
        redaction: report.clone(),
        sequence: signer.sequence.number,
        previous: signer.sequence.previous.clone(),
        clocks: Clocks { began: redacted.run.began, ended, elapsed_us: redacted.run.took_us, server: agreement.server_time },
        limits_hit: redacted.run.limits_hit.clone(),
    }
}

pub(crate) fn build() -> Build {
    let vendor = if cfg!(target_os = "windows") {
        "pc"
    } else if cfg!(target_vendor = "apple") {
        "apple"
    } else {
        "unknown"
    };
    let abi = if cfg!(target_env = "musl") {
        "-musl"
    } else if cfg!(target_env = "gnu") {
        "-gnu"
    } else if cfg!(target_env = "msvc") {
        "-msvc"
    } else {
        ""
    };
    let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    Build {
        program: "netsonde".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: format!("{}-{vendor}-{os}{abi}", std::env::consts::ARCH),
    }
}

/// The names under which the person who runs this is known, so that they can be taken out of error texts.
pub(crate) fn user_names() -> Vec<String> {
    /// Shorter ones, and those that name a role, would take ordinary words out of every text.
    const LEAST_CHARS: usize = 3;
    const ROLES: [&str; 5] = ["root", "admin", "administrator", "user", "system"];
    let variables = ["USER", "LOGNAME", "USERNAME", "SUDO_USER"].into_iter().filter_map(|name| std::env::var(name).ok());
    let home = ["HOME", "USERPROFILE"]
        .into_iter()
        .filter_map(std::env::var_os)
        .filter_map(|home| std::path::Path::new(&home).file_name().map(|name| name.to_string_lossy().into_owned()));
    let mut names: Vec<String> = variables.chain(home).collect();
    names.retain(|name| name.chars().count() >= LEAST_CHARS && !ROLES.contains(&name.to_ascii_lowercase().as_str()));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Every file of the bundle that the document is packed into.
    pub(crate) fn packed_files(redacted: &Document, report: &RedactionReport) -> BTreeMap<String, Vec<u8>> {
        bundle::verify(&pack(redacted, report)).unwrap().files
    }

    fn pack(redacted: &Document, report: &RedactionReport) -> Vec<u8> {
        let signer = Signer { key: SigningKey::from_bytes(&[1; 32]), sequence: Sequence::default() };
        let agreement = Agreement {
            consent: Consent::None,
            ticket: None,
            level: report.level,
            order: None,
            because: None,
            audit_head: None,
            server_time: None,
        };
        let predicate = predicate(redacted, report, &agreement, &signer, redacted.run.began);
        let contents = Contents::of(redacted, report, Vec::new(), netsonde_report::html::page(redacted));
        bundle::pack(contents, predicate, &signer.key).unwrap().bytes
    }

    /// A bundle of a document with every fact.
    pub(crate) fn packed_bytes() -> Vec<u8> {
        let document = serde_json::from_value(crate::redaction::tests::full_document()).unwrap();
        let (redacted, report) = redaction::redact(&document, Redaction::Default, &[]);
        pack(&redacted, &report)
    }
}
