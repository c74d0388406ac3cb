//! The parsers of metadata and of the platform's name server.

use super::{dns, fields};

/// A body, of which only harmless words may be kept.
pub(crate) fn metadata(bytes: &[u8]) {
    let kept = fields::of_azure(bytes).into_values().chain(fields::of_value(bytes));
    for value in kept {
        assert!(value.is_ascii() && !value.chars().any(char::is_control), "{value:?}");
        fields::region_of_zone(&value);
    }
}

/// A name server's answer.
pub(crate) fn name_server(bytes: &[u8]) {
    dns::response_code(bytes, 0x1234);
}
