use std::fmt;

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct Refusal {
    pub code: RefusalCode,
    /// What exactly is wrong, in words.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $name:ident $code:literal,)*) => {
        /// The stable codes of refusals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)*
        }

        impl RefusalCode {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

refusal_codes! {
    NotGzip "bundle_not_gzip",
    /// The file ends before the archive does.
    Truncated "bundle_truncated",
    /// Not the layout that bundles have.
    Malformed "bundle_malformed",
    /// More bytes or more files than a bundle may have.
    TooLarge "bundle_too_large",
    /// It would unpack to far more than its size.
    Bomb "bundle_bomb",
    SecondMember "bundle_second_member",
    TrailingBytes "bundle_trailing_bytes",
    /// A name that would be written elsewhere when unpacked by hand.
    AbsolutePath "bundle_absolute_path",
    /// A link, folder, device or extension: anything but a plain file.
    LinkEntry "bundle_link_entry",
    DuplicateEntry "bundle_duplicate_entry",
    /// A file that the manifest does not name.
    ExtraEntry "bundle_extra_entry",
    /// A file whose digest is not the manifest's.
    AlteredEntry "bundle_altered_entry",
    ManifestMissing "bundle_manifest_missing",
    SignatureMissing "bundle_signature_missing",
    SignatureInvalid "bundle_signature_invalid",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
