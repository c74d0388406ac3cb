use netsonde_contract::trust::{KeyList, PublicKey, RoleKeys};
use serde::{Deserialize, Serialize};

/// What the next list of keys will say. Nobody has signed it, and nothing believes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextList {
    pub(super) order: RoleKeys,
    pub(super) receipt: RoleKeys,
    #[serde(default)]
    pub(super) revoked: Vec<PublicKey>,
}

impl Default for NextList {
    fn default() -> Self {
        let nobody = RoleKeys { threshold: 1, keys: Vec::new() };
        Self { order: nobody.clone(), receipt: nobody, revoked: Vec::new() }
    }
}

impl NextList {
    pub(super) fn of(list: &KeyList) -> Self {
        Self { order: list.order.clone(), receipt: list.receipt.clone(), revoked: list.revoked.clone() }
    }
}

/// Whether `keys` hold `key`, whatever its comment.
pub(super) fn holds(keys: &[PublicKey], key: &PublicKey) -> bool {
    keys.iter().any(|one| one.key() == key.key())
}
