//! Scenario files: found, read and checked before any network is built, so that whoever writes one is told which key of which file is
//! wrong and what it may be.

use super::certain;
use super::network::SECOND_MACHINE;
use super::scenario::{Control, STEAL_PERIOD_MS, Scenario, Service, ServiceKind};
use anyhow::{Context, Result, bail};
use netsonde_contract::cause::CAUSES;
use netsonde_contract::control::DifferenceAbout;
use netsonde_contract::nearest::nearest;
use netsonde_contract::observation::CloudProvider;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Routers that `{r1}` to `{r9}` of the arguments can name.
const MOST_ROUTERS: u8 = 9;
/// A packet to the moon and back is quicker. The lab waits for forty of them until it gives a network up.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Some time must be left to get anything done.
const MOST_STOLEN_MS: u64 = STEAL_PERIOD_MS - 10;

/// Shorter parts of a name, such as `of`, are in too many others.
const LEAST_WORD: usize = 3;
/// More names than this nobody reads.
const MOST_NEAR: usize = 5;

/// The scenarios of this folder whose name contains `filter`, by name; none reads those of the lab itself.
///
/// # Errors
/// Where a file cannot be read, does not parse or asks for what there is not; the lab's own may leave nothing to chance either. The file's
/// name and the key are in the error.
pub(crate) fn all(folder: Option<&Path>, filter: Option<&str>) -> Result<Vec<Scenario>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/scenarios");
    let from = folder.unwrap_or(&own);
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(from).with_context(|| format!("listing the scenarios in {}", from.display()))? {
        let path = entry.with_context(|| format!("listing {}", from.display()))?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|ending| ending != "toml") || filter.is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        let scenario = Scenario { name, ..read(&path)? };
        match certain::check(&scenario) {
            Err(chance) if folder.is_some() => println!("note: {}: {chance:#}; it is tried all the same", path.display()),
            checked => checked.with_context(|| format!("checking {}", path.display()))?,
        }
        scenarios.push(scenario);
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenarios)
}

/// The names that were probably meant, the likeliest first: the one that differs by a slip of the finger, then those that have the most of
/// the words.
pub(crate) fn nearest_names<'a>(meant: &str, names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    let words: Vec<&str> = meant.split('_').filter(|word| word.len() >= LEAST_WORD).collect();
    let shared = |name: &str| words.iter().filter(|word| name.contains(**word)).count();
    let mut by_words: Vec<&str> = names.clone().filter(|name| shared(name) > 0).collect();
    by_words.sort_by_key(|name| std::cmp::Reverse(shared(name)));
    let mut near: Vec<&str> = nearest(meant, names).into_iter().collect();
    by_words.retain(|name| !near.contains(name));
    near.extend(by_words);
    near.truncate(MOST_NEAR);
    near
}

fn read(path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // The reader's own words name line, column, key and what is allowed.
    let scenario: Scenario = toml::from_str(&text).with_context(|| format!("{} is no scenario", path.display()))?;
    check(&scenario).with_context(|| format!("{} asks for what there is not", path.display()))?;
    Ok(scenario)
}

/// Whether all that is named exists.
///
/// # Errors
/// The key, what it says, and what it may say.
fn check(scenario: &Scenario) -> Result<()> {
    if !(1..=MOST_ROUTERS).contains(&scenario.routers) {
        bail!("`routers = {}`: a network has 1 to {MOST_ROUTERS}", scenario.routers);
    }
    if scenario.stolen_ms > MOST_STOLEN_MS {
        bail!("`stolen_ms = {}`: at most {MOST_STOLEN_MS} of each {STEAL_PERIOD_MS} ms", scenario.stolen_ms);
    }
    for (key, ask) in [("ask", Some(&scenario.ask)), ("ask_off", scenario.ask_off.as_ref())] {
        let Some(ask) = ask else { continue };
        if !ask.first().is_some_and(|first| ["run", "probe"].contains(&first.as_str())) {
            bail!("`{key}` begins with {:?}: it is a command of netsonde that measures, \"run\" or \"probe\"", ask.first());
        }
        if scenario.set.is_none() && ask.iter().any(|argument| argument.contains("{set}")) {
            bail!("`{key}` names `{{set}}`, and there is no `set`: write one, or name a built-in set");
        }
    }
    if scenario.families.is_empty() || scenario.users.is_empty() {
        bail!("`families` and `users` may not be empty: leave them out to ask over v4 and v6, and as root and nobody");
    }
    nodes(scenario)?;
    scenario.control.iter().try_for_each(|control| control_is_possible(scenario, control))?;
    scenario.service.iter().try_for_each(service_is_possible)?;
    causes(scenario)
}

