use super::{ENROLLING_FILE, Home, Identity, TransportKey};
use crate::disk::{read_json, write_json};
use crate::stop::Stop;
use ed25519_dalek::SigningKey;
use netsonde_contract::api::fleet::{CheckIn, Introduce, Introduced, MAX_ROOTS, TrustDocuments};
use netsonde_contract::enrolment::{CodeProof, Enrolment, Introduction};
use netsonde_contract::id::AgentId;
use netsonde_contract::trust::{Anchor, PublicKey, TrustError};
use serde::{Deserialize, Serialize};

/// An enrolment under way. It is on the disk before the code is used, so that an answer that was lost is asked for again with the same keys.
#[derive(Serialize, Deserialize)]
pub(crate) struct Enrolling {
    pub(crate) identity: Identity,
    pub(crate) introduction: String,
}

impl Enrolling {
    /// Introduces the agent of `key`; with the same string again, in the same words.
    pub(crate) fn begin(
        home: &Home<'_>,
        enrolment: &Enrolment,
        key: &SigningKey,
        host_name: Option<String>,
    ) -> Result<Self, Stop> {
        let agent = AgentId::of(&key.verifying_key());
        if let Some(begun) = Self::begun(home)?.filter(|begun| {
            let same = &begun.identity;
            same.root == enrolment.root && same.agent == agent && begun.is_for(enrolment)
        }) {
            return Ok(begun);
        }
        let enrolling = Self::fresh(enrolment, key, host_name)?;
        write_json(&home.file(ENROLLING_FILE), &enrolling).map_err(|error| {
            Stop::usage(format!("the state directory {} cannot be written: {error}", home.state.path().display()))
        })?;
        Ok(enrolling)
    }

    /// The agent of `key` with a new transport key, on no disk yet.
    pub(crate) fn fresh(enrolment: &Enrolment, key: &SigningKey, host_name: Option<String>) -> Result<Self, Stop> {
        let transport = TransportKey::fresh()?;
        let proof = enrolment.code.proof_key().proof(&enrolment.id, &key.verifying_key(), &enrolment.receipt_key);
        let introduction = Introduction {
            bundle_key: PublicKey::new(key.verifying_key(), ""),
            transport_key: PublicKey::new(transport.key()?.verifying_key(), ""),
            number: 1,
            replaces: None,
            code: Some(CodeProof { id: enrolment.id.clone(), proof }),
            host_name,
        };
        let identity = Identity {
            backend: enrolment.backend.clone(),
            tls_pin: enrolment.tls_pin.clone(),
            organisation: enrolment.organisation.clone(),
            root: enrolment.root.clone(),
            receipt_key: PublicKey::new(enrolment.receipt_key, ""),
            agent: AgentId::of(&key.verifying_key()),
            number: 1,
            transport,
        };
        let introduction = String::from_utf8_lossy(&introduction.sign(key).to_json()).into_owned();
        Ok(Self { identity, introduction })
    }

    /// The enrolment that waits for its answer.
    pub(crate) fn begun(home: &Home<'_>) -> Result<Option<Self>, Stop> {
        read_json(&home.file(ENROLLING_FILE)).map_err(|error| home.unreadable(ENROLLING_FILE, &error))
    }

    fn is_for(&self, enrolment: &Enrolment) -> bool {
        let introduction = Introduction::verify(self.introduction.as_bytes(), None).ok();
        introduction.and_then(|introduction| introduction.code).is_some_and(|code| code.id == enrolment.id)
    }

    pub(crate) fn body(&self, check_in: CheckIn) -> Introduce {
        Introduce { introduction: self.introduction.clone(), check_in }
    }

    /// Takes the answer: the root that the string pinned, whatever else the backend says.
    ///
    /// # Errors
    /// Where the root is another one, nothing is kept and the machine is not enrolled.
    pub(crate) fn finish(self, home: &Home<'_>, answer: &Introduced) -> Result<(Identity, Anchor), Stop> {
        if answer.agent != self.identity.agent {
            return Err(Stop::refused("the backend answered for another agent; nothing was enrolled").next(WARN_SUPPORT));
        }
        let anchor = anchor_of(&answer.trust, &self.identity.root).map_err(|error| {
            Stop::refused(format!(
                "the backend did not show the organisation's root ({}): {error}; nothing was enrolled",
                error.code()
            ))
            .next(WARN_SUPPORT)
        })?;
        let kept = |error: std::io::Error| {
            Stop::usage(format!("the state directory {} cannot be written: {error}", home.state.path().display()))
                .next("make room on the disk and enrol again with the same string")
        };
        home.save_anchor(&anchor).map_err(kept)?;
        home.save_link(&answer.link).map_err(kept)?;
        // The identity comes last: with it the machine is enrolled.
        home.save_identity(&self.identity).map_err(kept)?;
        let _ = std::fs::remove_file(home.file(ENROLLING_FILE));
        Ok((self.identity, anchor))
    }
}

const WARN_SUPPORT: &str = "tell support by another way than this backend: somebody may stand in its place";

