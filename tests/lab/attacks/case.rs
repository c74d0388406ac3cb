use anyhow::{Context, Result, bail};
use netsonde_contract::order::{RefusalCode, Repeat};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// One attack, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    /// What the attacker does, in one sentence.
    pub what: String,
    pub expect: Expect,
    /// What the agent must say beside the code: in its reports, its outcomes or its audit log.
    #[serde(default)]
    pub says: Vec<String>,
    /// Where packets of the attack may go; nowhere where nothing is said.
    #[serde(default)]
    pub may_reach: Vec<std::net::IpAddr>,
    /// Names that the attack may ask the machine's own name server for, where it runs; none where it does not.
    #[serde(default = "the_shop")]
    pub may_ask: Vec<String>,
    /// Addresses that the machine's own name server must have given the attack: it came so far.
    #[serde(default)]
    pub given: Vec<std::net::IpAddr>,
    /// Files of the agent's state that must still be there afterwards.
    #[serde(default)]
    pub kept: Vec<String>,
    /// So many lines the agent's audit log may have at most.
    pub most_audit_lines: Option<usize>,
    /// Connections of the attack at most.
    pub most_connections: Option<usize>,
    /// What may come to the agent's machine of the attack at most, headers included, in bytes.
    pub most_bytes: Option<u64>,
    /// By how much the agent's resident memory may grow at most, in MiB.
    pub most_growth_mib: Option<u64>,
    /// How the attack comes.
    #[serde(default)]
    pub deliver: Deliver,
    /// The order that is altered.
    #[serde(default)]
    pub order: OrderChange,
    /// What is done to the signed order, one after the other.
    #[serde(default)]
    pub tamper: Vec<Tamper>,
    #[serde(default)]
    pub work: WorkChange,
    #[serde(default)]
    pub trust: TrustChange,
    #[serde(default)]
    pub agent: Agent,
    #[serde(default)]
    pub world: World,
    #[serde(default)]
    pub backend: Behaviour,
    #[serde(default)]
    pub control: Control,
}

/// What must come of the attack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Expect {
    /// The agent reports this refusal.
    Refused(String),
    /// The agent reports nothing at all.
    Nothing,
    /// Somebody at the machine is asked.
    Asked,
    /// The order runs, and what it may not reach stays unreached.
    Runs,
    /// The order runs, and its bundle does not count as delivered.
    NotDelivered,
    /// `netsonde enroll` refuses with this code, and the machine takes no orders.
    NotEnrolled(String),
}

impl TryFrom<String> for Expect {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.split_once(':')) {
            ("nothing", _) => Ok(Self::Nothing),
            ("asked", _) => Ok(Self::Asked),
            ("runs", _) => Ok(Self::Runs),
            ("not_delivered", _) => Ok(Self::NotDelivered),
            (_, Some(("refused", code))) if RefusalCode::from_code(code).is_some() => Ok(Self::Refused(code.to_owned())),
            (_, Some(("not_enrolled", code))) => Ok(Self::NotEnrolled(code.to_owned())),
            _ => Err(format!("`{text}` is no expectation")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "refused: {code}"),
            Self::Nothing => f.write_str("nothing"),
            Self::Asked => f.write_str("asked"),
            Self::Runs => f.write_str("runs within bounds"),
            Self::NotDelivered => f.write_str("not delivered"),
            Self::NotEnrolled(code) => write!(f, "not enrolled: {code}"),
        }
    }
}

/// How the attack comes. All but the first deliver the control order again, after it has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deliver {
    #[default]
    Altered,
    Again,
    AgainAfterRestart,
    /// After the agent has drawn two epochs.
    AgainAfterRenewal,
    /// After so many orders that are refused, in several answers, that the agent remembers none of those before.
    AgainAfterFlood,
    /// In a row with another order's name.
    AgainUnderAnotherId,
    /// The control is delivered afterwards under the very id of the altered order.
    BeforeItsTwin,
}

