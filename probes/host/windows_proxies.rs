//! Proxies that Windows has for services and for the user, and what a script of theirs says for the target.

use super::proxies::plain;
use crate::context::Context;
use crate::platform::windows::proxies::{ProxyConfiguration, by_script, of_services, of_user};
use netsonde_contract::kind::ProxyParams;
use netsonde_contract::observation::{Proxies, ProxySetting};
use netsonde_contract::outcome::Note;
use std::time::Duration;

const SERVICES: &str = "WinHTTP (services)";
const USER: &str = "Internet settings (user)";
const BY_SCRIPT: &str = "WinHTTP, by the script for the target";
/// For each step of fetching the script. The whole evaluation is waited for as long as four of them.
const PATIENCE: Duration = Duration::from_secs(2);
/// The library fetches the script by itself, from the first address that answers; each counts as much as a script may have.
const SCRIPT_BYTES: usize = ProxyParams::MAX_SCRIPT_BYTES as usize;
/// A script may list many proxies to be tried one after the other.
const MAX_PROXIES: usize = 8;

/// What is set, in both places. Blocks.
pub(super) fn settings() -> (Vec<ProxySetting>, Option<Note>) {
    let (services, user) = (of_services().unwrap_or_default(), of_user().unwrap_or_default());
    let mut found = listed(&services, SERVICES);
    found.extend(listed(&user, USER));
    let note = user.detects.then(|| Note {
        why: "Windows looks for a proxy script of this network by itself (WPAD); netsonde does not, as nobody vouches for who answers".to_owned(),
        grant: Some("look for yourself: Settings, Network & Internet, Proxy, \"Automatically detect settings\"".to_owned()),
    });
    (found, note)
}

/// The address of a script: those of the user before others.
fn script(found: &[ProxySetting]) -> Option<&str> {
    found.iter().find(|setting| setting.scheme == "pac").map(|setting| setting.url.as_str())
}

fn listed(found: &ProxyConfiguration, set_by: &str) -> Vec<ProxySetting> {
    let setting = |scheme: &str, url: String| ProxySetting { scheme: scheme.to_owned(), url, set_by: set_by.to_owned() };
    let mut settings = found.proxy.as_deref().map(|proxy| proxies(proxy, set_by)).unwrap_or_default();
    // The address may hold a person's name; its query may hold anything.
    let script = found.script.as_deref().map(|script| script.split(['?', '#']).next().unwrap_or_default());
    settings
        .extend(script.filter(|script| !script.is_empty() && !script.contains('@')).map(|url| setting("pac", url.to_owned())));
    settings
}

/// `proxy:80`, or `http=proxy:80;https=proxy:81`, separated by semicolons or spaces.
fn proxies(text: &str, set_by: &str) -> Vec<ProxySetting> {
    let each = text.split([';', ' ']).map(str::trim).filter(|part| !part.is_empty()).take(MAX_PROXIES);
    let setting = |part: &str| {
        let (scheme, url) = part.split_once('=').unwrap_or(("all", part));
        ProxySetting { scheme: scheme.to_lowercase(), url: plain(url), set_by: set_by.to_owned() }
    };
    each.map(setting).filter(|setting| !setting.url.is_empty()).collect()
}

/// Adds what the script, if there is one, says for the target. The system fetches it, from addresses that the gate lets through.
pub(super) async fn evaluate(context: &Context, found: &mut Proxies, target: Option<&str>) {
    let (Some(target), Some(script)) = (target, script(&found.of_system).map(str::to_owned)) else { return };
    let Some(host) = url::Url::parse(&script).ok().filter(|url| url.scheme().starts_with("http")).and_then(|url| host_of(&url))
    else {
        return;
    };
    let unread = |why: String| Some(Note { why: format!("the proxy script {script} was not evaluated: {why}"), grant: None });
    let addresses = match context.names.resolve(&context.gate, &host).await {
        Ok(addresses) => addresses,
        Err(failure) => {
            found.unread = unread(failure.text);
            return;
        }
    };
    for address in addresses {
        if let Err(failure) = context.gate.packet(address, SCRIPT_BYTES).await {
            found.unread = unread(failure.text);
            return;
        }
    }
    let host = if target.contains(':') { format!("[{target}]") } else { target.to_owned() };
    let (asked, from) = (format!("https://{host}/"), script.clone());
    let evaluating = tokio::task::spawn_blocking(move || by_script(&from, &asked, PATIENCE));
    match tokio::time::timeout(PATIENCE * 4, evaluating).await {
        Ok(Ok(Ok(said))) => found.of_system.extend(said.map(|said| proxies(&said, BY_SCRIPT)).unwrap_or_default()),
        Ok(Ok(Err(error))) => found.unread = unread(error.to_string()),
        Ok(Err(error)) => found.unread = unread(error.to_string()),
        Err(_) => found.unread = unread(format!("it took longer than {} s", (PATIENCE * 4).as_secs())),
    }
}

/// Without the brackets of an IPv6 address.
fn host_of(url: &url::Url) -> Option<String> {
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
}
