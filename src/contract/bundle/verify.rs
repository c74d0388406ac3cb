use super::contents::RunFile;
use super::manifest::{self, Manifest};
use super::predicate::Predicate;
use super::refusal::{Refusal, RefusalCode as Code};
use super::{archive, bounds, file_name, hexadecimal, public_key, ssh_signature};
use crate::document::{BundlePlace, Document, Run, SCHEMA};
use crate::dsse::Envelope;
use crate::environment::Environment;
use crate::finding::{Diagnosis, State};
use crate::id::BundleId;
use crate::outcome::Outcome;
use ed25519_dalek::VerifyingKey;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A bundle that is intact: `key` signed these bytes.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub id: BundleId,
    pub key: VerifyingKey,
    pub predicate: Predicate,
    /// Every file that is there, manifest and signatures included.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files that the manifest names and that someone took out since.
    pub withheld: Vec<String>,
    pub unpacked_bytes: u64,
}

/// Checks a bundle as a whole. Nothing of it is used before the signatures over it hold.
///
/// # Errors
/// The first reason why it is not intact.
pub fn verify(bytes: &[u8]) -> Result<Bundle, Refusal> {
    let unpacked = archive::read(bytes)?;
    let files = unpacked.files;
    bounds::check(&files).map_err(|what| Refusal::new(Code::TooLarge, what))?;
    let manifest_bytes =
        files.get(file_name::MANIFEST).ok_or_else(|| Refusal::new(Code::ManifestMissing, "the bundle has no manifest.json"))?;
    let key = signing_key(&files, manifest_bytes)?;
    let malformed = |text: String| Refusal::new(Code::Malformed, text);
    let manifest = Manifest::parse(manifest_bytes).map_err(malformed)?;
    if manifest.predicate.key_id != public_key::key_id(&key) {
        return Err(Refusal::new(Code::SignatureInvalid, "the manifest names another key than the one that signed it"));
    }
    let digests = manifest.digests().map_err(malformed)?;
    for (name, content) in files.iter().filter(|(name, _)| !manifest::is_proof(name)) {
        match digests.get(name.as_str()) {
            None => return Err(Refusal::new(Code::ExtraEntry, format!("the manifest does not name `{name}`"))),
            Some(digest) if **digest == *hexadecimal(&Sha256::digest(content)) => {}
            Some(_) => return Err(Refusal::new(Code::AlteredEntry, format!("`{name}` was changed after signing"))),
        }
    }
    let withheld = digests.keys().filter(|name| !files.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    for (name, own) in
        [(file_name::SSH_PUBLIC_KEY, public_key::open_ssh(&key)), (file_name::PEM_PUBLIC_KEY, public_key::pem(&key))]
    {
        if files.get(name).is_some_and(|content| content != own.as_bytes()) {
            return Err(Refusal::new(Code::SignatureInvalid, format!("`{name}` is another key than the one that signed")));
        }
    }
    let id = BundleId::new(hexadecimal(&Sha256::digest(manifest_bytes)));
    Ok(Bundle { id, key, predicate: manifest.predicate, withheld, unpacked_bytes: unpacked.bytes, files })
}

/// The one key under which both signatures of the manifest hold.
fn signing_key(files: &BTreeMap<String, Vec<u8>>, manifest: &[u8]) -> Result<VerifyingKey, Refusal> {
    let signature_file =
        |name: &str| files.get(name).ok_or_else(|| Refusal::new(Code::SignatureMissing, format!("the bundle has no {name}")));
    let invalid = |text: String| Refusal::new(Code::SignatureInvalid, text);
    let key = ssh_signature::verify(signature_file(file_name::SSH_SIGNATURE)?, manifest)
        .ok_or_else(|| invalid("manifest.json.sig is not a signature of manifest.json".to_owned()))?;
    let envelope_file = signature_file(file_name::ENVELOPE)?;
    let envelope =
        Envelope::from_json(envelope_file).map_err(|error| invalid(format!("manifest.dsse.json is unusable: {error}")))?;
    match envelope.verify(manifest::PAYLOAD_TYPE, &key) {
        Ok(payload) if payload == manifest => {}
        Ok(_) => return Err(invalid("manifest.dsse.json is the signature of another manifest".to_owned())),
        Err(error) => return Err(invalid(format!("manifest.dsse.json does not hold: {error}"))),
    }
    // What the JSON says beside payload and signature is signed by nobody, so there must be nothing.
    if envelope.to_json() == *envelope_file && envelope.key_ids().eq([public_key::key_id(&key)]) {
        Ok(key)
    } else {
        Err(invalid("manifest.dsse.json carries something besides the signature".to_owned()))
    }
}

/// Stands for a fact whose file was taken out of the bundle.
const WITHHELD: &str = "withheld";

impl Bundle {
    /// The run's document, put together again. What was withheld is left out, or stands as `withheld`; the manifest's predicate fills in for
    /// `run.json` as far as it goes.
    ///
    /// # Errors
    /// Where a file that is there cannot be read as what its name says.
    pub fn document(&self) -> Result<Document, Refusal> {
        let RunFile { schema, run } = self.read(file_name::RUN)?.unwrap_or_else(|| self.run_of_predicate());
        let environment = self.read(file_name::ENVIRONMENT)?.unwrap_or_else(|| self.withheld_environment());
        let diagnosis: Diagnosis = self.read(file_name::FINDINGS)?.unwrap_or(Diagnosis {
            state: State::Indeterminate,
            findings: Vec::new(),
            unexplained: Vec::new(),
            not_measured: Vec::new(),
        });
        let mut outcomes: Vec<Outcome> = Vec::new();
        for name in self.files.keys().filter(|name| name.starts_with(file_name::OUTCOMES)) {
            outcomes.extend(self.read(name)?);
        }
        Ok(Document {
            schema,
            run,
            environment,
            state: diagnosis.state,
            bundle: Some(BundlePlace { id: self.id.clone(), path: None, case_url: None }),
            findings: diagnosis.findings,
            unexplained: diagnosis.unexplained,
            not_measured: diagnosis.not_measured,
            control: None,
            outcomes,
        })
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let parse = |content: &Vec<u8>| {
            serde_json::from_slice(content)
                .map_err(|error| Refusal::new(Code::Malformed, format!("`{name}` cannot be read: {error}")))
        };
        self.files.get(name).map(parse).transpose()
    }

    fn run_of_predicate(&self) -> RunFile {
        let predicate = &self.predicate;
        let run = Run {
            id: predicate.run.clone(),
            set: predicate.set.clone(),
            targets: Vec::new(),
            case: predicate.case.clone(),
            ticket: predicate.ticket.as_ref().map(|ticket| ticket.id.clone()),
            began: predicate.clocks.began,
            took_us: predicate.clocks.elapsed_us,
            interrupted: false,
            limits_hit: predicate.limits_hit.clone(),
            asked: None,
        };
        RunFile { schema: SCHEMA.to_owned(), run }
    }

    fn withheld_environment(&self) -> Environment {
        Environment {
            version: self.predicate.build.version.clone(),
            os: WITHHELD.to_owned(),
            os_release: WITHHELD.to_owned(),
            kernel: WITHHELD.to_owned(),
            architecture: WITHHELD.to_owned(),
            hostname: WITHHELD.to_owned(),
            raw_sockets: false,
            ping_sockets: false,
            elevated: false,
            packet_filter: None,
            other_processes: None,
            low_ports: None,
            grantor: Default::default(),
            began: self.predicate.clocks.began,
            confinement: None,
        }
    }
}
