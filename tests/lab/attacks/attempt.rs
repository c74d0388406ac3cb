use super::backend::Seen;
use super::capture::Packet;
use super::case::{Agent, Behaviour, Case, Deliver, Expect, World};
use super::forgery::{Addressed, Sent, altered, control, refused};
use super::ground::{Ground, Identity};
use super::machine::{Machine, try_to_enrol};
use super::trust::Organisation;
use crate::timestamp;
use anyhow::{Context, Result, bail};
use netsonde_contract::order::Epoch;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// A short order is carried out in a fraction of a second; a machine that is busy building something gets longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must come of what is met with silence.
const SILENCE: Duration = Duration::from_millis(1_500);
/// After the agent has said what it does: for a packet that was on its way nevertheless.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// More than the agent remembers of orders that are over …
const FLOOD: u64 = 160;
/// … in so many answers.
const FLOODS: usize = 5;

/// Carries the case out.
///
/// # Errors
/// Where the attack came further than it may, or the control order did not run: in words.
pub(super) fn attempt(case: &Case, ground: &mut Ground, transcript: &mut String) -> Result<()> {
    if let Expect::NotEnrolled(code) = &case.expect {
        not_enrolled(case, code, ground)?;
    } else {
        let mut run = Run::begin(case, ground)?;
        let result = run.attack().and_then(|()| if case.control.apart { Ok(()) } else { run.control_after() });
        if let Err(error) = result {
            run.tell(transcript);
            return Err(error);
        }
        drop(run);
    }
    if case.control.apart || matches!(case.expect, Expect::NotEnrolled(_)) {
        control_apart(case, ground, transcript)
    } else {
        Ok(())
    }
}

/// One agent under attack.
struct Run<'a> {
    case: &'a Case,
    ground: &'a Ground,
    identity: Identity,
    machine: Machine,
}

impl<'a> Run<'a> {
    fn begin(case: &'a Case, ground: &'a mut Ground) -> Result<Self> {
        let identity = ground.enrolled(case.agent.enrolled)?;
        let ground: &'a Ground = ground;
        ground.arrange(&case.world)?;
        ground.backend.reset(&identity.organisation, &case.backend);
        let machine = Machine::new(ground.folder.path().join(&case.name), Some(&identity.state), &case.agent)?;
        if case.agent.paused {
            machine.run(ground, &["pause"])?;
        }
        Ok(Self { case, ground, identity, machine })
    }

    fn attack(&mut self) -> Result<()> {
        let asks = !case_is_silent(self.case);
        self.ground.capture.clear();
        self.machine.start(self.ground, asks)?;
        if let Some(mode) = &self.case.agent.policy_mode {
            self.machine.open_policy(mode)?;
        }
        if self.case.agent.policy_link {
            self.machine.link_policy()?;
        }
        let sent = match self.case.deliver {
            Deliver::Altered | Deliver::BeforeItsTwin => altered(self.case, &self.addressed(), &self.id("attack"))?,
            _ => self.again()?,
        };
        let before = self.ground.backend.seen().reports.len();
        let resident = match self.case.most_growth_mib {
            Some(most) => Some((most, self.machine.most_resident_kib()?)),
            None => None,
        };
        self.ground.capture.clear();
        // What is to come again comes by itself: the cancellations went before it.
        let cancelled = if self.case.deliver == Deliver::Altered { self.cancelled() } else { Vec::new() };
        self.ground.backend.deliver_beside(vec![sent.item.clone()], self.trust(), &cancelled);
        self.answered(&sent, before)?;
        if let Some((most, before)) = resident {
            let growth = self.machine.most_resident_kib()?.saturating_sub(before) >> 10;
            if growth > most {
                bail!("ACCEPTED: the agent's memory grew by {growth} MiB");
            }
        }
        if let Some(address) = self.case.given.iter().find(|address| !self.ground.has_given(address)) {
            bail!("the attack did not come so far: nobody was given {address}");
        }
        if self.case.agent.local_run {
            let run = ["run", "port", "--target", "127.0.0.1:7001", "--no-upload", "--proxy", "none"];
            self.machine.run(self.ground, &run).context("a local run must go on")?;
        }
        self.says()
    }