/// How the order differs from one that runs: a TCP connection to the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderChange {
    #[serde(default)]
    pub agents: Agents,
    /// An epoch that this agent did not draw.
    #[serde(default)]
    pub foreign_epoch: bool,
    #[serde(default)]
    pub other_organisation: bool,
    /// When it begins and ends, in minutes from what the organisation takes for now.
    pub begins_min: Option<i64>,
    pub ends_min: Option<i64>,
    pub case: Option<String>,
    pub requester: Option<String>,
    pub reason: Option<String>,
    /// How many engineers must have signed.
    pub signatures: Option<usize>,
    /// Who signs, by name.
    pub signers: Option<Vec<String>>,
    /// The set's text; `checks` makes one, and without both it is the control's.
    pub set: Option<String>,
    #[serde(default)]
    pub checks: Vec<Check>,
    pub targets: Option<Vec<String>>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// One agent is to answer others.
    pub serve: Option<ServeChange>,
    pub bytes: Option<u64>,
    /// The order is to be run as a schedule.
    pub repeat: Option<Repeat>,
    /// Further keys of the payload, or other values of known ones.
    #[serde(default)]
    pub extra: toml::Table,
}

/// This agent is to answer test packets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServeChange {
    pub peers: Vec<std::net::IpAddr>,
    #[serde(default = "usual_port")]
    pub port: u16,
    #[serde(default = "usual_seconds")]
    pub seconds: u32,
    /// Another agent than this one is to answer.
    #[serde(default)]
    pub by_another: bool,
}

fn the_shop() -> Vec<String> {
    vec!["shop.example".to_owned()]
}

fn usual_port() -> u16 {
    8_862
}

