use crate::arguments::TriggerWish;
use crate::signing::Signer;
use crate::stop::Stop;
use crate::terminal::harmless;
use crate::{duration, labels, private_file};
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{KeptDraft, Labels};
use netsonde_contract::id::CaseId;
use netsonde_contract::nearest::nearest;
use netsonde_contract::order::{LONGEST_LIFE, LONGEST_REPEAT, MAX_WINDOW, Repeat, SHORTEST_REPEAT};
use netsonde_contract::set::{MAX_SET_BYTES, built_in, find_built_in};
use netsonde_contract::size;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

/// What an engineer wants, before it is an order.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The set's exact text.
    pub(crate) set: String,
    pub(crate) targets: Vec<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Ids, beginnings of ids, or host names.
    pub(crate) agents: Vec<String>,
    pub(crate) labels: Labels,
    pub(crate) case: CaseId,
    pub(crate) requester: String,
    pub(crate) reason: String,
    pub(crate) life: SignedDuration,
    pub(crate) waves: Vec<u32>,
    pub(crate) stop_at: Option<u8>,
    /// Which agent answers the others, and which addresses.
    pub(crate) with: Option<(String, Vec<IpAddr>)>,
    /// What each agent may send and receive at most.
    pub(crate) bytes: Option<u64>,
    /// Run as a schedule.
    pub(crate) repeat: Option<Repeat>,
    /// The exact text of the schedule's deep set.
    pub(crate) deep: Option<String>,
    /// Each agent begins within so many seconds.
    pub(crate) spread: Option<u32>,
    /// The draft that it comes from.
    pub(crate) draft: Option<String>,
}

impl Wish {
    pub(crate) fn of(wish: &TriggerWish, signer: &Signer) -> Result<Self, Stop> {
        Ok(Self {
            set: set_text(&wish.set)?,
            targets: wish.targets.clone(),
            parameters: labels::pairs("--param", &wish.parameters)?,
            agents: wish.agents.clone(),
            labels: labels::pairs("--label", &wish.labels)?,
            case: case(&wish.case)?,
            requester: wish.requester.clone().unwrap_or_else(|| signer.name()),
            reason: wish.reason.clone(),
            life: life(&wish.expires)?,
            waves: wish.waves.clone(),
            stop_at: wish.stop_at,
            with: wish.with.clone().map(|agent| (agent, wish.answering.clone())),
            bytes: wish.bytes.as_deref().map(bytes).transpose()?,
            repeat: repeat(wish.every.as_deref(), wish.repeat_for.as_deref())?,
            deep: wish.deep.as_deref().map(set_text).transpose()?,
            spread: wish.spread.as_deref().map(|text| spread(text, &wish.expires)).transpose()?,
            draft: None,
        })
    }

    /// What a page drafted. Whoever holds the backend can have written it: that is why it is shown before it is signed.
    pub(crate) fn of_draft(kept: KeptDraft, expires: &str, signer: &Signer) -> Result<Self, Stop> {
        let draft = kept.draft;
        let spread = draft.spread_seconds.map(|seconds| spread(&seconds.to_string(), expires)).transpose()?;
        Ok(Self {
            set: if draft.set.contains('\n') { draft.set } else { known_set(&draft.set)? },
            targets: draft.targets,
            parameters: draft.parameters,
            agents: draft.agents.iter().map(|agent| agent.as_str().to_owned()).collect(),
            labels: draft.labels,
            case: case(draft.case.as_str())?,
            requester: if draft.requester.is_empty() { signer.name() } else { draft.requester },
            reason: draft.reason,
            life: life(expires)?,
            waves: Vec::new(),
            stop_at: None,
            with: None,
            bytes: None,
            repeat: None,
            deep: None,
            spread,
            draft: Some(kept.id),
        })
    }
}

/// The text of a set in the catalogue, or of a file whose name ends in `.toml`.
fn set_text(text: &str) -> Result<String, Stop> {
    if !text.ends_with(".toml") {
        return known_set(text);
    }
    let bytes = private_file::read(Path::new(text), MAX_SET_BYTES as u64)?;
    String::from_utf8(bytes)
        .map_err(|_| Stop::usage(format!("{} is no text", harmless(text))).next("give a probe set's TOML file"))
}

pub(crate) fn known_set(name: &str) -> Result<String, Stop> {
    let names = || built_in().iter().map(|set| set.name);
    find_built_in(name).map(|set| set.text.to_owned()).ok_or_else(|| {
        let next = match nearest(name, names()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("choose one of: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Stop::usage(format!("there is no probe set `{}`", harmless(name))).next(next)
    })
}

fn case(text: &str) -> Result<CaseId, Stop> {
    CaseId::parse(text).ok_or_else(|| {
        Stop::usage(format!("`{}` is no case number", harmless(text)))
            .next("use 1 to 64 letters, digits, `-`, `_` and `.`, not beginning with a dot")
    })
}

fn life(text: &str) -> Result<SignedDuration, Stop> {
    let seconds = duration::seconds(text, "an order", MAX_WINDOW.as_secs().unsigned_abs())
        .map_err(|why| Stop::usage(why).next("give --expires 1h"))?;
    Ok(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0)))
}

/// Seconds, or a time as others are written; no longer than the order lives.
fn spread(text: &str, expires: &str) -> Result<u32, Stop> {
    let most = life(expires)?.as_secs().unsigned_abs();
    let written = if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}s") } else { text.to_owned() };
    let seconds = duration::seconds(&written, "a spread", most).map_err(|why| {
        Stop::usage(why).next(format!("spread it over 600 seconds, say, and no more than the order lives: --expires {expires}"))
    })?;
    u32::try_from(seconds).map_err(|error| Stop::usage(error.to_string()))
}

fn bytes(text: &str) -> Result<u64, Stop> {
    size::parse(text).filter(|bytes| *bytes <= size::MAX_RUN_BYTES).ok_or_else(|| {
        Stop::usage(format!("`{}` is no amount of bytes up to {}", harmless(text), size::words(size::MAX_RUN_BYTES)))
            .next(size::HELP)
    })
}

fn repeat(every: Option<&str>, life: Option<&str>) -> Result<Option<Repeat>, Stop> {
    let (Some(every), Some(life)) = (every, life) else { return Ok(None) };
    let next = "give --every 5m --for 7d";
    let seconds = |text: &str, what: &str, most: u64| {
        let seconds = duration::seconds(text, what, most).map_err(|why| Stop::usage(why).next(next))?;
        u32::try_from(seconds).map_err(|error| Stop::usage(error.to_string()))
    };
    let repeat = Repeat {
        every_seconds: seconds(every, "the time between two runs", LONGEST_REPEAT.as_secs())?,
        life_seconds: seconds(life, "a schedule", LONGEST_LIFE.as_secs())?,
    };
    if repeat.every() < SHORTEST_REPEAT || repeat.life() < repeat.every() {
        let words = format!("`{every}` for `{life}`: a schedule runs every 10s or less often, and for one such time at least");
        return Err(Stop::usage(words).next(next));
    }
    Ok(Some(repeat))
}
