use super::Answered;
use crate::context::{Context, NotMeasurable};
use futures_util::stream::{self, StreamExt};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{IcmpParams, TargetSpan};
use netsonde_contract::observation::{Echo, EchoClock, Fact, Lookup, LookupSource};
use std::collections::HashSet;
use std::net::IpAddr;

/// Names resolved at once: the system's resolver takes a thread for each.
const NAMES_AT_ONCE: usize = 16;

/// One address to send echo requests to, and the host that it was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// What the parameters stand for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Every address once, in their order, [`IcmpParams::MAX_ADDRESSES`] at most.
    pub(super) aims: Vec<Aim>,
    /// The addresses of each entry that was given; none where it has none that may be asked.
    pub(super) groups: Vec<Vec<IpAddr>>,
}

impl Asked {
    /// Whether something of each entry answered.
    pub(super) fn is_answered_by(&self, answered: &Answered) -> bool {
        self.groups.iter().all(|group| group.iter().any(|address| answered.contains(address)))
    }
}

/// One entry: its addresses, and what of it cannot be asked and why.
struct Entry {
    aims: Vec<Aim>,
    left_out: Option<Fact>,
    failure: Option<Failure>,
}

/// Every address that the parameters stand for. A name that does not resolve, an address that may not be asked and those beyond the bound
/// are each recorded with the reason, where others are left to ask.
///
/// # Errors
/// Where nothing that was given has an address that may be asked.
pub(super) async fn resolve(context: &Context, params: &IcmpParams) -> Result<Asked, NotMeasurable> {
    let spans = params.spans().map_err(|error| NotMeasurable::new(error.to_string()))?;
    let first = TargetSpan::Name(params.host.clone());
    let found = stream::iter([first].into_iter().chain(spans)).map(|span| entry(context, params, span)).buffered(NAMES_AT_ONCE);
    let found: Vec<Entry> = found.collect().await;
    let groups = found.iter().map(|entry| entry.aims.iter().map(|aim| aim.address).collect()).collect();
    let mut known = HashSet::new();
    let mut all = Vec::new();
    let (mut refusal, mut left_out) = (None, Vec::new());
    for entry in found {
        all.extend(entry.aims.into_iter().filter(|aim| known.insert(aim.address)));
        refusal = refusal.or(entry.failure);
        left_out.extend(entry.left_out);
    }
    if let Some(failure) = refusal.filter(|_| all.is_empty()) {
        return Err(NotMeasurable::unresolved(&params.host, &failure));
    }
    let (aims, cut) = within(all, IcmpParams::MAX_ADDRESSES);
    left_out.extend(cut.map(|(aim, failure)| unasked(params, aim, failure)));
    let at_us = context.clock.now_us();
    for fact in left_out {
        context.recorder.record(at_us, fact);
    }
    Ok(Asked { aims, groups })
}

/// The first `most` of them; and the first of the others, with how many they are.
pub(super) fn within(mut all: Vec<Aim>, most: usize) -> (Vec<Aim>, Option<(Aim, Failure)>) {
    let over = all.split_off(all.len().min(most));
    let count = over.len();
    let cut = over.into_iter().next().map(|first| {
        let addresses = if count == 1 { "address" } else { "addresses" };
        let text = format!("not asked: {count} {addresses} more than the {most} that one check may ask");
        (first, Failure::new(FailureCode::BudgetExhausted, Step::Send, text))
    });
    (all, cut)
}

async fn entry(context: &Context, params: &IcmpParams, span: TargetSpan) -> Entry {
    if let TargetSpan::Name(host) = &span {
        return match context.names.resolve(&context.gate, host).await {
            Ok(addresses) => {
                let aims = addresses.into_iter().map(|address| Aim { host: host.clone(), address }).collect();
                Entry { aims, left_out: None, failure: None }
            }
            Err(failure) => {
                let mut lookup = Lookup::new(host.trim_end_matches('.'), "ADDRESS", LookupSource::System);
                lookup.failure = Some(failure.clone());
                Entry { aims: Vec::new(), left_out: Some(Fact::Lookup(lookup)), failure: Some(failure) }
            }
        };
    }
    let (mut aims, mut refused) = (Vec::new(), Vec::new());
    for address in span.addresses() {
        let aim = Aim { host: address.to_string(), address };
        match context.gate.address(address) {
            Ok(()) => aims.push(aim),
            Err(failure) => refused.push((aim, failure)),
        }
    }
    let count = refused.len();
    let first = refused.into_iter().next().map(|(aim, mut failure)| {
        if count > 1 {
            failure.text.push_str(&format!("; the same goes for {} more of its range", count - 1));
        }
        (aim, failure)
    });
    let failure = first.as_ref().map(|(_, failure)| failure.clone());
    Entry { aims, left_out: first.map(|(aim, failure)| unasked(params, aim, failure)), failure }
}

/// A series of no request, with the reason.
fn unasked(params: &IcmpParams, aim: Aim, failure: Failure) -> Fact {
    Fact::Echo(Echo {
        host: aim.host,
        address: aim.address,
        sent: 0,
        replies: Vec::new(),
        errors: Vec::new(),
        size_bytes: params.size_bytes,
        clock: EchoClock::Process.as_str().to_owned(),
        socket: None,
        dont_fragment: params.dont_fragment,
        dscp: params.dscp,
        extra: Vec::new(),
        statistics: None,
        failure: Some(failure),
    })
}

/// The addresses of one entry, as if all might be asked.
#[cfg(test)]
pub(super) fn group_of(entry: &str) -> Vec<IpAddr> {
    let params = IcmpParams { targets: vec![entry.to_owned()], ..IcmpParams::of("h") };
    params.spans().unwrap().iter().flat_map(TargetSpan::addresses).collect()
}