    /// Lets the control order run first, and does what the case does before it comes again.
    fn again(&mut self) -> Result<Sent> {
        let first = control(self.case, &self.addressed(), &self.id("attack"))?;
        self.ground.backend.deliver(vec![first.item.clone()], None);
        self.must_run(&first)?;
        match self.case.deliver {
            Deliver::AgainAfterRestart => {
                if !self.case.work.cancelled.is_empty() {
                    let asked = |seen: &Seen| seen.requests.iter().filter(|line| *line == "GET /v1/work").count();
                    let before = asked(&self.ground.backend.seen());
                    self.ground.backend.deliver_beside(Vec::new(), None, &self.cancelled());
                    // The next question comes once that answer was looked at.
                    if !self.ground.backend.wait(PATIENCE, |seen| asked(seen) > before) {
                        bail!("the agent asked for nothing after the cancellations");
                    }
                }
                self.machine.stop();
                self.machine.start(self.ground, true)?;
            }
            Deliver::AgainAfterRenewal => {
                for _ in 0..2 {
                    self.machine.stop();
                    self.machine.boot_again()?;
                    self.machine.start(self.ground, true)?;
                }
            }
            Deliver::AgainAfterFlood => {
                let flood = refused(FLOOD, &self.addressed())?;
                for some in flood.chunks(flood.len().div_ceil(FLOODS)) {
                    self.ground.backend.deliver(some.to_vec(), None);
                }
                self.must_forget(&first)?;
            }
            Deliver::AgainUnderAnotherId => {
                let id = "ab".repeat(16);
                let item = json!({"id": id, "envelope": first.item["envelope"]});
                return Ok(Sent { id, item });
            }
            _ => {}
        }
        Ok(first)
    }

    /// Waits for what the case expects, and holds what was sent against it.
    fn answered(&self, sent: &Sent, before: usize) -> Result<()> {
        let backend = &self.ground.backend;
        let has = |seen: &Seen, state: &str| news(seen, &sent.id, before).any(|report| report["state"] == state);
        match &self.case.expect {
            Expect::Refused(code) => {
                let over = |seen: &Seen| has(seen, "refused") || has(seen, "running");
                let answered = backend.wait(PATIENCE, over);
                self.nothing_left()?;
                let seen = backend.seen();
                let codes: Vec<&str> = news(&seen, &sent.id, before).filter_map(|report| report["code"].as_str()).collect();
                if !answered || has(&seen, "running") || !codes.contains(&code.as_str()) {
                    bail!("refused with {codes:?} instead of {code}");
                }
            }
            Expect::Nothing => {
                std::thread::sleep(SILENCE);
                self.nothing_left()?;
                let seen = backend.seen();
                if let Some(report) = seen.reports.get(before) {
                    bail!("it reported {} {}", report.0, report.1);
                }
                if self.case.backend.trick == super::case::Trick::OtherTlsKey && !seen.requests.is_empty() {
                    bail!("it spoke to another server: {:?}", seen.requests);
                }
            }
            Expect::Asked => {
                let asked = backend.wait(PATIENCE, |seen| has(seen, "asked") || has(seen, "running"));
                std::thread::sleep(SILENCE);
                self.nothing_left()?;
                if !asked || has(&backend.seen(), "running") {
                    bail!("nobody at the machine was asked");
                }
            }
            Expect::Runs => {
                let over = |seen: &Seen| ["uploaded", "failed", "refused"].iter().any(|state| has(seen, state));
                let ended = backend.wait(PATIENCE, over);
                self.nothing_left()?;
                if !ended || !has(&backend.seen(), "uploaded") {
                    bail!("it did not run to its end");
                }
            }
            Expect::NotDelivered => {
                let uploading = |seen: &Seen| seen.uploads > 0 || seen.requests.iter().any(|line| line == "POST /v1/uploads");
                let came = backend.wait(PATIENCE, uploading);
                std::thread::sleep(SILENCE);
                self.nothing_left()?;
                if !came || has(&backend.seen(), "uploaded") {
                    bail!("the bundle counts as delivered, or never came");
                }
            }
            Expect::NotEnrolled(_) => {}
        }
        Ok(())
    }

