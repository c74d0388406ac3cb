//! The parsers of bundles, one function each.

use super::manifest::Manifest;
use super::{archive, bounds, file_name, ssh_signature, verify};
use crate::document::Document;
use crate::environment::Environment;
use crate::finding::Diagnosis;
use crate::outcome::Outcome;
use std::collections::BTreeMap;

/// A file that says of itself that it is a bundle.
pub(crate) fn bundle(bytes: &[u8]) {
    if let Ok(bundle) = verify(bytes) {
        // What it says within may be unreadable, and an error tells so.
        let _ = bundle.document();
    }
}

/// What is unpacked, behind the compression, which no fuzzer gets right by chance.
pub(crate) fn archive(bytes: &[u8]) {
    if let Ok(unpacked) = archive::read(&archive::compress(bytes)) {
        assert!(unpacked.files.keys().all(|name| !name.contains("..") && !name.starts_with('/')));
        assert!(unpacked.bytes <= bytes.len() as u64);
        let _ = bounds::check(&unpacked.files);
    }
}

/// The manifest, and what signs it.
pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let _ = manifest.digests();
    }
    ssh_signature::verify(bytes, b"a message");
}

/// The files of a run, within the bounds.
pub(crate) fn files(bytes: &[u8]) {
    let named = |name: &str| BTreeMap::from([(name.to_owned(), bytes.to_vec())]);
    if bounds::check(&named(file_name::FINDINGS)).is_ok() && bounds::check(&named("outcomes/0001-a.json")).is_ok() {
        let _ = serde_json::from_slice::<Document>(bytes);
        let _ = serde_json::from_slice::<Environment>(bytes);
        let _ = serde_json::from_slice::<Diagnosis>(bytes);
        let _ = serde_json::from_slice::<Outcome>(bytes);
    }
}
