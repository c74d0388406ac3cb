//! Proxies that the user set on the own desktop. KDE keeps them in a text file; GNOME in a database whose format is its own.

use super::read;
use super::system_proxies::setting;
use netsonde_contract::observation::ProxySetting;
use netsonde_contract::outcome::Note;
use std::path::{Path, PathBuf};

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Desktop {
    pub(super) settings: Vec<ProxySetting>,
    pub(super) unread: Option<Note>,
}

/// Within the folder of the user's settings. The user's name, which the whole path holds, is not kept.
const KDE: &str = "kioslaverc";
const GNOME: &str = "dconf/user";

/// The desktop settings of the user that `variable` names the folders of. Blocks on files.
pub(super) fn of_user(variable: impl Fn(&str) -> Option<String>) -> Desktop {
    let set = |name: &str| variable(name).filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    let Some(folder) = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config"))) else {
        return Desktop::default();
    };
    let text = folder.join(KDE).to_str().and_then(|path| read::text(path).ok());
    let unread = folder.join(GNOME).is_file().then(|| Note {
        why: "GNOME keeps the user's settings in a database (~/.config/dconf/user) that netsonde does not read".to_owned(),
        grant: Some("look for yourself: gsettings list-recursively org.gnome.system.proxy".to_owned()),
    });
    Desktop { settings: text.map(|text| kde(&text)).unwrap_or_default(), unread }
}

/// The group `Proxy Settings` of kioslaverc: `ProxyType` 1 for proxies by hand, 2 for a script; all else sets none.
fn kde(text: &str) -> Vec<ProxySetting> {
    /// Where it came from, as people know it.
    const SET_BY: &str = "~/.config/kioslaverc";
    let in_group = text.lines().map(str::trim).skip_while(|line| *line != "[Proxy Settings]").skip(1);
    let pairs: Vec<(&str, &str)> =
        in_group.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('=')).collect();
    let value = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim());
    match value("ProxyType") {
        Some("1") => {
            let keys = [("http", "httpProxy"), ("https", "httpsProxy"), ("ftp", "ftpProxy"), ("all", "socksProxy")];
            // The port stands behind a blank in older files: `http://proxy 3128`.
            let of_key = |(scheme, key): (&str, &str)| setting(scheme, &value(key)?.replace(' ', ":"), SET_BY);
            keys.into_iter().filter_map(of_key).collect()
        }
        Some("2") => {
            // A script's own path names it; its query may hold anything.
            let script = value("Proxy Config Script").and_then(|script| script.split(['?', '#']).next());
            let script = script.filter(|script| !script.is_empty() && !script.contains('@'));
            script
                .map(|url| ProxySetting { scheme: "pac".to_owned(), url: url.to_owned(), set_by: SET_BY.to_owned() })
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn short(text: &str) -> Vec<(String, String)> {
        kde(text).into_iter().map(|one| (one.scheme, one.url)).collect()
    }

    #[test]
    fn proxies_set_by_hand_count_only_while_they_are_switched_on() {
        let text = |kind: u8| {
            format!(
                "[Other]\nhttpProxy=x\n[Proxy Settings]\nProxyType={kind}\nhttpProxy=http://canary:canary@proxy.example 3128\nsocksProxy=\n[Next]\nhttpsProxy=y\n"
            )
        };
        assert_eq!(short(&text(1)), [("http".to_owned(), "http://proxy.example:3128".to_owned())]);
        assert!(short(&text(0)).is_empty());
    }

    #[test]
    fn a_script_is_kept_without_its_query() {
        let text = "[Proxy Settings]\nProxyType=2\nProxy Config Script=http://wpad.example/proxy.pac?k=canary\n";
        assert_eq!(short(text), [("pac".to_owned(), "http://wpad.example/proxy.pac".to_owned())]);
    }

    #[test]
    fn gnomes_database_is_said_to_be_unread() {
        let home = std::env::temp_dir().join(format!("netsonde-desktop-{}", std::process::id()));
        let of = || of_user(|name| (name == "HOME").then(|| home.to_str().unwrap().to_owned()));
        assert!(of().unread.is_none() && of().settings.is_empty());
        std::fs::create_dir_all(home.join(".config/dconf")).unwrap();
        std::fs::write(home.join(".config/dconf/user"), b"GVariant").unwrap();
        std::fs::write(home.join(".config/kioslaverc"), "[Proxy Settings]\nProxyType=1\nhttpsProxy=proxy.example 80\n").unwrap();
        let found = of();
        std::fs::remove_dir_all(&home).unwrap();
        assert!(found.unread.unwrap().grant.unwrap().contains("gsettings"));
        assert_eq!(found.settings[0].url, "proxy.example:80");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(text in "[A-Za-z=\\[\\]: \n@?]{0,200}") {
            let _ = kde(&text);
        }
    }
}