    /// No packet may have left but to where the case lets it, and no name may have been asked for but those.
    fn nothing_left(&self) -> Result<()> {
        std::thread::sleep(AFTERWARDS);
        let stray = |packet: &&Packet| !self.case.may_reach.contains(&packet.to);
        if let Some(packet) = self.ground.capture.packets().iter().find(stray) {
            bail!("ACCEPTED: a packet left: {packet}");
        }
        let may_run = matches!(self.case.expect, Expect::Runs | Expect::NotDelivered);
        let resolvers_off = self.case.agent.policy.as_ref().is_some_and(|policy| policy.contains("resolvers = false"));
        // Of which every run asks that may ask for names, before it sends anything else (RFC 7050).
        let asks_for_translators = |name: &String| name == "ipv4only.arpa" && !resolvers_off;
        let may_ask = |name: &String| may_run && (self.case.may_ask.contains(name) || asks_for_translators(name));
        if let Some(name) = self.ground.capture.names().iter().find(|name| !may_ask(name)) {
            bail!("ACCEPTED: the name server was asked for {name}");
        }
        let received = self.ground.capture.received();
        if let Some(most) = self.case.most_bytes.filter(|most| received > *most || received == 0) {
            bail!("{received} bytes came, and {most} may");
        }
        let connections = self.ground.capture.connections();
        match self.case.most_connections {
            Some(most) if connections > most || connections == 0 => {
                bail!("{connections} connections were made, and {most} may be")
            }
            _ => Ok(()),
        }
    }

    fn says(&self) -> Result<()> {
        let seen = self.ground.backend.seen();
        let reports: String = seen.reports.iter().map(|(_, report)| report.to_string()).collect();
        let all = [reports, seen.progress.concat(), self.machine.audit(), self.machine.log()].concat();
        if let Some(words) = self.case.says.iter().find(|words| !all.contains(words.as_str())) {
            bail!("it does not say `{words}`");
        }
        let refused = |code: &String| {
            let lines = self.machine.audit();
            lines.lines().any(|line| line.contains("trust_refused") && line.contains(&format!("{code}:")))
        };
        let lines = self.machine.audit().lines().count();
        if self.case.most_audit_lines.is_some_and(|most| lines > most) {
            bail!("the audit log has {lines} lines");
        }
        if let Some(gone) = self.case.kept.iter().find(|name| !self.machine.state().join(name).exists()) {
            bail!("ACCEPTED: {gone} is gone");
        }
        match &self.case.trust.code {
            Some(code) if !refused(code) => bail!("the document was not refused with {code}"),
            _ => Ok(()),
        }
    }

    fn control_after(&mut self) -> Result<()> {
        if self.case.agent.paused {
            self.machine.run(self.ground, &["resume"])?;
        }
        if !matches!(self.case.deliver, Deliver::Altered | Deliver::BeforeItsTwin) {
            // It ran first.
            return Ok(());
        }
        let twin = self.case.deliver == Deliver::BeforeItsTwin;
        let sent = control(self.case, &self.addressed(), &self.id(if twin { "attack" } else { "control" }))?;
        self.ground.capture.clear();
        self.ground.backend.deliver(vec![sent.item.clone()], None);
        self.must_run(&sent)
    }

    fn must_run(&self, sent: &Sent) -> Result<()> {
        let done = |seen: &Seen| news(seen, &sent.id, 0).any(|report| report["state"] == "uploaded");
        if !self.ground.backend.wait(PATIENCE, done) {
            let seen = self.ground.backend.seen();
            let said: Vec<&Value> = news(&seen, &sent.id, 0).collect();
            bail!("the unaltered order did not run: {said:?}");
        }
        std::thread::sleep(AFTERWARDS);
        if self.ground.capture.packets().is_empty() {
            bail!("the unaltered order sent no packet");
        }
        Ok(())
    }

