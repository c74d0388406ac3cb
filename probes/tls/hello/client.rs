use super::Version;

/// What one ClientHello offers.
pub(in crate::tls) struct Offer<'a> {
    pub(in crate::tls) version: Version,
    /// The preferred first.
    pub(in crate::tls) suites: &'a [u16],
    /// The name for SNI; none for an address.
    pub(in crate::tls) server_name: Option<&'a str>,
    /// The hello's random, its session id and the key share, each 32 bytes.
    pub(in crate::tls) random: [u8; 96],
}

/// X25519, P-256, P-384, P-521, and a finite field (RFC 8446 section 4.2.7).
const GROUPS: [u16; 5] = [29, 23, 24, 25, 256];

/// Every scheme of RFC 8446 section 4.2.3 that a server's key may ask for, those with SHA-1 included.
const SIGNATURES: [u16; 14] =
    [0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0202];

impl Offer<'_> {
    /// The ClientHello in a record of its own (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
    pub(in crate::tls) fn encode(&self) -> Vec<u8> {
        let mut hello = Vec::with_capacity(512);
        // The version's field ends at 1.2; 1.3 is named in an extension.
        number(&mut hello, self.version.min(Version::TLS12).0);
        hello.extend_from_slice(&self.random[..32]);
        // Middleboxes want a session id even where 1.3 has no use for it (RFC 8446 appendix D.4).
        prefixed8(&mut hello, if self.version == Version::TLS13 { &self.random[32..64] } else { &[] });
        prefixed16(&mut hello, &numbers(self.suites));
        prefixed8(&mut hello, &[0]);
        prefixed16(&mut hello, &self.extensions());

        let mut message = vec![1, 0];
        prefixed16(&mut message, &hello);
        // The first record says 1.0, which every version takes (RFC 8446 section 5.1).
        let mut record = vec![22, 3, 1];
        prefixed16(&mut record, &message);
        record
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |kind: u16, body: &[u8]| {
            number(&mut all, kind);
            prefixed16(&mut all, body);
        };
        if let Some(name) = self.server_name {
            let mut entry = vec![0];
            prefixed16(&mut entry, name.as_bytes());
            add(0, &with_length16(&entry));
        }
        add(10, &with_length16(&numbers(&GROUPS)));
        if self.version >= Version::TLS12 {
            add(13, &with_length16(&numbers(&SIGNATURES)));
        }
        if self.version == Version::TLS13 {
            let mut versions = Vec::new();
            prefixed8(&mut versions, &numbers(&[self.version.0]));
            add(43, &versions);
            let mut share = numbers(&GROUPS[..1]);
            prefixed16(&mut share, &self.random[64..]);
            add(51, &with_length16(&share));
        } else {
            // Uncompressed points (RFC 8422), the extended master secret (RFC 7627) and secure renegotiation (RFC 5746), without which
            // strict servers refuse for another reason than the one that is asked about.
            add(11, &[1, 0]);
            add(23, &[]);
            add(0xff01, &[0]);
        }
        all
    }
}

fn number(to: &mut Vec<u8>, number: u16) {
    to.extend_from_slice(&number.to_be_bytes());
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn with_length16(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 2);
    prefixed16(&mut bytes, body);
    bytes
}

/// Everything in a hello is far shorter than 64 KiB: 69 suites, a name of at most 253 bytes, and fixed lists.
fn prefixed16(to: &mut Vec<u8>, body: &[u8]) {
    number(to, u16::try_from(body.len()).unwrap_or(u16::MAX));
    to.extend_from_slice(body);
}

fn prefixed8(to: &mut Vec<u8>, body: &[u8]) {
    to.push(u8::try_from(body.len()).unwrap_or(u8::MAX));
    to.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::hello::suites_of;
    use rustls::server::Acceptor;

    #[test]
    fn the_librarys_own_reader_understands_the_hello() {
        for version in [Version::TLS12, Version::TLS13] {
            let suites = suites_of(version);
            let bytes = Offer { version, suites: &suites, server_name: Some("shop.test"), random: [7; 96] }.encode();
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut bytes.as_slice()).unwrap();
            let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
            let hello = accepted.client_hello();
            assert_eq!(hello.server_name(), Some("shop.test"));
            assert_eq!(hello.cipher_suites().iter().map(|suite| u16::from(*suite)).collect::<Vec<_>>(), suites);
        }
    }

    #[test]
    fn a_hello_fits_one_packet() {
        for version in Version::ALL {
            let name = "a".repeat(253);
            let bytes = Offer { version, suites: &suites_of(version), server_name: Some(&name), random: [7; 96] }.encode();
            assert!(bytes.len() < 700, "{}", bytes.len());
        }
    }
}
