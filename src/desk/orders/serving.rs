use super::Wish;
use crate::stop::Stop;
use crate::{agents, random};
use netsonde_contract::api::fleet::AgentSummary;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{MAX_PEERS, MAX_SERVE_SECONDS, Serve};
use netsonde_contract::set::Plan;
use std::time::Duration;

/// Registered for TWAMP and STAMP (RFC 8762 section 4.1), where the target names no port.
const PORT: u16 = 862;
/// The serving agent begins first, and the others may be busy when their turn comes.
const HEAD_START: Duration = Duration::from_secs(60);

/// Which agent answers the others, where the engineer wants one to: with a key of this order's own, for as long as the others may take.
pub(super) fn serve(wish: &Wish, all: &[AgentSummary], chosen: &[&AgentSummary], plan: &Plan) -> Result<Option<Serve>, Stop> {
    let Some((named, peers)) = &wish.with else { return Ok(None) };
    let agent = agents::named(all, named)?;
    if !chosen.iter().any(|one| one.id == agent.id) || chosen.len() < 2 {
        return Err(Stop::usage("one agent answers and another one measures, and not both are there")
            .next("name the measuring one with --agent ID and the answering one with --with ID"));
    }
    let [target] = plan.targets.as_slice() else {
        return Err(
            Stop::usage("the target is the answering agent\'s own address, and no other").next("give one --target HOST:PORT")
        );
    };
    if !plan.checks.iter().any(|check| check.params.kind() == Kind::Reflect) {
        return Err(Stop::usage("no check of this set sends test packets to an agent").next("trigger the set reflect"));
    }
    if peers.is_empty() || peers.len() > MAX_PEERS {
        return Err(
            Stop::usage(format!("an agent answers 1 to {MAX_PEERS} addresses")).next("name them with --answering ADDRESS")
        );
    }
    let seconds = (plan.budget + HEAD_START).as_secs().min(u64::from(MAX_SERVE_SECONDS));
    Ok(Some(Serve {
        agent: agent.id.clone(),
        port: target.port.unwrap_or(PORT),
        peers: peers.clone(),
        seconds: u32::try_from(seconds).unwrap_or(MAX_SERVE_SECONDS),
        key: hexadecimal(&random::bytes::<32>()?),
    }))
}
