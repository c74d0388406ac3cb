//! Servers choose much of what a report shows (banners, headers, certificate names, DNS data), so every writer in this crate passes each
//! piece of text through [`clean`].

pub(crate) use netsonde_contract::harmless::clean;
use std::borrow::Cow;

/// At most `max` characters, with an ellipsis for what was cut. A server's text may be as long as it likes.
pub(crate) fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