fn nodes(scenario: &Scenario) -> Result<()> {
    let nodes = scenario.nodes();
    let known = |key: &str, node: &str| match nodes.iter().any(|known| known == node) {
        true => Ok(()),
        false => bail!("`{key} = \"{node}\"`: the nodes of this network are {}", nodes.join(", ")),
    };
    scenario.twin.iter().try_for_each(|twin| known("twin", twin))?;
    scenario.service.iter().try_for_each(|service| known("service.node", &service.node))?;
    let faults = || scenario.fault.iter().chain(&scenario.oddity);
    faults().try_for_each(|fault| known("fault.node", &fault.node))?;
    let neighbours = |[left, right]: &[String; 2]| {
        let chain = nodes.iter().filter(|node| !node.ends_with('b') && *node != SECOND_MACHINE);
        let chain: Vec<&String> = chain.collect();
        chain.windows(2).any(|pair| pair[0] == left && pair[1] == right)
    };
    for link in &scenario.link {
        if !neighbours(&link.between) {
            bail!(
                "`link.between = {:?}`: two neighbours, the one nearer to the client first, of {}",
                link.between,
                nodes.join(", ")
            );
        }
    }
    let impairments = faults().flat_map(|fault| &fault.cable).chain(&scenario.cable);
    for impairment in impairments {
        if !scenario.link.iter().any(|link| link.cable && link.between == impairment.between) {
            bail!(
                "`cable.between = {:?}`: only a link that is a cable can be impaired; write `[[link]]` with the same `between` and `cable = true`",
                impairment.between
            );
        }
        if !(Duration::ZERO..=LONGEST_DELAY).contains(&impairment.longest()) || impairment.delay_ms < 0.0 {
            bail!(
                "`cable.delay_ms = {}`, jitter and queue with it: a cable holds a packet up for 0 to {} ms each way",
                impairment.delay_ms,
                LONGEST_DELAY.as_millis()
            );
        }
    }
    Ok(())
}

fn control_is_possible(scenario: &Scenario, control: &Control) -> Result<()> {
    if let Some(router) = control.beside.as_ref().filter(|node| !node.starts_with('r') || !scenario.nodes().contains(node)) {
        bail!("`control.beside = \"{router}\"`: the second machine stands beside a router, r1 to r{}", scenario.routers);
    }
    if scenario.ask.first().is_none_or(|first| first != "run") {
        bail!("`control`: only a `run` packs a bundle that another one can be held against");
    }
    if !control.with_fault && scenario.ask_off.is_some() {
        bail!("`control` measures before the fault comes, and `ask_off` would have it ask something else: leave one of them out");
    }
    let is_known = |name: &String| !matches!(difference(name), None | Some(DifferenceAbout::Other));
    match control.differs.iter().find(|name| !is_known(name)) {
        Some(name) => bail!("`control.differs` has {name:?}, which is nothing that two runs are compared by"),
        None => Ok(()),
    }
}

/// What two runs are compared by, as the document names it.
pub(crate) fn difference(name: &str) -> Option<DifferenceAbout> {
    serde_json::from_value(name.into()).ok()
}

fn service_is_possible(service: &Service) -> Result<()> {
    let cloud = CloudProvider::from_name(&service.text);
    match (service.kind, service.port) {
        (ServiceKind::Cloud, _) if cloud.is_none() => {
            bail!("`service.text = \"{}\"`: a cloud is azure, aws or gcp", service.text)
        }
        (ServiceKind::Cloud, _) if !service.node.starts_with('r') => {
            bail!("`service.node = \"{}\"`: a cloud's own addresses are those of a router, such as r1", service.node)
        }
        (ServiceKind::Cloud, _) => Ok(()),
        (_, 0) => bail!("a `service` on {} has no `port`", service.node),
        _ => Ok(()),
    }
}

