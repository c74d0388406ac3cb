//! Names beyond ASCII: what people write (`bücher.example`) and what the network carries (`xn--bcher-kva.example`), by IDNA 2008 as
//! browsers do it (UTS 46, RFC 5890).

use crate::harmless::is_clean;
use idna::AsciiDenyList;

/// How every label begins that stands for one beyond ASCII (RFC 5890 section 2.3.2.1).
const PREFIX: &str = "xn--";

/// The name as the network carries it. ASCII stays as it is, in lower case.
///
/// # Errors
/// Where the rules of IDNA allow no such name.
pub fn to_ascii(name: &str) -> Result<String, &'static str> {
    if name.is_ascii() {
        return Ok(name.to_ascii_lowercase());
    }
    // What may stand in a host name is checked by whoever wants one: names of services have underscores.
    let ascii = idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::EMPTY);
    ascii.map(std::borrow::Cow::into_owned).map_err(|_| "it has characters that no internationalised name may have (IDNA)")
}

/// The name as people write it, where that is another form than the one that the network carries.
pub fn readable(name: &str) -> Option<String> {
    if !name.split('.').any(|label| label.starts_with(PREFIX)) {
        return None;
    }
    let (readable, result) = idna::domain_to_unicode(name);
    Some(readable).filter(|readable| result.is_ok() && readable != name && is_clean(readable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beyond_ascii_has_two_forms() {
        for (written, carried) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"),
            ("Shop.Example", "shop.example"),
        ] {
            assert_eq!(to_ascii(written).as_deref(), Ok(carried), "{written}");
        }
        assert_eq!(readable("xn--bcher-kva.example").as_deref(), Some("bücher.example"));
        assert_eq!(readable("shop.example"), None);
        assert_eq!(readable("xn--\u{1f}.example"), None);
        assert!(to_ascii("a\u{378}.example").is_err(), "an unassigned character");
    }
}