fn usual_seconds() -> u32 {
    60
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    pub kind: String,
    #[serde(default)]
    pub with: toml::Table,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Agents {
    #[default]
    This,
    Another,
    None,
    /// This one and another.
    Two,
    /// 25, this one among them.
    Many,
    /// 101, this one among them, and all listed.
    Crowd,
    /// 150 leaves of a tree, this one among them.
    Tree,
    /// 150 others.
    TreeOfOthers,
    /// 50 leaves, which hides how few they are.
    SmallTree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tamper {
    /// Another target, in base64, beside the old signature.
    Payload,
    /// One bit.
    Signature,
    /// The group's order added to the signature's second half, which some verifiers take.
    SignaturePlusOrder,
    ZeroSignature,
    /// The signature that the same engineer gave to another order.
    SignatureOfAnother,
    /// Made with `ssh-keygen -Y sign`, over the payload.
    SshSignature,
    /// Over the bare payload.
    BareSignature,
    KeyTwice,
    /// The first signature again, under another key's name.
    KeyTwiceRenamed,
    ManySignatures,
    NoSignature,
    OtherType,
    Cut,
    NotJson,
    Nested,
    NestedPayload,
    Huge,
    PayloadTwice,
    /// The payload names its targets twice; the engineer signed it so.
    KeyOfPayloadTwice,
    /// The organisation's own list of keys in the order's place.
    KeyListInstead,
}

/// What stands beside the order's envelope.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkChange {
    /// Where the order is for a tree: own, other, moved, longer, none.
    #[serde(default)]
    pub proof: Proof,
    /// The id that it comes under.
    pub id: Option<String>,
    /// What the answer names as cancelled besides; `{state}` is the agent's state folder.
    #[serde(default)]
    pub cancelled: Vec<String>,
    /// So often they are named.
    #[serde(default = "once")]
    pub cancelled_times: usize,
}

impl Default for WorkChange {
    fn default() -> Self {
        Self { proof: Proof::default(), id: None, cancelled: Vec::new(), cancelled_times: once() }
    }
}

fn once() -> usize {
    1
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proof {
    #[default]
    Own,
    Other,
    Moved,
    Longer,
    None,
}

/// What comes with the order in place of the organisation's documents.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustChange {
    pub list: Option<ForgedList>,
    pub root: Option<ForgedRoot>,
    /// The code that the audit log must have of it.
    pub code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForgedList {
    /// The list before, in which carol still counts.
    RolledBack,
    /// The same version with mallory in it, signed by the root.
    Mixed,
    OtherOrganisation,
    ByMallory,
    /// One of the root's keys signed it, and two must.
    ByOne,
    OneKeyTwice,
    /// It lives for a year.
    LongLived,
    /// Of a root that is not there yet.
    OfNextRoot,
    /// Good, but two engineers must sign.
    TwoMustSign,
    /// Good, and it revokes asha.
    WithoutAsha,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForgedRoot {
    /// Mallory's own, version 1.
    Substituted,
    /// Mallory's own in this organisation's name, version 2, signed by its own keys.
    ByNewOnly,
    ByOldOnly,
    /// Version 3 after version 1.
    Skips,
    /// As it should be; the old root's list counts no longer.
    Rotated,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    #[serde(default)]
    pub enrolled: Enrolled,
    /// The policy; the control's where nothing is said. `{far}` is an hour of the day that is not now, `{far_end}` the one after.
    pub policy: Option<String>,
    /// The file's mode once the agent runs, in octal.
    pub policy_mode: Option<String>,
    /// Once the agent runs, the policy is a link into a folder that everybody may write.
    #[serde(default)]
    pub policy_link: bool,
    #[serde(default)]
    pub no_policy: bool,
    #[serde(default)]
    pub paused: bool,
    /// Folders of its state that are there before it runs, as earlier orders leave them.
    #[serde(default)]
    pub folders: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A local run must work meanwhile.
    #[serde(default)]
    pub local_run: bool,
}

/// What the agent was shown when it enrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Enrolled {
    #[default]
    Today,
    /// Everything was signed a year from now: this machine's clock is a year slow.
    ClockSlow,
    /// Everything was signed a year ago: this machine's clock is a year fast, or the backend withholds all that is newer.
    ClockFast,
    /// The only list that it was shown has expired since.
    ExpiredList,
    NoList,
    /// Over TLS, by a pin.
    Pinned,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct World {
    /// Lines of the agent's hosts file.
    #[serde(default)]
    pub hosts: String,
    /// Names and their addresses, one an answer, the last one for ever after.
    #[serde(default)]
    pub names: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// Where the server's name server sends whoever asks it for a delegation.
    pub glue: Option<std::net::Ipv4Addr>,
}

/// What the backend does beside delivering orders.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behaviour {
    /// Its clock is so many days off.
    #[serde(default)]
    pub clock_days: i64,
    #[serde(default)]
    pub trick: Trick,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trick {
    #[default]
    None,
    /// Sends every question for work to another host.
    RedirectPoll,
    /// Names another host as the place of the upload.
    UploadElsewhere,
    ForgedReceipt,
    /// A receipt of the right key for another file.
    ReceiptOfAnother,
    /// Says that two machines share the identity.
    IdentityTwice,
    /// Says that the agent's clock is wrong before it gives the order.
    ClockSkew,
    NoJson,
    HugeAnswer,
    /// Another key answers at the pinned address.
    OtherTlsKey,
    /// When the agent enrols: another root than the string pins.
    OtherRoot,
    /// When the agent enrols: the right root, which too few signed.
    UnsignedRoot,
    /// When the agent enrols: the answer for another agent.
    OtherAgent,
}

/// The order that must run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    /// With an agent of its own, where the attack leaves one that takes no orders.
    #[serde(default)]
    pub apart: bool,
    /// How it differs from the usual one.
    #[serde(default)]
    pub order: OrderChange,
}

impl Case {
    /// The cases whose name contains `filter`, by name.
    ///
    /// # Errors
    /// Where a file cannot be read or does not parse: its name is in the error.
    pub(super) fn all(filter: Option<&str>) -> Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks");
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path().join("case.toml");
            let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if filter.is_some_and(|filter| !name.contains(filter)) {
                continue;
            }
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let case: Self = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
            if case.what.is_empty() {
                bail!("{} does not say what it is", path.display());
            }
            cases.push(Self { name, ..case });
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(cases)
    }
}
