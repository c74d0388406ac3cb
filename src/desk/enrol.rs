use crate::arguments::{EnrolWish, Format};
use crate::backend::Backend;
use crate::organisation::{Folder, Organisation};
use crate::stop::Stop;
use crate::{clock, labels, private_file, table, terminal};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{EnrolmentCodeIssued, EnrolmentCodeRequest, Introduce, Introduced, TrustDocuments};
use netsonde_contract::api::path;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::{Enrolment, EnrolmentCode, Introduction};
use netsonde_contract::trust::{Role, RootStatement, fingerprint};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// An introduction is a few hundred bytes, with whatever a check-in says.
const MAX_REQUEST_BYTES: u64 = 256 * 1024;
/// Each system with the command as it is typed there.
const COMMANDS: [(&str, &str); 3] =
    [("Linux", "sudo netsonde enroll"), ("macOS", "sudo netsonde enroll"), ("Windows (as administrator)", "netsonde enroll")];

/// Makes an enrolment string, or hands in a request for a machine without a way to the backend.
pub(crate) async fn enrol(backend: &Backend, place: Option<PathBuf>, wish: EnrolWish, format: Format) -> Result<(), Stop> {
    let own = Folder::at(place)?.open()?;
    match &wish.request {
        Some(file) => hand_in(backend, file, wish.yes).await,
        None => string(backend, &own, &wish, format).await,
    }
}

async fn string(backend: &Backend, own: &Organisation, wish: &EnrolWish, format: Format) -> Result<(), Stop> {
    let request = EnrolmentCodeRequest { uses: wish.uses, hours: wish.hours, labels: labels::pairs("--label", &wish.labels)? };
    // What would make the string useless is said before a code is spent.
    compose(backend, own, clock::now())?;
    check_published(backend, own).await?;
    let issued: EnrolmentCodeIssued = backend.post("asking for an enrolment code", path::ENROLMENTS, &request).await?;
    let mut enrolment = compose(backend, own, issued.expires)?;
    enrolment.id = issued.id;
    enrolment.code = EnrolmentCode::parse(&Zeroizing::new(issued.code)).ok_or_else(|| {
        Stop::failed("the backend answered with a code that cannot be read")
            .next("check that backend and desk are of about the same version")
    })?;
    let text = enrolment.encode();
    let receipt = fingerprint(&enrolment.receipt_key);
    if format == Format::Json {
        return terminal::output(&Format::json(&json!({
            "enrolment": *text,
            "expires": enrolment.expires,
            "uses": wish.uses,
            "organisation": enrolment.organisation,
            "root_fingerprint": enrolment.root,
            "receipt_fingerprint": receipt,
        }))?);
    }
    terminal::say(&format!(
        "The string can be used {} until {}. Whoever has it can enrol a machine with you, not more.\n",
        if wish.uses == 1 { "once".to_owned() } else { format!("{} times", wish.uses) },
        table::moment(enrolment.expires)
    ));
    terminal::output(&message(&enrolment, &text))
}

/// An agent believes the backend only if that shows the root which the string pins.
async fn check_published(backend: &Backend, own: &Organisation) -> Result<(), Stop> {
    let published: TrustDocuments = backend.get("asking which organisation is published", path::TRUST).await?;
    let is_own = |root: &String| {
        Envelope::from_json(root.as_bytes())
            .is_ok_and(|envelope| RootStatement::fingerprint(envelope.unverified()) == own.fingerprint)
    };
    if published.roots.iter().any(is_own) {
        return Ok(());
    }
    Err(Stop::failed(format!("{} has not the root that this desk holds, so no machine could be enrolled", backend.address()))
        .next("netsonde-desk org publish"))
}

/// What goes to the customer.
fn message(enrolment: &Enrolment, text: &str) -> String {
    let mut message = format!(
        "Please run one command on the machine that is to be enrolled with {}. It shows two fingerprints; they must be these:\n\n{}\n",
        enrolment.organisation,
        enrolment.fingerprints()
    );
    for (system, command) in COMMANDS {
        message += &format!("{system}:\n\n    {command} {text}\n\n");
    }
    message += "Without the string behind it the command asks for it, which keeps it out of the shell's history. Enrolled machines take no orders until \
                their owner allows them: netsonde policy init\n";
    message
}

