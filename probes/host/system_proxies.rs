//! Proxies that files of the system set for other programs than this one.

use super::proxies::plain;
use super::read;
use netsonde_contract::observation::ProxySetting;
use std::path::Path;

/// Variables for everybody who signs in (pam_env(8)).
const ENVIRONMENT: &str = "/etc/environment";
/// Settings of the package manager.
const APT: &str = "/etc/apt/apt.conf";
const APT_PARTS: &str = "/etc/apt/apt.conf.d";
/// Settings that an administrator makes for every GNOME desktop (dconf(7)). The users' own are read apart.
const DESKTOP_PARTS: &str = "/etc/dconf/db/local.d";
const MAX_PARTS: usize = 64;
/// Settings that are kept; a system has a handful.
const MAX_SETTINGS: usize = 32;

/// The settings, in the order of the files. Blocks on files.
pub(super) fn of_system() -> Vec<ProxySetting> {
    let mut found = read::text(ENVIRONMENT).map(|text| environment(&text)).unwrap_or_default();
    for path in std::iter::once(APT.to_owned()).chain(parts(APT_PARTS)) {
        found.extend(read::text(&path).map(|text| apt(&text, &path)).unwrap_or_default());
    }
    for path in parts(DESKTOP_PARTS) {
        found.extend(read::text(&path).map(|text| desktop(&text, &path)).unwrap_or_default());
    }
    found.truncate(MAX_SETTINGS);
    found
}

/// The files of a folder, in their order.
fn parts(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(folder)).ok().into_iter().flatten().flatten().take(MAX_PARTS);
    let mut paths: Vec<String> = entries.filter_map(|entry| entry.path().to_str().map(str::to_owned)).collect();
    paths.sort();
    paths
}

pub(super) fn setting(scheme: &str, value: &str, set_by: &str) -> Option<ProxySetting> {
    let url = plain(value.trim());
    (!url.is_empty()).then(|| ProxySetting { scheme: scheme.to_owned(), url, set_by: set_by.to_owned() })
}

/// Lines such as `https_proxy="http://proxy:3128"`.
pub(super) fn environment(text: &str) -> Vec<ProxySetting> {
    let line = |line: &str| {
        let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
        let scheme = name.trim().to_ascii_lowercase();
        let scheme = scheme.strip_suffix("_proxy").filter(|scheme| ["http", "https", "ftp", "all"].contains(scheme))?;
        setting(scheme, value.trim_matches(['"', '\'']), ENVIRONMENT)
    };
    text.lines().filter_map(line).collect()
}

/// Lines such as `Acquire::http::Proxy "http://proxy:3128";` (apt.conf(5)); blocks in braces are passed over.
pub(super) fn apt(text: &str, path: &str) -> Vec<ProxySetting> {
    let line = |line: &str| {
        let (name, value) = line.trim().split_once(char::is_whitespace)?;
        let name = name.to_ascii_lowercase();
        let scheme = name.strip_prefix("acquire::")?.strip_suffix("::proxy")?;
        let value = value.trim().trim_end_matches(';').trim().trim_matches('"');
        (["http", "https", "ftp"].contains(&scheme) && value != "DIRECT").then(|| setting(scheme, value, path)).flatten()
    };
    text.lines().filter_map(line).collect()
}

/// Groups of `org.gnome.system.proxy` as key files write them: `autoconfig-url`, and `host` with `port` for each scheme.
pub(super) fn desktop(text: &str, path: &str) -> Vec<ProxySetting> {
    let (mut group, mut host, mut found) = ("", None, Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (group, host) = (name, None);
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        match (group.strip_prefix("system/proxy"), key.trim()) {
            (Some(""), "autoconfig-url") => {
                // A script's own path names it; its query may hold anything.
                let url = value.split(['?', '#']).next().unwrap_or_default();
                if !url.is_empty() && !url.contains('@') {
                    found.push(ProxySetting { scheme: "pac".to_owned(), url: url.to_owned(), set_by: path.to_owned() });
                }
            }
            (Some(_), "host") => host = Some(value),
            (Some(scheme), "port") => {
                let scheme = scheme.trim_start_matches('/');
                found.extend(host.and_then(|host| setting(scheme, &format!("{host}:{value}"), path)));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(found: &[ProxySetting]) -> Vec<(&str, &str)> {
        found.iter().map(|one| (one.scheme.as_str(), one.url.as_str())).collect()
    }

    #[test]
    fn credentials_in_system_files_are_left_behind() {
        let text = "PATH=/bin\nhttps_proxy=\"http://canary:canary@proxy.example:3128\"\nexport HTTP_PROXY=proxy.example:80\nno_proxy=x\n";
        assert_eq!(short(&environment(text)), [("https", "http://proxy.example:3128"), ("http", "proxy.example:80")]);
        let found =
            apt("Acquire::http::Proxy \"http://u:canary@cache.example:3142/\";\nAcquire::https::Proxy \"DIRECT\";\nX 1;\n", "f");
        assert_eq!(short(&found), [("http", "http://cache.example:3142")]);
    }

    #[test]
    fn a_script_that_chooses_and_a_desktops_proxy_are_found() {
        let text = "[system/proxy]\nmode='auto'\nautoconfig-url='http://wpad.example/proxy.pac?k=canary'\n[system/proxy/https]\nhost='proxy.example'\nport=3128\n[other]\nhost='x'\nport=1\n";
        assert_eq!(short(&desktop(text, "f")), [("pac", "http://wpad.example/proxy.pac"), ("https", "proxy.example:3128")]);
    }
}
