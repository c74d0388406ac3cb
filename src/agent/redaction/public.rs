//! What everybody may read anyway: words of standards and data of the public DNS. Digests, keys and the names of algorithms have the
//! shape of secrets and are none, so that these fields are known by what they are and not judged by their shape.

use super::Redactor;
use netsonde_contract::observation::Record;

/// Record types whose data is a name, which stays like every name.
const NAME_RECORDS: [&str; 5] = ["CNAME", "DNAME", "NS", "PTR", "ANAME"];

/// Record types whose data is made of numbers, names, digests, keys and signatures, which their zone publishes (RFC 1035, 2782, 4034,
/// 4255, 5155, 6698, 7344, 8162, 8976, 9460). The data of others (`TXT` …) is a text, in which a secret may stand.
const PUBLISHED_RECORDS: [&str; 19] = [
    "MX",
    "SRV",
    "SOA",
    "DS",
    "CDS",
    "DLV",
    "DNSKEY",
    "CDNSKEY",
    "KEY",
    "RRSIG",
    "SIG",
    "NSEC",
    "NSEC3",
    "NSEC3PARAM",
    "TLSA",
    "SMIMEA",
    "SSHFP",
    "ZONEMD",
    "HTTPS",
];

/// Names of signature algorithms (RFC 3279, 4055) that are as long and as mixed as a key.
const SIGNATURE_ALGORITHMS: [&str; 11] = [
    "md2WithRSAEncryption",
    "md4WithRSAEncryption",
    "md5WithRSAEncryption",
    "md5WithRSASignature",
    "sha1WithRSAEncryption",
    "sha1WithRSASignature",
    "sha224WithRSAEncryption",
    "sha256WithRSAEncryption",
    "sha384WithRSAEncryption",
    "sha512WithRSAEncryption",
    "ripemd160WithRSAEncryption",
];

/// Whoever makes an SSH algorithm of their own puts their domain behind its name (RFC 4251 section 6), which is nobody's mail address.
const ALGORITHM_MAKERS: [&str; 6] =
    ["@openssh.com", "@libssh.org", "@ssh.com", "@tinyssh.org", "@lysator.liu.se", "@putty.projects.tartarus.org"];

/// Whether the word is the name of a signature algorithm, which a text may have as well.
pub(super) fn is_algorithm(word: &str) -> bool {
    SIGNATURE_ALGORITHMS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

impl Redactor<'_> {
    /// The algorithm of a key or a signature.
    pub(super) fn algorithm(&mut self, name: &str) -> String {
        match is_algorithm(name) {
            true => name.to_owned(),
            false => self.word(name),
        }
    }

    /// What a service says that it can do.
    pub(super) fn capability(&mut self, capability: &str) -> String {
        match ALGORITHM_MAKERS.iter().find_map(|maker| Some((capability.strip_suffix(maker)?, maker))) {
            Some((algorithm, maker)) => format!("{}{maker}", self.word(algorithm)),
            None => self.text(capability),
        }
    }

    pub(super) fn record(&mut self, record: &Record) -> Record {
        let kind = record.record_type.as_str();
        let data = if NAME_RECORDS.contains(&kind) {
            self.name(record.data.trim_end_matches('.'))
        } else if PUBLISHED_RECORDS.contains(&kind) {
            let words: Vec<String> = record.data.split(' ').map(|word| self.published(word)).collect();
            words.join(" ")
        } else {
            self.text(&record.data)
        };
        Record { name: self.name(&record.name), record_type: self.word(kind), ttl_s: record.ttl_s, data }
    }

    /// One word of published data. The strict level leaves out what leads back to a name, and a digest does.
    fn published(&mut self, word: &str) -> String {
        // Parameters that no standard names may hold anything (RFC 9460 section 14.3.1).
        let is_private = word.starts_with("key") && word.contains('=');
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+/=:\\#,*\"".contains(c));
        match self.is_strict() || is_private || !is_plain {
            true => self.text(word),
            false => word.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::redaction::tests::redactor;
    use crate::redaction::{MappingKey, Redactor};
    use netsonde_contract::observation::Record;

    const DIGEST: &str = "e2d3c916f6deeac73294e8268fb5885044a833fc5459588f4a9184cfc41a5766";

    fn record(record_type: &str, data: &str) -> Record {
        Record { name: "shop.example.".into(), record_type: record_type.into(), ttl_s: 60, data: data.into() }
    }

    #[test]
    fn what_a_zone_publishes_stays_as_it_is() {
        let label = "0123456789abcdef0123456789abcdef";
        for (record_type, data) in [
            ("DS", format!("20326 8 2 {DIGEST}")),
            ("DS", format!("\\# 36 4f660802{DIGEST}")),
            ("DNSKEY", "257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLA".into()),
            ("TLSA", format!("3 1 1 {DIGEST}")),
            ("SSHFP", format!("4 2 {DIGEST}")),
            ("RRSIG", "A 13 2 300 20261201000000 20261101000000 34505 example. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip8WTr==".into()),
            ("NSEC3", format!("1 1 0 - {label} A RRSIG")),
            ("MX", format!("10 {label}.mail.example.")),
            ("SRV", format!("1 1 443 {label}.shop.example.")),
            ("SOA", format!("{label}.example. hostmaster.example. 2026112201 7200 3600 1209600 3600")),
            ("HTTPS", "1 . alpn=\"h2,h3\" ech=AEX+DQBBjQAgACDf1kq8XgWbN3b4J0d4zC9h5mH9 ipv4hint=192.0.2.1".into()),
            ("CNAME", format!("{label}.shop.example")),
        ] {
            assert_eq!(redactor().record(&record(record_type, &data)).data, data, "{record_type}");
        }
    }

    #[test]
    fn a_secret_in_a_text_of_the_dns_still_goes() {
        for (record_type, data) in [
            ("TXT", "\"site-verification=Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5\""),
            ("CAA", "0 issue \"ca.example; token=Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5\""),
            ("HTTPS", "1 . key65280=Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5"),
            ("TYPE999", "\\# 24 4b71375a7032527439576d3458733 Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5"),
        ] {
            let kept = redactor().record(&record(record_type, data)).data;
            assert!(!kept.contains("Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5") && kept.contains("[redacted]"), "{record_type}: {kept}");
        }
    }

    #[test]
    fn at_the_strict_level_neither_digest_nor_name_of_the_dns_stays() {
        let key = MappingKey::from_bytes([3; 32]);
        let mut strict = Redactor::new(Some(&key), &[]);
        for (record_type, data, gone) in
            [("DS", format!("20326 8 2 {DIGEST}"), DIGEST), ("MX", "10 mail.example.".into(), "mail.example")]
        {
            let kept = strict.record(&record(record_type, &data)).data;
            assert!(!kept.contains(gone), "{kept}");
        }
    }

    #[test]
    fn algorithms_are_no_secrets() {
        for name in [
            "sha256WithRSAEncryption",
            "sha1WithRSAEncryption",
            "md5WithRSAEncryption",
            "ecdsa-with-SHA256",
            "rsassa-pss",
            "RSA 2048",
        ] {
            assert_eq!(redactor().algorithm(name), name);
        }
        for name in ["sntrup761x25519-sha512@openssh.com", "rijndael-cbc@lysator.liu.se", "curve25519-sha256@libssh.org"] {
            assert_eq!(redactor().capability(name), name);
        }
        assert_eq!(redactor().algorithm("Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5"), "[redacted]");
        assert_eq!(redactor().capability("bert@corp.example"), "[redacted]@corp.example");
    }
}