/// The string's parts from the desk's own pinned root, with a code that is still missing.
fn compose(backend: &Backend, own: &Organisation, expires: Timestamp) -> Result<Enrolment, Stop> {
    let list = own.live_list(clock::now()).map_err(|error| {
        Stop::failed(format!("no agent could follow the organisation: {error}"))
            .next("netsonde-desk org sign-list, then org publish")
    })?;
    let receipt_key = *list.keys(Role::Receipt).last().ok_or_else(|| {
        Stop::failed("the list of keys has no receipt key").next("netsonde-desk org receipt-key, org sign-list, org publish")
    })?;
    let (base, pin) = backend.place();
    Ok(Enrolment {
        id: netsonde_contract::id::TicketId::from_bytes([0; 10]),
        backend: base.to_owned(),
        tls_pin: pin.cloned(),
        organisation: own.anchor.root().name.clone(),
        root: own.fingerprint.clone(),
        receipt_key,
        expires,
        code: EnrolmentCode::from_bytes([0; 16]),
    })
}

/// Hands in what a machine without a way to the backend wrote, and writes the answer for it beside the request. The proof of the code is in the
/// request, signed by the agent's own key, so that carrying it adds no trust and takes none.
async fn hand_in(backend: &Backend, file: &Path, yes: bool) -> Result<(), Stop> {
    let unusable = |why: String| {
        Stop::usage(format!("{} is no enrolment request: {why}", file.display()))
            .next("give the file that `netsonde enroll --offline` wrote")
    };
    let bytes = private_file::read(file, MAX_REQUEST_BYTES)?;
    let request: Introduce = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    let introduction = Introduction::verify(request.introduction.as_bytes(), None).map_err(unusable)?;
    let host = introduction.host_name.as_deref().map_or_else(|| "a machine that gives no name".to_owned(), terminal::harmless);
    terminal::say(&format!(
        "{host} asks to be enrolled as agent {}, with the key {}",
        introduction.agent(),
        introduction.bundle_key.fingerprint()
    ));
    if !yes && !terminal::confirm("Is that what the machine shows?")? {
        return Err(Stop::failed("the request was not handed in").next("ask the customer for the file again"));
    }
    let answer: Introduced = backend.post("handing in the request", path::AGENTS, &request).await?;
    if answer.agent != introduction.agent() {
        return Err(Stop::failed("the backend answered for another agent").next("tell whoever runs the support backend"));
    }
    let path = file.with_extension("answer.json");
    private_file::create(&path, Format::json(&answer)?.as_bytes())?;
    terminal::output(&format!(
        "Agent {} is enrolled. Carry {} back to the machine: netsonde enroll --answer FILE\n",
        answer.agent.short(),
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organisation::tests::founded;
    use crate::test_backend::{Kept, start};

    #[tokio::test]
    async fn the_string_pins_the_desks_own_root_and_receipt_key() {
        let place = tempfile::tempdir().unwrap();
        let own = founded(place.path(), &[]);
        let (backend, kept) = start(Kept { trust: Some(own.documents.clone()), ..Kept::default() }).await;
        let enrolment = compose(&backend, &own, Timestamp::from_second(1_900_000_000).unwrap()).unwrap();
        let read = Enrolment::parse(&enrolment.encode()).ok().unwrap();
        assert_eq!(read.root, own.fingerprint);
        assert_eq!(Some(&read.receipt_key), own.anchor.receipt_keys().next());
        let receipt = fingerprint(&read.receipt_key);
        let message = message(&enrolment, "nse1_abc");
        for expected in
            [own.fingerprint.as_str(), &receipt, &enrolment.fingerprints(), "sudo netsonde enroll nse1_abc", "Windows"]
        {
            assert!(message.contains(expected), "{expected} in {message}");
        }
        let wish = EnrolWish { uses: 1, labels: Vec::new(), hours: 72, request: None, yes: true };
        string(&backend, &own, &wish, Format::Json).await.unwrap();
        assert_eq!(kept.lock().unwrap().codes, 1);
        // Where agents would find another root, or none, nobody gets a string.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = founded(elsewhere.path(), &[]).documents;
        for (trust, words) in [(Some(other), "has not the root"), (None, "nothing here")] {
            kept.lock().unwrap().trust = trust;
            let stop = string(&backend, &own, &wish, Format::Json).await.unwrap_err();
            assert!(stop.message.contains(words), "{stop:?}");
        }
        assert_eq!(kept.lock().unwrap().codes, 1, "no code was made for nothing");
    }

    #[tokio::test]
    async fn what_is_no_request_is_not_handed_in() {
        let place = tempfile::tempdir().unwrap();
        let (backend, _) = start(Kept::default()).await;
        let file = place.path().join("request.json");
        std::fs::write(&file, "{}").unwrap();
        assert!(hand_in(&backend, &file, true).await.unwrap_err().message.contains("no enrolment request"));
    }
}
