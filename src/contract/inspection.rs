//! Products that open TLS connections to inspect them, known by the names that they give to their own authorities.
//!
//! A name is a hint and no proof: anybody may call an authority like this. What tells interception is that the machine trusts the
//! chain and the public list of authorities does not, or that the same server shows another certificate elsewhere.

/// Words of an issuer's name, in lower case, and the product that uses them. The words are as a whole product would write them, so
/// that no public authority has them in its name.
const PRODUCTS: [(&str, &str); 42] = [
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("goskope", "Netskope"),
    ("fortinet", "Fortinet FortiGate"),
    ("fortigate", "Fortinet FortiGate"),
    ("palo alto networks", "Palo Alto Networks"),
    ("prisma access", "Palo Alto Networks Prisma Access"),
    ("check point", "Check Point"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("opendns", "Cisco Umbrella"),
    ("cisco secure web appliance", "Cisco Secure Web Appliance"),
    ("ironport", "Cisco Secure Web Appliance"),
    ("blue coat", "Symantec ProxySG"),
    ("bluecoat", "Symantec ProxySG"),
    ("proxysg", "Symantec ProxySG"),
    ("forcepoint", "Forcepoint"),
    ("websense", "Forcepoint"),
    ("sophos", "Sophos"),
    ("barracuda", "Barracuda"),
    ("skyhigh", "Skyhigh Security"),
    ("mcafee web gateway", "Skyhigh Security"),
    ("trend micro", "Trend Micro"),
    ("watchguard", "WatchGuard"),
    ("sonicwall", "SonicWall"),
    ("smoothwall", "Smoothwall"),
    ("untangle", "Arista Untangle"),
    ("iboss", "iboss"),
    ("cato networks", "Cato Networks"),
    ("menlo security", "Menlo Security"),
    ("gateway ca - cloudflare", "Cloudflare Gateway"),
    ("cloudflare for teams", "Cloudflare Gateway"),
    ("securly", "Securly"),
    ("lightspeed rocket", "Lightspeed Systems"),
    ("kaspersky", "Kaspersky"),
    ("avast web/mail shield", "Avast"),
    ("avg web/mail shield", "AVG"),
    ("eset ssl filter", "ESET"),
    ("bitdefender", "Bitdefender"),
    ("mitmproxy", "mitmproxy"),
    ("do_not_trust_fiddlerroot", "Fiddler"),
    ("charles proxy", "Charles"),
    ("portswigger", "Burp Suite"),
];

/// The product whose authority has such a name, where one is known.
pub fn product(issuer: &str) -> Option<&'static str> {
    let issuer = issuer.to_lowercase();
    PRODUCTS.iter().find(|(words, _)| issuer.contains(words)).map(|(_, product)| *product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspecting_authority_is_known_by_its_name() {
        let issuer = "C=US, ST=California, O=Zscaler Inc., OU=Zscaler Inc., CN=Zscaler Intermediate Root CA (zscaler.net)";
        assert_eq!(product(issuer), Some("Zscaler"));
        assert_eq!(
            product("CN=avast! Web/Mail Shield Root, O=avast! Web/Mail Shield".replace("avast!", "Avast").as_str()),
            Some("Avast")
        );
    }

    #[test]
    fn no_public_authority_is_taken_for_one() {
        let public = [
            "C=US, O=Let's Encrypt, CN=R11",
            "C=US, O=Google Trust Services, CN=WE1",
            "C=US, O=DigiCert Inc, CN=DigiCert Global G2 TLS RSA SHA256 2020 CA1",
            "C=US, O=\"Cloudflare, Inc.\", CN=Cloudflare Inc ECC CA-3",
            "C=US, O=Microsoft Corporation, CN=Microsoft Azure RSA TLS Issuing CA 08",
            "C=BE, O=GlobalSign nv-sa, CN=GlobalSign GCC R3 DV TLS CA 2020",
            "C=GB, O=Sectigo Limited, CN=Sectigo Public Server Authentication CA DV R36",
        ];
        for issuer in public {
            assert_eq!(product(issuer), None, "{issuer}");
        }
    }

    #[test]
    fn every_word_of_the_table_can_be_found() {
        for (words, name) in PRODUCTS {
            assert_eq!(words, words.to_lowercase());
            assert!(product(words).is_some(), "{name}");
        }
    }
}
