use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::ProxySetting;
use netsonde_contract::target::{Scheme, Target};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same request through the other setting: `netsonde run web --proxy URL`"),
    ..Rule::new("host.proxy_mismatch", &["http.proxy_unreachable"], evaluate)
};

/// The settings were read where programs read them; which program reads which is not known.
const CONFIDENCE: f64 = 0.8;

/// The package manager often has a cache of its own, which is no proxy for anything else.
const PACKAGES: &str = "/etc/apt/";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    mismatch(evidence).into_iter().collect()
}

fn mismatch(evidence: &Evidence<'_>) -> Option<Candidate> {
    let proxies = evidence.proxies.first()?;
    let wanted = evidence.target.and_then(|target| target.scheme).map(Scheme::as_str);
    let fits = |setting: &&ProxySetting| match wanted {
        Some(scheme) => setting.scheme == scheme || setting.scheme == "all" || setting.scheme == "pac",
        None => setting.scheme != "ftp",
    };
    let own: Vec<&ProxySetting> = proxies.fact.settings.iter().filter(fits).collect();
    let elsewhere = proxies.fact.of_system.iter().filter(fits).filter(|setting| !setting.set_by.starts_with(PACKAGES));
    let all: Vec<&ProxySetting> = own.iter().copied().chain(elsewhere).collect();
    // Settings for different schemes may well differ: only those for the same one contradict each other.
    let contradict =
        |one: &&ProxySetting, other: &&ProxySetting| one.scheme == other.scheme && plain(&one.url) != plain(&other.url);
    let differing: Vec<&ProxySetting> =
        all.iter().filter(|one| all.iter().any(|other| contradict(one, other))).copied().collect();
    let unset = own.is_empty() && !all.is_empty();
    if differing.is_empty() && !unset {
        return None;
    }
    // Only beside one that works is the difference more than a setting.
    let (works_id, way) = working(evidence)?;
    let shown: Vec<String> =
        if unset { all } else { differing }.iter().map(|setting| format!("{} ({})", setting.url, setting.set_by)).collect();
    let beside = if unset { " while this program was given none" } else { "" };
    let sentence = format!(
        "The proxies set in different places of this machine differ: {}{beside}; {way} works. Programs that read another place may fail where others do not.",
        list(&shown)
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { url: evidence.target.and_then(Target::url), ..Place::default() })
        .resting_on([proxies.id, works_id])
        .rejecting("http.proxy_unreachable", "One of the ways out works.", [works_id])
        .next(
            Who::Customer,
            "Set the same proxy in every place, both spellings of the variables among them, or take it off where none is needed.",
        );
    Some(candidate)
}

/// A request that came through, and by which way.
fn working<'a>(evidence: &Evidence<'a>) -> Option<(&'a ObservationId, String)> {
    let came = evidence.exchanges.iter().find(|exchange| exchange.failure.is_none() && exchange.status.is_some())?;
    let way = came.fact.proxy.as_deref().map_or_else(|| "the direct way".to_owned(), |proxy| plain(proxy).to_owned());
    Some((came.id, way))
}

/// Host and port: a scheme or a final slash that is written in one place and not in the other is no difference.
fn plain(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Proxies, ProxySetting};

    const URL: &str = "https://shop.example/";

    fn setting(url: &str, set_by: &str) -> ProxySetting {
        ProxySetting { scheme: "https".into(), url: url.into(), set_by: set_by.into() }
    }

    fn scene(own: &[(&str, &str)], of_system: &[(&str, &str)]) -> Scene {
        let list = |all: &[(&str, &str)]| all.iter().map(|(url, by)| setting(url, by)).collect();
        let proxies = Fact::Proxies(Proxies { settings: list(own), of_system: list(of_system), ..Proxies::default() });
        let proxy = own.first().map(|(url, _)| (*url).to_owned());
        let scene = Scene::new(URL).check(Kind::Host, [proxies]);
        scene.check(Kind::Http, [exchange(URL, |exchange| exchange.proxy = proxy)])
    }

    #[test]
    fn two_spellings_with_two_proxies_are_told_with_their_places() {
        let scene = scene(&[("http://a.example:3128", "https_proxy"), ("http://b.example:3128", "HTTPS_PROXY")], &[]);
        assert_eq!(scene.is_healthy(), ["host.proxy_mismatch"]);
        let sentence = scene.diagnose().findings.remove(0).sentence;
        assert!(sentence.contains("http://a.example:3128 (https_proxy) and http://b.example:3128 (HTTPS_PROXY)"), "{sentence}");
    }

    #[test]
    fn a_proxy_of_the_system_that_this_program_was_not_given_is_worth_knowing() {
        assert_eq!(scene(&[], &[("http://a.example:3128", "/etc/environment")]).is_healthy(), ["host.proxy_mismatch"]);
    }

    #[test]
    fn the_same_proxy_written_in_two_ways_and_the_package_managers_cache_are_no_difference() {
        let own = ("http://a.example:3128", "https_proxy");
        let other = [("a.example:3128/", "/etc/environment"), ("http://cache.example:3142", "/etc/apt/apt.conf")];
        assert!(scene(&[own], &other).is_healthy().is_empty());
    }
}