    /// Waits until the agent has no record of the order.
    fn must_forget(&self, order: &Sent) -> Result<()> {
        const LOOKS: u32 = 200;
        let record = self.machine.state().join(format!("orders/{}.json", order.id));
        for _ in 0..LOOKS {
            if !record.exists() {
                return Ok(());
            }
            std::thread::sleep(PATIENCE / LOOKS);
        }
        bail!("the flood did not make the agent forget the order")
    }

    fn addressed(&self) -> Addressed<'_> {
        // An agent that never checked in gets an order for an epoch that it could not have drawn.
        let epoch = self.ground.backend.seen().epoch.unwrap_or_else(|| Epoch::from_bytes([0; 16]));
        Addressed { organisation: &self.identity.organisation, agent: self.identity.agent.clone(), epoch }
    }

    fn id(&self, which: &str) -> String {
        format!("{} {which}", self.case.name)
    }

    fn trust(&self) -> Option<Value> {
        let change = &self.case.trust;
        if change.list.is_none() && change.root.is_none() {
            return None;
        }
        let mut roots = vec![self.identity.organisation.root_json()];
        roots.extend(change.root.map(|how| self.identity.organisation.forged_root(how)));
        let list = change.list.map(|how| self.identity.organisation.forged_list(how));
        Some(json!({"roots": roots, "list": list}))
    }

    fn cancelled(&self) -> Vec<String> {
        let state = self.machine.state().to_string_lossy().into_owned();
        let named = self.case.work.cancelled.iter().map(|text| text.replace("{state}", &state));
        std::iter::repeat_n(named, self.case.work.cancelled_times).flatten().collect()
    }

    fn tell(&self, transcript: &mut String) {
        let seen = self.ground.backend.seen();
        // Writing to a text cannot fail.
        let _ = writeln!(transcript, "  requests {:?}\n  reports", seen.requests);
        for (id, report) in &seen.reports {
            let _ = writeln!(transcript, "    {id} {report}");
        }
        for packet in self.ground.capture.packets() {
            let _ = writeln!(transcript, "  packet {packet}");
        }
        let _ = writeln!(transcript, "  names {:?}", self.ground.capture.names());
        let _ = writeln!(
            transcript,
            "  progress {}\n  log {}\n  audit {}",
            seen.progress.join("\n"),
            self.machine.log(),
            self.machine.audit()
        );
    }
}

/// Reports on an order after those that were there before.
fn news<'s>(seen: &'s Seen, id: &'s str, before: usize) -> impl Iterator<Item = &'s Value> {
    seen.reports.iter().skip(before).filter(move |(order, _)| order == id).map(|(_, report)| report)
}

/// The agent never comes to ask for work.
fn case_is_silent(case: &Case) -> bool {
    use super::case::Trick;
    matches!(case.backend.trick, Trick::IdentityTwice | Trick::OtherTlsKey)
}

fn not_enrolled(case: &Case, code: &str, ground: &Ground) -> Result<()> {
    let organisation = Arc::new(Organisation::of(case.agent.enrolled, timestamp()));
    ground.backend.reset(&organisation, &case.backend);
    ground.capture.clear();
    let mut machine = Machine::new(ground.folder.path().join(&case.name), None, &case.agent)?;
    let said = try_to_enrol(ground, case.agent.enrolled, &organisation, &machine.state())?;
    if said.starts_with("exit 0") || !said.contains(code) {
        bail!("netsonde enroll did not refuse with {code}: {said}");
    }
    machine.start(ground, false)?;
    std::thread::sleep(SILENCE);
    if ground.backend.seen().polled || !ground.capture.packets().is_empty() {
        bail!("ACCEPTED: a machine that is not enrolled asks for work");
    }
    Ok(())
}

/// The unaltered order, at an agent of its own and with an honest backend.
fn control_apart(case: &Case, ground: &mut Ground, transcript: &mut String) -> Result<()> {
    let honest = Case {
        name: format!("{}-control", case.name),
        agent: Agent::default(),
        world: World::default(),
        backend: Behaviour::default(),
        deliver: Deliver::Altered,
        ..case.clone()
    };
    let mut run = Run::begin(&honest, ground)?;
    let result = run.machine.start(run.ground, true).and_then(|()| run.control_after());
    if result.is_err() {
        run.tell(transcript);
    }
    result.context("apart")
}