fn causes(scenario: &Scenario) -> Result<()> {
    let expects = || scenario.expect.iter().chain(&scenario.expect_user);
    let lists = expects().flat_map(|expect| {
        let listed = expect.or.iter().chain(&expect.behind).chain(&expect.never).chain(expect.named.iter().flatten());
        let placed = expect.places.iter().flat_map(|place| &place.causes);
        std::iter::once(&expect.cause).chain(listed).chain(placed)
    });
    let unknown: BTreeSet<&String> =
        lists.chain(&scenario.notice).chain(&scenario.true_notices).filter(|code| !CAUSES.contains(&code.as_str())).collect();
    let Some(code) = unknown.first() else { return Ok(()) };
    let area = code.split('.').next().unwrap_or_default();
    let near: Vec<&str> = CAUSES.iter().filter(|cause| cause.split('.').next() == Some(area)).copied().collect();
    match near.is_empty() {
        true => bail!("`{code}` is no cause; `netsonde explain` lists them all"),
        false => bail!("`{code}` is no cause; those of {area} are {}", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file with these lines.
    fn said(lines: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, format!("about = \"\"\nask = [\"run\", \"web\"]\n{lines}")).unwrap();
        let said = all(Some(folder.path()), None).map(|scenarios| scenarios[0].name.clone());
        said.unwrap_or_else(|error| format!("{error:#}"))
    }

    #[test]
    fn a_name_that_is_none_is_told_the_nearest_ones() {
        let names = ["path_policed", "path_policed_near", "path_loss", "dns_servfail"];
        let near = |meant| nearest_names(meant, names.into_iter());
        assert_eq!(near("path_polised")[0], "path_policed", "one slip");
        assert_eq!(near("loss_on_path"), ["path_loss", "path_policed", "path_policed_near"]);
        assert_eq!(near("zebra"), [""; 0]);
    }

    #[test]
    fn a_file_that_a_reader_wrote_is_read_by_its_name() {
        assert_eq!(said(""), "mine");
        assert_eq!(
            said(
                "[[link]]\nbetween = [\"c\", \"r1\"]\ncable = true\n[[fault]]\ncable = [{ between = [\"c\", \"r1\"], loss = 0.07 }]"
            ),
            "mine",
            "chance is a reader's own affair"
        );
    }

    #[test]
    fn a_wrong_file_is_told_with_its_key_and_what_is_allowed() {
        for (lines, words) in [
            ("rooters = 2", ["mine.toml", "line 3", "rooters", "routers"].as_slice()),
            ("routers = 12", &["mine.toml", "routers = 12", "1 to 9"]),
            ("[[fault]]\nnode = \"r4\"", &["fault.node", "r4", "c, r1, r2, r3, s"]),
            ("[[fault]]\ncable = [{ between = [\"r1\", \"r2\"], down = true }]", &["cable.between", "cable = true"]),
            (
                "[[link]]\nbetween = [\"r1\", \"r2\"]\ncable = true\n[[cable]]\nbetween = [\"r1\", \"r2\"]\ndelay_ms = 2500",
                &["cable.delay_ms = 2500", "0 to 2000 ms each way"],
            ),
            ("[[link]]\nbetween = [\"r2\", \"r1\"]", &["link.between", "nearer to the client first"]),
            ("[[service]]\nkind = \"htttp\"\nport = 80", &["mine.toml", "htttp", "`http`"]),
            ("[[service]]\nkind = \"http\"", &["port"]),
            ("[expect]\ncause = \"tcp.filterd\"", &["tcp.filterd", "tcp.filtered"]),
            ("families = []", &["families"]),
            ("ask_off = [\"explain\"]", &["ask_off", "probe"]),
            ("[control]\nbeside = \"s\"", &["control.beside", "r1 to r3"]),
            ("ask_off = [\"run\", \"port\"]\n[control]", &["ask_off", "control"]),
            ("[control]\nbeside = \"r1\"\ndiffers = [\"reech\"]", &["control.differs", "reech"]),
        ] {
            let said = said(lines);
            assert!(words.iter().all(|word| said.contains(word)), "{lines}: {said}");
        }
    }
}
