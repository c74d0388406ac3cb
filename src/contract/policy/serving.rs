use super::{Policy, Reach};
use crate::kind::Kind;
use crate::order::{Refusal, RefusalCode, Serve};
use ipnet::IpNet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Whose test packets an order may have this machine answer: nobody's, unless the policy names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    pub peers: Vec<IpNet>,
    /// For so long at most.
    pub time: Duration,
    /// Where it may listen; empty for every port.
    pub ports: Vec<RangeInclusive<u16>>,
}

impl Default for Serving {
    fn default() -> Self {
        Self { peers: Vec::new(), time: Duration::from_secs(300), ports: Vec::new() }
    }
}

impl Policy {
    /// What speaks against answering as an order asks.
    pub(super) fn object_to_serving(&self, serve: &Serve, reach: &Reach) -> Option<(&'static str, Refusal)> {
        let own = &self.serve;
        if !self.kinds.contains(&Kind::Reflect) {
            let words = "it asks to answer test packets, and the policy does not name the kind reflect";
            return Some(("orders.kinds", RefusalCode::KindNotAllowed.because(words)));
        }
        if let Some(peer) = serve.peers.iter().find(|peer| !reach.is_peer(&own.peers, **peer)) {
            let words = format!("the policy does not let this machine answer {peer}");
            return Some(("serve.peers", RefusalCode::ServingNotAllowed.because(words)));
        }
        if !own.ports.is_empty() && !own.ports.iter().any(|range| range.contains(&serve.port)) {
            let words = format!("the policy does not let this machine answer at port {}", serve.port);
            return Some(("serve.ports", RefusalCode::ServingNotAllowed.because(words)));
        }
        if serve.time() > own.time {
            let words = format!("it may have to answer for {} s, and the policy gives {} s", serve.seconds, own.time.as_secs());
            return Some(("serve.time", RefusalCode::OverBudget.because(words)));
        }
        None
    }
}
