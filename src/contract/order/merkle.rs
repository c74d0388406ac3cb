//! Merkle trees of RFC 9162 section 2.1, over SHA-256: one signature for any number of agents, a short proof for each.

use crate::bundle::hexadecimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// No proof is longer: 2^40 agents are more than there are.
const MAX_PROOF: usize = 40;

/// That a leaf stands at a place in a tree (RFC 9162 section 2.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MerkleProof {
    /// The leaf's place, from 0.
    pub index: u64,
    /// The hashes on the way to the root, the lowest first, in lower-case hexadecimal.
    pub path: Vec<String>,
}

/// A tree that is held whole, for whoever makes the proofs.
#[derive(Debug)]
pub struct MerkleTree {
    /// The leaves' hashes first, then each row above; a node without a sibling goes up as it is.
    rows: Vec<Vec<Hash>>,
}

impl MerkleTree {
    pub fn new<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Self {
        let mut rows = vec![leaves.into_iter().map(|leaf| leaf_hash(leaf.as_ref())).collect::<Vec<_>>()];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let above =
                row.chunks(2).map(|pair| if let [left, right] = pair { node_hash(left, right) } else { pair[0] }).collect();
            rows.push(above);
        }
        Self { rows }
    }

    /// The root in lower-case hexadecimal; that of no leaves is the hash of nothing.
    pub fn root(&self) -> String {
        let root = self.rows.last().and_then(|row| row.first()).copied();
        hexadecimal(&root.unwrap_or_else(|| Sha256::digest(b"").into()))
    }

    /// The proof of the leaf at `index`, where there is one.
    pub fn proof(&self, index: usize) -> Option<MerkleProof> {
        self.rows[0].get(index)?;
        let place_in = |level: usize| index >> level;
        let siblings = self.rows.iter().enumerate().filter_map(|(level, row)| row.get(place_in(level) ^ 1));
        Some(MerkleProof { index: index as u64, path: siblings.map(|hash| hexadecimal(hash)).collect() })
    }
}

impl MerkleProof {
    /// Whether `leaf` stands at this place of the tree of `count` leaves with this root (RFC 9162 section 2.1.3.2).
    pub fn holds(&self, leaf: &[u8], root: &str, count: u64) -> bool {
        if self.index >= count || self.path.len() > MAX_PROOF {
            return false;
        }
        let (mut place, mut last) = (self.index, count - 1);
        let mut hash = leaf_hash(leaf);
        for sibling in &self.path {
            let Some(sibling) = parse_hash(sibling) else { return false };
            if last == 0 {
                return false;
            }
            if place & 1 == 1 || place == last {
                hash = node_hash(&sibling, &hash);
                while place & 1 == 0 && place != 0 {
                    (place, last) = (place >> 1, last >> 1);
                }
            } else {
                hash = node_hash(&hash, &sibling);
            }
            (place, last) = (place >> 1, last >> 1);
        }
        last == 0 && hexadecimal(&hash) == root
    }
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree of the empty string and seven others that Certificate Transparency's own tests use; the roots are theirs.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let root = |count: usize| MerkleTree::new(&leaves[..count]).root();
        assert_eq!(root(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(root(1), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(root(8), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_proof_and_no_other_leaf_has_it() {
        for count in 1..=33_usize {
            let leaves: Vec<Vec<u8>> = (0..count).map(|place| vec![place as u8; 5]).collect();
            let tree = MerkleTree::new(&leaves);
            for (place, leaf) in leaves.iter().enumerate() {
                let proof = tree.proof(place).unwrap();
                assert!(proof.holds(leaf, &tree.root(), count as u64), "{place} of {count}");
                assert!(!proof.holds(b"other", &tree.root(), count as u64));
                let moved = MerkleProof { index: (place as u64 + 1) % count as u64, ..proof.clone() };
                assert!(count == 1 || !moved.holds(leaf, &tree.root(), count as u64), "{place} of {count}, moved");
                let longer = MerkleProof { path: [proof.path.clone(), vec!["0".repeat(64)]].concat(), ..proof };
                assert!(!longer.holds(leaf, &tree.root(), count as u64));
            }
            assert_eq!(tree.proof(count), None);
        }
    }
}
