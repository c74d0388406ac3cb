//! Whose word counts.
//!
//! An organisation has a *root*: one or more Ed25519 keys that are kept offline. The [`RootStatement`] names them and how many of them must
//! sign. The root signs the [`KeyList`]: versioned, expiring, with the keys that may sign orders and receipts. A new root is signed by
//! as many keys of the old one as that asks for, and by its own (the order in which roots are replaced is that of The Update Framework,
//! section 5.3). An agent holds an [`Anchor`]: the root that it was given when it enrolled, by fingerprint, and the newest list that it
//! has seen. The anchor goes forward only, so that whoever holds the backend can withhold a newer list and do nothing else.

mod anchor;
mod error;
mod key_list;
mod public_key;
mod root;

pub use anchor::Anchor;
pub use error::TrustError;
pub use key_list::{KEY_LIST_MEDIA_TYPE, KeyList, MAX_LIST_LIFE, Role, RoleKeys};
pub use public_key::{PublicKey, PublicKeyError, fingerprint};
pub use root::{ROOT_MEDIA_TYPE, RootStatement};

#[cfg(test)]
mod tests;
