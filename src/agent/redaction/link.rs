//! Names of network interfaces. Systems number them, and those names tell nothing; people and VPN programs name theirs after customers,
//! sites and themselves.

use super::Redactor;

/// What systems call interfaces, before a number: Linux and its container and VPN programs, then macOS.
const NUMBERED: [&str; 27] = [
    "lo", "eth", "wlan", "wwan", "ib", "bond", "team", "br", "virbr", "docker", "dummy", "tun", "tap", "ppp", "wg", "sit", "gre",
    "vlan", "veth", "usb", "en", "utun", "bridge", "awdl", "llw", "gif", "stf",
];
/// What Windows calls them, before a number or alone.
const OF_WINDOWS: [&str; 5] =
    ["Ethernet", "Wi-Fi", "Local Area Connection", "Local Area Connection*", "Loopback Pseudo-Interface"];
/// By their place in the machine, as systemd has it (systemd.net-naming-scheme(7)): what kind, and then letters with numbers. The form with the hardware
/// address (`x`) is none of these.
const PLACED: [&str; 5] = ["en", "wl", "ww", "ib", "sl"];
const PLACES: [char; 8] = ['o', 'p', 's', 'f', 'd', 'n', 'u', 'i'];

impl Redactor<'_> {
    /// At the strict level a name that somebody chose becomes a token, the same wherever it stands, within texts too.
    pub(super) fn link(&mut self, name: &str) -> String {
        if !self.is_strict() || is_systems_own(name) {
            return self.word(name);
        }
        if !self.is_known_name(name) {
            self.known_names.push(name.to_owned());
        }
        self.public_name(name)
    }
}

/// A name that the system gave by itself, and that says no more than its kind and place. That of a VLAN may have its number behind a dot.
pub(super) fn is_systems_own(name: &str) -> bool {
    let of_windows =
        OF_WINDOWS.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || is_number(rest.trim_start())));
    let (name, vlan) = name.split_once('.').map_or((name, None), |(name, vlan)| (name, Some(vlan)));
    let numbered = || {
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        NUMBERED.contains(&kind) && (name == "lo" || is_number(&name[kind.len()..]))
    };
    let placed = || PLACED.iter().any(|kind| name.strip_prefix(kind).is_some_and(is_place));
    of_windows || vlan.is_none_or(is_number) && (numbered() || placed())
}

fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters of places, each with a number behind it; `np` is the port of a card.
fn is_place(text: &str) -> bool {
    let text = &text.replace("np", "n");
    let begins = text.starts_with(PLACES);
    let ends = text.ends_with(|c: char| c.is_ascii_digit());
    begins && ends && text.split(PLACES).skip(1).all(is_number)
}

#[cfg(test)]
mod tests {
    use super::super::{MappingKey, Redactor};
    use super::is_systems_own;

    #[test]
    fn names_that_systems_number_stay_and_those_that_people_gave_go() {
        for own in [
            "lo",
            "lo0",
            "eth0",
            "eth0.100",
            "wlan1",
            "enp0s31f6",
            "eno1",
            "ens192",
            "wlp2s0",
            "enp5s0f1np1",
            "wg0",
            "tun0",
            "utun3",
            "en0",
            "Ethernet",
            "Ethernet 2",
            "Wi-Fi",
            "Local Area Connection* 10",
            "Loopback Pseudo-Interface 1",
        ] {
            assert!(is_systems_own(own), "{own}");
        }
        for chosen in [
            "wg-acme",
            "acme",
            "tun-contoso",
            "eth0.acme",
            "enx02005e100001",
            "en",
            "enp0sacme",
            "ethacme0",
            "veth1a2b3c4",
            "br-4f2a",
            "Ethernet Acme",
            "Contoso VPN",
            "",
            "vlan",
            "eth123456",
        ] {
            assert!(!is_systems_own(chosen), "{chosen}");
        }
    }

    #[test]
    fn a_chosen_name_has_one_token_wherever_it_stands() {
        let key = MappingKey::from_bytes([7; 32]);
        let mut redactor = Redactor::new(Some(&key), &[]);
        let token = redactor.link("wg-acme");
        assert!(!token.contains("acme") && redactor.link("wg-acme") == token && redactor.link("eth0") == "eth0", "{token}");
        assert_eq!(redactor.text("no route by wg-acme: down"), format!("no route by {token}: down"));
        assert_eq!(Redactor::new(None, &[]).link("wg-acme"), "wg-acme");
    }
}
