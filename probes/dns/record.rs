//! Resource records in presentation format (RFC 1035 section 5.1).

use super::presentation;
use hickory_proto::rr::{RData, Record as Parsed, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use netsonde_contract::observation::Record;
use std::fmt::Write;

/// A section of an honest reply has a few dozen records at most; this bounds what a crafted one leaves in the bundle.
pub(super) const MAX_RECORDS: usize = 200;

/// The first [`MAX_RECORDS`] records of a section.
pub(super) fn records(section: &[Parsed]) -> Vec<Record> {
    section.iter().take(MAX_RECORDS).map(record).collect()
}

fn record(parsed: &Parsed) -> Record {
    Record {
        name: parsed.name.to_ascii(),
        record_type: type_name(parsed.record_type()),
        ttl_s: parsed.ttl,
        data: data(&parsed.data),
    }
}

/// The type's mnemonic, or `TYPEn` for one without (RFC 3597 section 5).
pub(super) fn type_name(record_type: RecordType) -> String {
    match record_type {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// The type that a parameter names.
pub(super) fn parse_type(text: &str) -> Option<RecordType> {
    let text = text.to_ascii_uppercase();
    match text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()) {
        Some(number) => Some(RecordType::from(number)),
        None => text.parse().ok(),
    }
}

/// Names in ASCII, so that a look-alike in another script shows; strings quoted; what the codec does not know as `\# length hex`.
fn data(data: &RData) -> String {
    match data {
        RData::CNAME(name) => name.to_ascii(),
        RData::NS(name) => name.to_ascii(),
        RData::PTR(name) => name.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.to_ascii()),
        RData::SOA(soa) => {
            let (server, person) = (soa.mname.to_ascii(), soa.rname.to_ascii());
            format!("{server} {person} {} {} {} {} {}", soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum)
        }
        RData::TXT(txt) => txt.txt_data.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" "),
        RData::HINFO(hinfo) => format!("{} {}", quoted(&hinfo.cpu), quoted(&hinfo.os)),
        RData::CAA(caa) => format!("{} {} {}", caa.flags(), caa.tag, quoted(&caa.value)),
        RData::NAPTR(naptr) => {
            let [flags, services, regexp] = [&naptr.flags, &naptr.services, &naptr.regexp].map(|part| quoted(part));
            format!("{} {} {flags} {services} {regexp} {}", naptr.order, naptr.preference, naptr.replacement.to_ascii())
        }
        RData::NULL(null) => unknown(&null.anything),
        RData::Unknown { code, rdata } => presentation::of(*code, &rdata.anything).unwrap_or_else(|| unknown(&rdata.anything)),
        RData::DNSSEC(_) => wire(data)
            .map_or_else(String::new, |bytes| presentation::of(data.record_type(), &bytes).unwrap_or_else(|| unknown(&bytes))),
        other => shown(other),
    }
}

/// The data as on the wire, without compression; none where the codec cannot write what it read.
pub(super) fn wire(data: &RData) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).ok()?;
    Some(bytes)
}

/// The codec's own form of the types that have numbers, addresses and hexadecimal only. It may refuse to show a pseudo-record, which
/// `to_string` would turn into a panic.
fn shown(data: &RData) -> String {
    let mut text = String::new();
    match write!(text, "{data}") {
        Ok(()) => text.replace(char::is_control, "\u{fffd}"),
        Err(_) => String::new(),
    }
}

/// A character string in quotes, with `\DDD` for what is not printable ASCII (RFC 1035 section 5.1).
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('"');
    text
}

/// RFC 3597 section 5.
fn unknown(bytes: &[u8]) -> String {
    format!("\\# {} {}", bytes.len(), netsonde_contract::bundle::hexadecimal(bytes)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, CNAME, MX, NULL, TXT};

    #[test]
    fn data_reads_as_a_zone_file_would_write_it() {
        let name = Name::from_ascii("xn--e1afmkfd.example.").unwrap();
        let cases = [
            (RData::CNAME(CNAME(name.clone())), "xn--e1afmkfd.example."),
            (RData::MX(MX::new(10, name)), "10 xn--e1afmkfd.example."),
            (RData::TXT(TXT::from_bytes(vec![b"v=spf1 -all", b"a\"\\\x1b\xff"])), r#""v=spf1 -all" "a\"\\\027\255""#),
            (RData::Unknown { code: RecordType::RRSIG, rdata: NULL::with(vec![1, 0xab]) }, "\\# 2 01ab"),
            (RData::Unknown { code: RecordType::DS, rdata: NULL::with(vec![0xec, 0x45, 5, 1, 0x2b]) }, "60485 5 1 2B"),
            (RData::Unknown { code: RecordType::Unknown(999), rdata: NULL::new() }, "\\# 0"),
            (RData::A(A::new(192, 0, 2, 1)), "192.0.2.1"),
        ];
        for (given, expected) in cases {
            assert_eq!(data(&given), expected);
        }
    }

    #[test]
    fn a_type_without_a_name_goes_by_its_number() {
        assert_eq!(parse_type("aaaa"), Some(RecordType::AAAA));
        assert_eq!(parse_type("TYPE28"), Some(RecordType::AAAA));
        assert_eq!(type_name(parse_type("type999").unwrap()), "TYPE999");
        assert_eq!(parse_type("AAAAA"), None);
    }
}
