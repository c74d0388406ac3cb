//! What the answers have told of the sizes, and which size would tell most.
//!
//! An ICMP error is believed only where it fits (RFC 8201 section 4, RFC 8899 section 4.6.1): it names a size below the packet's, not
//! below what passed already, and not below what every path must have. One that does not fit is kept aside.

use netsonde_contract::failure::IcmpError;
use netsonde_contract::observation::MtuLimit;
use std::net::IpAddr;

/// The smallest size that is tried first: every IPv4 host takes 576 bytes (RFC 791 section 3.1), every IPv6 path 1280 (RFC 8200 section 5).
const SMALLEST_V4: u32 = 576;
const SMALLEST_V6: u32 = 1_280;

/// What an ICMP error may name at the least: 68 bytes in IPv4 (RFC 791 section 3.2); in IPv6 as above.
const LEAST_NAMED_V4: u32 = 68;

/// Sizes of links and tunnels as they are set up (RFC 1191 section 7.1, PPPoE, VXLAN, GRE, IPsec, WireGuard): where something swallows
/// packets, it is most often just above one of these.
const USUAL: [u32; 16] =
    [4_352, 1_500, 1_492, 1_480, 1_476, 1_460, 1_450, 1_440, 1_420, 1_412, 1_400, 1_380, 1_350, 1_300, 1_280, 1_006];

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mtu) struct Found {
    pub(in crate::mtu) passed: Option<u32>,
    pub(in crate::mtu) stopped: Option<u32>,
    pub(in crate::mtu) limit: MtuLimit,
    pub(in crate::mtu) told: Option<IcmpError>,
    pub(in crate::mtu) disbelieved: Vec<IcmpError>,
    /// An ICMP error that ends the search.
    pub(in crate::mtu) refused: Option<IcmpError>,
}

pub(super) struct Known {
    smallest: u32,
    least_named: u32,
    /// The largest size that may still pass.
    ceiling: u32,
    passed: Option<u32>,
    stopped: Option<(u32, Why)>,
    /// A size that ICMP named and that was not tried yet.
    named: Option<u32>,
    told: Option<IcmpError>,
    disbelieved: Vec<IcmpError>,
    refused: Option<IcmpError>,
}

/// Why a size does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mtu) enum Why {
    Interface,
    TooBig,
    Lost,
}

impl Known {
    pub(super) fn new(target: IpAddr, max_bytes: u32) -> Self {
        let (smallest, least_named) = match target {
            IpAddr::V4(_) => (SMALLEST_V4, LEAST_NAMED_V4),
            IpAddr::V6(_) => (SMALLEST_V6, SMALLEST_V6),
        };
        Self {
            smallest,
            least_named,
            ceiling: max_bytes.max(smallest),
            passed: None,
            stopped: None,
            named: None,
            told: None,
            disbelieved: Vec::new(),
            refused: None,
        }
    }

    /// The size that every path passes.
    pub(super) fn smallest(&self) -> u32 {
        self.smallest
    }

    pub(super) fn any_passed(&self) -> bool {
        self.passed.is_some()
    }

    /// A size between what passed and what did not: what was named first, then usual sizes, then the middle. None where nothing is left to learn.
    pub(super) fn due(&mut self) -> Option<u32> {
        let named = self.named.take();
        let Some(passed) = self.passed else {
            // Even the smallest did not pass: only a router that names a smaller one can help.
            return match self.stopped {
                None => Some(self.smallest),
                Some((stopped, _)) => named.filter(|size| *size < stopped),
            };
        };
        match self.stopped {
            None => (passed < self.ceiling).then_some(self.ceiling),
            Some((_, Why::TooBig)) if self.told.as_ref().is_some_and(|icmp| icmp.mtu == Some(passed)) => None,
            Some((stopped, _)) if stopped - passed <= 1 => None,
            Some((stopped, _)) => {
                Some(named.filter(|size| (passed + 1..stopped).contains(size)).unwrap_or_else(|| between(passed, stopped)))
            }
        }
    }

    pub(super) fn pass(&mut self, size: u32) {
        self.passed = self.passed.max(Some(size));
    }

    pub(super) fn stop(&mut self, size: u32, why: Why) {
        self.stopped = Some((size, why));
    }

    pub(super) fn refuse(&mut self, icmp: IcmpError) {
        self.refused = Some(icmp);
    }

    /// A router says that a packet is too big. False where that does not fit, and the size has to be tried again.
    pub(super) fn too_big(&mut self, size: u32, icmp: IcmpError) -> bool {
        // Routers of before RFC 1191 name none, and so does a zero.
        let named = icmp.mtu.filter(|named| *named > 0);
        let fits = |named: u32| named < size && named >= self.least_named && self.passed.is_none_or(|passed| named >= passed);
        if !named.is_none_or(fits) {
            self.disbelieved.push(icmp);
            return false;
        }
        if named.is_some() {
            self.named = named;
        }
        self.told = Some(icmp);
        self.stop(size, Why::TooBig);
        true
    }

    pub(super) fn found(&self) -> Found {
        let settled = match (self.passed, self.stopped) {
            (Some(passed), None) => passed >= self.ceiling,
            (Some(_), Some(_)) => true,
            (None, _) => false,
        };
        let limit = match self.stopped {
            _ if !settled => MtuLimit::Unknown,
            None => MtuLimit::None,
            Some((_, Why::Interface)) => MtuLimit::Interface,
            Some((_, Why::TooBig)) => MtuLimit::Told,
            Some((_, Why::Lost)) => MtuLimit::Untold,
        };
        // What a router named holds only where nothing larger passed, and nothing below it was stopped for another reason.
        let fits = |icmp: &&IcmpError| match icmp.mtu {
            None | Some(0) => true,
            Some(named) => self.passed.is_none_or(|passed| named >= passed),
        };
        let told = self.told.as_ref().filter(|_| limit == MtuLimit::Told).filter(fits).cloned();
        let mut disbelieved = self.disbelieved.clone();
        if told.is_none() && settled {
            disbelieved.extend(self.told.clone());
        }
        Found {
            passed: self.passed,
            stopped: self.stopped.map(|(size, _)| size),
            limit,
            told,
            disbelieved,
            refused: self.refused.clone(),
        }
    }
}

/// The middle one of the usual sizes that are left; just above one that passes, where none is; else the middle.
fn between(passed: u32, stopped: u32) -> u32 {
    let usual: Vec<u32> = USUAL.into_iter().filter(|size| (passed + 1..stopped).contains(size)).collect();
    match usual.get(usual.len() / 2) {
        Some(size) => *size,
        None if USUAL.contains(&passed) => passed + 1,
        None => passed.midpoint(stopped),
    }
}
