//! Extended DNS errors: why a server answered as it did, in its own words (RFC 8914).

use hickory_proto::op::Edns;
use hickory_proto::rr::rdata::opt::EdnsOption;
use netsonde_contract::observation::ExtendedError;

/// The option's code in the OPT record (RFC 8914 section 2).
const OPTION_CODE: u16 = 15;

/// A reply names one or two reasons; this keeps a crafted one from naming sixteen thousand.
const MAX_ERRORS: usize = 16;

/// The registered names, by info code ("Extended DNS Error Codes" of IANA's DNS parameters).
const NAMES: [&str; 31] = [
    "Other Error",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable to conform to policy",
    "Synthesized",
    "Invalid Query Type",
];

/// The errors that an OPT record carries, in its order. An option too short to hold a code is left out.
pub(super) fn extended_errors(edns: &Edns) -> Vec<ExtendedError> {
    let errors = edns.options().as_ref().iter().filter_map(|(_, option)| match option {
        EdnsOption::Unknown(OPTION_CODE, data) => extended_error(data),
        _ => None,
    });
    errors.take(MAX_ERRORS).collect()
}

fn extended_error(data: &[u8]) -> Option<ExtendedError> {
    let (code, text) = data.split_first_chunk::<2>()?;
    let code = u16::from_be_bytes(*code);
    let name = NAMES.get(usize::from(code)).map_or_else(|| format!("Code {code}"), |name| (*name).to_owned());
    // RFC 8914 section 2: UTF-8, which some servers end with a zero byte. Control characters could rewrite a terminal's line.
    let text = String::from_utf8_lossy(text).trim_end_matches('\0').replace(char::is_control, "\u{fffd}");
    Some(ExtendedError { code, name, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(u16, &[u8])]) -> Vec<ExtendedError> {
        let mut edns = Edns::new();
        for (code, data) in options {
            edns.options_mut().insert(EdnsOption::Unknown(*code, data.to_vec()));
        }
        extended_errors(&edns)
    }

    #[test]
    fn a_reason_keeps_code_registered_name_and_text() {
        let found = of(&[(3, b"ns1"), (15, b"\x00\x06no SEP matches\0"), (15, b"\x00\x16")]);
        assert_eq!(found[0], ExtendedError { code: 6, name: "DNSSEC Bogus".into(), text: "no SEP matches".into() });
        assert_eq!((found[1].code, found[1].name.as_str(), found[1].text.as_str()), (22, "No Reachable Authority", ""));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_reason_that_is_crafted_does_no_harm() {
        let found = of(&[(15, b""), (15, b"\x00"), (15, b"\xff\xff\x1b[2J\xfe")]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].text.as_str()), ("Code 65535", "\u{fffd}[2J\u{fffd}"));
    }
}
