use super::{Epoch, MerkleProof, MerkleTree};
use crate::id::AgentId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many agents are listed in an order; more are leaves of a tree.
pub const MAX_LISTED: usize = 100;

/// One agent and the epoch that it published lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Addressee {
    pub agent: AgentId,
    pub epoch: Epoch,
}

/// Whom an order is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Addressees {
    Listed(Vec<Addressee>),
    /// The root of the tree of all addressees, in lower-case hexadecimal, and how many they are.
    Tree {
        root: String,
        count: u64,
    },
}

impl Addressees {
    /// Names `addressees` in the shortest way that is allowed; the tree where there is one, for its proofs.
    pub fn of(addressees: &[Addressee]) -> (Self, Option<MerkleTree>) {
        if addressees.len() <= MAX_LISTED {
            return (Self::Listed(addressees.to_vec()), None);
        }
        let tree = MerkleTree::new(addressees.iter().map(Addressee::leaf));
        (Self::Tree { root: tree.root(), count: addressees.len() as u64 }, Some(tree))
    }

    /// The agent's place among them, from 0; `proof` says it where they are leaves of a tree.
    pub fn place(&self, agent: &AgentId, proof: Option<&MerkleProof>) -> u64 {
        match self {
            Self::Listed(agents) => agents.iter().position(|one| one.agent == *agent).unwrap_or_default() as u64,
            Self::Tree { .. } => proof.map_or(0, |proof| proof.index),
        }
    }

    /// How many agents the order is for: each divides the rate towards a target by it.
    pub fn count(&self) -> u64 {
        match self {
            Self::Listed(agents) => agents.len() as u64,
            Self::Tree { count, .. } => *count,
        }
    }
}

impl Addressee {
    /// What stands for the agent in a tree: both parts have fixed lengths.
    pub fn leaf(&self) -> Vec<u8> {
        [self.agent.as_str().as_bytes(), self.epoch.as_str().as_bytes()].concat()
    }
}