/// The pinned root among the backend's documents, and what follows it.
pub(crate) fn anchor_of(documents: &TrustDocuments, fingerprint: &str) -> Result<Anchor, TrustError> {
    let mut last = TrustError::NoList;
    for root in documents.roots.iter().take(MAX_ROOTS) {
        match Anchor::pinned(root.as_bytes(), fingerprint) {
            Ok(mut anchor) => {
                // A newer root or a list that is not in order is no reason not to hold the right root.
                let _ = accept(&mut anchor, documents);
                return Ok(anchor);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What came of an organisation's documents.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Something newer was taken.
    pub(crate) changed: bool,
    /// The first document that was refused; nothing after it was looked at.
    pub(crate) refused: Option<TrustError>,
}

/// Takes roots, one after the other, and the list of keys, as far as they are newer, up to the first that is refused. No more than [`MAX_ROOTS`] are
/// looked at, and only the next one's signatures: whoever holds the backend makes as many roots as they like.
pub(crate) fn accept(anchor: &mut Anchor, documents: &TrustDocuments) -> Accepted {
    let mut changed = false;
    for root in documents.roots.iter().take(MAX_ROOTS) {
        match anchor.accept_root(root.as_bytes()) {
            Ok(taken) => changed |= taken,
            // All roots come, from the first on.
            Err(TrustError::Rollback { .. }) => {}
            Err(error) => return Accepted { changed, refused: Some(error) },
        }
    }
    match documents.list.as_ref().map(|list| anchor.accept_list(list.as_bytes())) {
        Some(Ok(taken)) => Accepted { changed: changed | taken, refused: None },
        Some(Err(error)) => Accepted { changed, refused: Some(error) },
        None => Accepted { changed, refused: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer;
    use jiff::{SignedDuration, Timestamp};
    use netsonde_contract::dsse::Envelope;
    use netsonde_contract::trust::{KeyList, RoleKeys, RootStatement};

    fn key(seed: u64) -> SigningKey {
        SigningKey::from_bytes(&std::array::from_fn(|at| seed.to_le_bytes()[at % 8]))
    }

    fn signed(mut envelope: Envelope, seeds: &[u64]) -> String {
        for seed in seeds {
            let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
            envelope.add_signature(&key(*seed).verifying_key(), signature);
        }
        String::from_utf8(envelope.to_json()).unwrap()
    }

    /// The root of this version, whose key is the version's own.
    fn root(version: u64, first: Option<&Anchor>) -> RootStatement {
        RootStatement {
            name: "Contoso".into(),
            organisation: first.map(|anchor| anchor.organisation().clone()),
            version,
            issued: Timestamp::UNIX_EPOCH,
            keys: vec![PublicKey::new(key(version).verifying_key(), "")],
            threshold: 1,
        }
    }

    fn held() -> (Anchor, String) {
        let first = signed(root(1, None).envelope(), &[1]);
        let fingerprint = RootStatement::fingerprint(root(1, None).envelope().unverified());
        (Anchor::pinned(first.as_bytes(), &fingerprint).unwrap(), first)
    }

    #[test]
    fn the_first_document_that_is_refused_is_the_last_that_is_looked_at() {
        let (mut anchor, first) = held();
        let by_both = |version: u64| signed(root(version, Some(&anchor)).envelope(), &[version - 1, version]);
        let alone = signed(root(3, Some(&anchor)).envelope(), &[3]);
        let roots = vec![first, by_both(2), alone, by_both(3)];
        let accepted = accept(&mut anchor.clone(), &TrustDocuments { roots: roots.clone(), list: None });
        assert!(accepted.changed && accepted.refused.as_ref().is_some_and(|error| error.code() == "too_few_signatures"));
        accept(&mut anchor, &TrustDocuments { roots, list: None });
        assert_eq!(anchor.versions(), (2, 0));
        // What is refused is told, whatever was taken before it.
        let list = KeyList {
            organisation: anchor.organisation().clone(),
            root: 2,
            version: 1,
            issued: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1),
            order: RoleKeys { threshold: 1, keys: Vec::new() },
            receipt: RoleKeys { threshold: 1, keys: Vec::new() },
            revoked: Vec::new(),
        };
        let third = signed(root(3, Some(&anchor)).envelope(), &[2, 3]);
        let documents = TrustDocuments { roots: vec![third], list: Some(signed(list.envelope(), &[2])) };
        let accepted = accept(&mut anchor, &documents);
        assert!(accepted.changed && accepted.refused.is_some());
    }

    #[test]
    fn of_endless_roots_only_so_many_are_looked_at() {
        let (mut anchor, first) = held();
        let next = signed(root(2, Some(&anchor)).envelope(), &[1, 2]);
        let roots = |before: usize| [vec![first.clone(); before], vec![next.clone()]].concat();
        let late = TrustDocuments { roots: roots(MAX_ROOTS), list: None };
        assert_eq!(accept(&mut anchor, &late), Accepted::default());
        let last = TrustDocuments { roots: roots(MAX_ROOTS - 1), list: None };
        assert!(accept(&mut anchor, &last).changed);
    }
}
