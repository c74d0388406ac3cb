use netsonde_contract::order::Serve;
use netsonde_contract::policy::Policy;
use netsonde_probes::clock::Clock;
use netsonde_probes::{Reflector, ReflectorKey, ReflectorRules};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Once every peer was heard and none was for so long, their series are over: between two parts of one they are silent for less.
const QUIET: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the report of a run that answers says, for which the order's other agents wait.
pub(super) const CODE: &str = netsonde_contract::order::SERVING;

/// Answers the test packets of an order's other agents, and nobody else's. It listens from the moment that it is made, so that nobody
/// who was told of it sends in vain.
pub(super) struct Answering {
    reflector: Reflector,
    serve: Serve,
}

impl Answering {
    /// Needs a running runtime.
    ///
    /// # Errors
    /// In a sentence, where this machine does not let it listen.
    pub(super) fn open(serve: &Serve, policy: &Policy, clock: Clock) -> Result<Self, String> {
        let any = |v4| match v4 {
            true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, serve.port)),
            false => SocketAddr::from((Ipv6Addr::UNSPECIFIED, serve.port)),
        };
        let families: BTreeSet<bool> = serve.peers.iter().map(|peer| peer.to_canonical().is_ipv4()).collect();
        let addresses: Vec<SocketAddr> = families.into_iter().map(any).collect();
        let rules = ReflectorRules {
            allowed: serve.peers.iter().map(|peer| whole(peer.to_canonical())).collect(),
            key: Some(ReflectorKey::new(serve.key.as_bytes())?),
            answers: Some(policy.budget.packets),
            bytes: Some(policy.budget.bytes),
        };
        let reflector = Reflector::open(&addresses, rules, clock)
            .map_err(|(address, error)| format!("this machine does not let the agent listen at {address} (UDP): {error}"))?;
        Ok(Self { reflector, serve: serve.clone() })
    }

    /// Where and for whom, for the engineer.
    pub(super) fn words(&self) -> String {
        let peers: Vec<String> = self.serve.peers.iter().map(ToString::to_string).collect();
        format!("answering {} at UDP port {} for at most {} s", peers.join(", "), self.serve.port, self.serve.seconds)
    }

    /// Until its time is over, the peers have had what they wanted, or the run is cancelled; then says what was answered.
    pub(super) async fn answer(&self, cancel: &CancellationToken) -> String {
        tokio::select! {
            () = self.reflector.run() => {}
            () = tokio::time::sleep(self.serve.time()) => {}
            () = self.finished() => {}
            () = cancel.cancelled() => {}
        }
        let summary = self.reflector.summary();
        let sessions = summary.sessions.iter().map(|one| {
            let (peer, received, sent, missing) = (one.peer, one.received, one.sent, one.missing);
            format!("; {peer}: {received} received, {sent} answered, {missing} lost on the way here")
        });
        let refused = summary.refused.iter().map(|(why, count)| format!("; {count} not answered: {why}"));
        format!("{} packets answered", summary.answered) + &sessions.chain(refused).collect::<String>()
    }

    async fn finished(&self) {
        let (mut answered, mut silent) = (0, Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let summary = self.reflector.summary();
            let heard: BTreeSet<IpAddr> = summary.sessions.iter().map(|session| session.peer.ip().to_canonical()).collect();
            silent = if summary.answered > answered { Duration::ZERO } else { silent + LOOK_EVERY };
            answered = summary.answered;
            if self.serve.peers.iter().all(|peer| heard.contains(&peer.to_canonical())) && silent >= QUIET {
                return;
            }
        }
    }
}

fn whole(address: IpAddr) -> (IpAddr, u8) {
    (address, if address.is_ipv4() { 32 } else { 128 })
}
