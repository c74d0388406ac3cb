use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The organisation's keys. All but `publish` and `receipt-key` work on a machine without a network.
#[derive(Subcommand)]
pub(crate) enum OrganisationCommand {
    /// Makes the organisation's root, which is kept offline.
    ///
    /// Without --root-key new OpenSSH Ed25519 keys are made in the folder's root-keys/, to be carried to offline media.
    #[command(after_help = "Example:\n  netsonde-desk org init --name \"Contoso support\"")]
    Init {
        /// The organisation's name, which customers see.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        root: RootWish,
    },
    /// Notes an engineer's key for the next list of keys.
    AddSigner {
        /// The public key: a file such as id_ed25519.pub, or the line itself.
        #[arg(value_name = "KEY.pub")]
        key: String,
    },
    /// Takes an engineer's key off the next list of keys; it is listed as revoked.
    RemoveSigner {
        /// The key's file, line, fingerprint (SHA256:…) or comment.
        key: String,
        /// Do not list it as revoked.
        #[arg(long)]
        forget: bool,
    },
    /// Notes the key with which the backend signs receipts.
    ReceiptKey {
        /// The public key's file or line, or a ticket (nst1_…) that carries it; the backend is asked otherwise.
        #[arg(value_name = "KEY")]
        key: Option<String>,
        /// Take the other receipt keys off.
        #[arg(long)]
        replace: bool,
        /// Do not ask: the fingerprint was compared with what the backend's machine says.
        #[arg(long)]
        yes: bool,
    },
    /// Signs the next list of keys with the root.
    SignList {
        /// How long the list counts; 100 days at most.
        #[arg(long, value_name = "TIME", default_value = "90d")]
        life: String,
        /// So many engineers must sign every order.
        #[arg(long, value_name = "NUMBER")]
        order_threshold: Option<usize>,
        /// Sign a list without a receipt key: agents then know no receipt of the backend's, and nobody can be enrolled.
        #[arg(long)]
        without_receipts: bool,
        /// A private root key; those in root-keys/ and in the ssh-agent otherwise. May be given several times.
        #[arg(long = "root-key", value_name = "FILE")]
        root_keys: Vec<PathBuf>,
    },
    /// Adds a root key's signature to a document that waits for more.
    Sign {
        file: PathBuf,
        /// A private root key; those in root-keys/ and in the ssh-agent otherwise. May be given several times.
        #[arg(long = "root-key", value_name = "FILE")]
        root_keys: Vec<PathBuf>,
    },
    /// Replaces the root's keys; old and new keys sign the new root together.
    RotateRoot {
        /// Another name for the organisation, which customers see.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        root: RootWish,
        /// A private key of the old root; those in root-keys/ and in the ssh-agent otherwise. May be given several times.
        #[arg(long = "old-root-key", value_name = "FILE")]
        old_root_keys: Vec<PathBuf>,
    },
    /// Hands the signed documents to the backend.
    Publish,
    /// Who counts, until when, and what wants doing.
    Status,
}

/// What a root is to be.
#[derive(Args)]
pub(crate) struct RootWish {
    /// A key of the new root: a private key, or a public one whose holder signs later. May be given several times.
    #[arg(long = "root-key", value_name = "FILE")]
    pub(crate) root_keys: Vec<PathBuf>,
    /// So many of the root's keys must sign a list of keys, or the next root; 1 unless given.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threshold: Option<usize>,
    /// How many keys to make where none is given.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) keys: usize,
    /// Make the new keys without a passphrase.
    #[arg(long)]
    pub(crate) no_passphrase: bool,
}
