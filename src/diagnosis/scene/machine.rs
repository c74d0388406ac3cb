//! Facts about the machine's own state, with all that a test does not care about filled in.

use netsonde_contract::observation::{
    AddressAnswer, AddressProbe, Capacity, Connect, Conntrack, Counter, Counters, EphemeralPorts, Fact, InterfaceCounters,
    InterfaceGrowth, PortUse, SeenSegment, Sockets,
};

/// An own address that was asked for on eth0, and who else answered.
pub(crate) fn address_probe(address: &str, answers: &[&str]) -> Fact {
    let answer = |hardware: &&str| AddressAnswer { hardware_address: (*hardware).to_owned(), after_us: 400 };
    Fact::AddressProbe(AddressProbe {
        address: address.parse().unwrap(),
        interface: "eth0".into(),
        sent: 3,
        answers: answers.iter().map(answer).collect(),
        unasked: None,
        failure: None,
    })
}

/// How much counters grew during the run, and those of eth0.
pub(crate) fn grown(counters: &[(&str, u64)], interface: InterfaceCounters) -> Fact {
    let counter = |(name, value): &(&str, u64)| Counter { name: (*name).to_owned(), value: *value };
    Fact::Counters(Counters {
        over_us: Some(4_000_000),
        counters: counters.iter().map(counter).collect(),
        interfaces: vec![InterfaceGrowth { name: "eth0".into(), counters: interface }],
        cpu: None,
    })
}

/// Of a range of so many local ports, those in use at all and those towards 192.0.2.1:443.
pub(crate) fn ports(size: u16, in_use: u32, towards: u32) -> Fact {
    let used = PortUse { address: "192.0.2.1".parse().unwrap(), port: 443, in_use: towards };
    let ephemeral = EphemeralPorts { low: 32_768, high: 32_768 + size - 1, in_use, towards: vec![used] };
    Fact::Sockets(Box::new(Sockets { ephemeral: Some(ephemeral), complete: true, ..Sockets::default() }))
}

/// So many tracked connections of so many.
pub(crate) fn conntrack(count: u64, max: u64) -> Fact {
    Fact::Capacity(Capacity { conntrack: Some(Conntrack { count, max, ..Conntrack::default() }), ..Capacity::default() })
}

/// The same connection with the packet that answered as it came in: a reset where it failed, else a SYN-ACK.
pub(crate) fn answered_with(mut fact: Fact, ttl: u8) -> Fact {
    if let Fact::Connect(connect) = &mut fact {
        let segment = Some(SeenSegment { ttl, ip_id: None, at_us: 0 });
        let Connect { failure, reset, syn_ack, .. } = connect;
        *(if failure.is_some() { reset } else { syn_ack }) = segment;
    }
    fact
}

/// The same connection of which so many SYNs were seen to leave.
pub(crate) fn with_syns(mut fact: Fact, left: u32) -> Fact {
    if let Fact::Connect(connect) = &mut fact {
        connect.syns_left = Some(left);
    }
    fact
}

/// The same echo series with what its replies had left of their TTL.
pub(crate) fn with_ttl(mut fact: Fact, ttl: u8) -> Fact {
    if let Fact::Echo(echo) = &mut fact {
        echo.replies.iter_mut().for_each(|reply| reply.ttl = Some(ttl));
    }
    fact
}
