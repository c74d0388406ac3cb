use super::Version;

/// The cipher suites that are asked for, as IANA numbers and names them, the strong first. Anonymous and NULL suites are among them:
/// that a server takes those is worth knowing. Left out are those that no implementation ever had, such as with Kerberos or SRP.
const SUITES: [(u16, &str, Era); 69] = [
    (0x1302, "TLS_AES_256_GCM_SHA384", Era::Tls13),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256", Era::Tls13),
    (0x1301, "TLS_AES_128_GCM_SHA256", Era::Tls13),
    (0x1304, "TLS_AES_128_CCM_SHA256", Era::Tls13),
    (0x1305, "TLS_AES_128_CCM_8_SHA256", Era::Tls13),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Era::Tls12),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Era::Tls12),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Era::Tls12),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Era::Tls12),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Era::Tls12),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Era::Tls12),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Era::Tls12),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Era::Tls12),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Era::Tls12),
    (0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", Era::Tls12),
    (0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", Era::Tls12),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", Era::Tls12),
    (0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", Era::Tls12),
    (0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM", Era::Tls12),
    (0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM", Era::Tls12),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", Era::Tls12),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Era::Tls12),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Era::Tls12),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Era::Tls12),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", Era::Tls12),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", Era::Tls12),
    (0xc05d, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", Era::Tls12),
    (0xc061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", Era::Tls12),
    (0xc05c, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", Era::Tls12),
    (0xc060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", Era::Tls12),
    (0xc073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384", Era::Tls12),
    (0xc077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384", Era::Tls12),
    (0xc072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256", Era::Tls12),
    (0xc076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", Era::Tls12),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Era::Tls12),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Era::Tls12),
    (0xc09d, "TLS_RSA_WITH_AES_256_CCM", Era::Tls12),
    (0xc09c, "TLS_RSA_WITH_AES_128_CCM", Era::Tls12),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", Era::Tls12),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", Era::Tls12),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Era::Any),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Era::Any),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Era::Any),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Era::Any),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Era::Any),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Era::Any),
    (0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", Era::Any),
    (0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", Era::Any),
    (0x009a, "TLS_DHE_RSA_WITH_SEED_CBC_SHA", Era::Any),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Era::Any),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Era::Any),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", Era::Any),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", Era::Any),
    (0x0096, "TLS_RSA_WITH_SEED_CBC_SHA", Era::Any),
    (0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA", Era::Any),
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", Era::Any),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Era::Any),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Era::Any),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Era::Any),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Era::Any),
    (0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", Era::Any),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Era::Any),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", Era::Any),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", Era::Any),
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", Era::Any),
    (0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA", Era::Any),
    (0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", Era::Any),
    (0x003b, "TLS_RSA_WITH_NULL_SHA256", Era::Tls12),
    (0x0002, "TLS_RSA_WITH_NULL_SHA", Era::Any),
];

/// The versions that know a suite.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    /// 1.0 to 1.2.
    Any,
    Tls12,
    Tls13,
}

/// The suites that a version knows.
pub(in crate::tls) fn of(version: Version) -> Vec<u16> {
    let knows = |era: Era| match version {
        Version::TLS13 => era == Era::Tls13,
        Version::TLS12 => era != Era::Tls13,
        _ => era == Era::Any,
    };
    SUITES.iter().filter(|(_, _, era)| knows(*era)).map(|(number, ..)| *number).collect()
}

pub(in crate::tls) fn name(number: u16) -> String {
    let known = SUITES.iter().find(|(known, ..)| *known == number);
    known.map_or_else(|| format!("0x{number:04x}"), |(_, name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_suite_stands_twice() {
        assert_eq!(SUITES.iter().map(|(number, ..)| number).collect::<BTreeSet<_>>().len(), SUITES.len());
        assert_eq!(SUITES.iter().map(|(_, name, _)| name).collect::<BTreeSet<_>>().len(), SUITES.len());
    }

    #[test]
    fn an_old_version_is_not_offered_what_it_cannot_speak() {
        assert_eq!(of(Version::TLS13), [0x1302, 0x1303, 0x1301, 0x1304, 0x1305]);
        assert!(!of(Version::TLS10).contains(&0xc02f) && of(Version::TLS12).contains(&0xc02f));
        assert!(of(Version::TLS10).contains(&0x002f));
    }

    #[test]
    fn the_numbers_are_the_librarys() {
        for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
            let library = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            assert_eq!(name(u16::from(suite.suite())), library);
        }
    }
}
