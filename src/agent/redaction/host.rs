//! What stays of the facts about the machine itself.

use super::Redactor;
use netsonde_contract::observation::{
    AddressAnswer, AddressProbe, Chain, Clock, Counter, Counters, Firewall, FirewallTable, Interface, InterfaceGrowth, Listener,
    Machine, Neighbour, Neighbours, PortUse, Pressure, ProcessSockets, Proxies, ProxySetting, ResolverSource, Resolvers, Route,
    RoutingRule, Sockets, StateCount, SystemLoad, TowardsTarget,
};
use std::net::IpAddr;

impl Redactor<'_> {
    pub(super) fn interface(&mut self, fact: &Interface) -> Interface {
        Interface {
            name: self.link(&fact.name),
            addresses: fact.addresses.iter().map(|address| self.prefix(address)).collect(),
            kind: fact.kind.as_deref().map(|kind| self.word(kind)),
            hardware_address: fact.hardware_address.as_deref().map(|address| self.hardware_address(address)),
            offloads: fact.offloads.iter().map(|name| self.word(name)).collect(),
            ..fact.clone()
        }
    }

    /// An address with the length of its prefix.
    fn prefix(&mut self, text: &str) -> String {
        match text.split_once('/') {
            Some((address, length)) => format!("{}/{}", self.name(address), self.word(length)),
            None => self.name(text),
        }
    }

    /// A network; what is none is no more than a word.
    fn network(&mut self, text: &str) -> String {
        match text.split_once('/').map(|(address, length)| (address.parse::<IpAddr>(), length)) {
            Some((Ok(address), length)) => format!("{}/{}", self.address(address), self.word(length)),
            _ => self.word(text),
        }
    }

    /// A hardware address names one device, so that at the strict level it becomes a token; what is none goes.
    fn hardware_address(&mut self, text: &str) -> String {
        let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.split(':').count() >= 6 && text.split(':').all(is_pair) {
            return self.public_name(text);
        }
        self.count("unusual_word");
        "[redacted]".to_owned()
    }

    pub(super) fn route(&mut self, fact: &Route) -> Route {
        let rule = |rule: &RoutingRule| RoutingRule {
            from: rule.from.as_deref().map(|prefix| self.network(prefix)),
            to: rule.to.as_deref().map(|prefix| self.network(prefix)),
            ..rule.clone()
        };
        Route {
            rule: fact.rule.as_ref().map(rule),
            target: self.address(fact.target),
            gateway: fact.gateway.map(|gateway| self.address(gateway)),
            interface: fact.interface.as_deref().map(|name| self.link(name)),
            source: fact.source.map(|source| self.address(source)),
            matched: fact.matched.as_deref().map(|prefix| self.network(prefix)),
            made_by: fact.made_by.as_deref().map(|name| self.word(name)),
            tunnel: fact.tunnel.as_deref().map(|kind| self.word(kind)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    pub(super) fn resolvers(&mut self, fact: &Resolvers) -> Resolvers {
        let source = |source: &ResolverSource| ResolverSource {
            read_from: self.text(&source.read_from),
            interface: source.interface.as_deref().map(|name| self.link(name)),
            servers: self.addresses(&source.servers),
            search: self.names(&source.search),
        };
        Resolvers {
            behind: fact.behind.iter().map(source).collect(),
            servers: self.addresses(&fact.servers),
            search: self.names(&fact.search),
            read_from: self.text(&fact.read_from),
            placeholders: fact.placeholders,
        }
    }

    pub(super) fn proxies(&mut self, fact: &Proxies) -> Proxies {
        let mut setting = |setting: &ProxySetting| ProxySetting {
            scheme: self.word(&setting.scheme),
            url: self.url(&setting.url),
            set_by: self.text(&setting.set_by),
        };
        let settings = fact.settings.iter().map(&mut setting).collect();
        let of_system = fact.of_system.iter().map(&mut setting).collect();
        let excluded = fact.excluded.as_deref().map(|list| self.exclusions(list));
        let unread = fact.unread.as_ref().map(|note| self.note(note));
        Proxies { settings, excluded, of_system, unread }
    }

    pub(super) fn clock(&mut self, fact: &Clock) -> Clock {
        Clock {
            state: fact.state.as_deref().map(|state| self.word(state)),
            source: fact.source.as_deref().map(|source| self.word(source)),
            ..fact.clone()
        }
    }

    pub(super) fn neighbours(&mut self, fact: &Neighbours) -> Neighbours {
        let entry = |entry: &Neighbour| Neighbour {
            address: self.address(entry.address),
            interface: self.link(&entry.interface),
            state: self.word(&entry.state),
            hardware_address: entry.hardware_address.as_deref().map(|address| self.hardware_address(address)),
            gateway: entry.gateway,
        };
        Neighbours { entries: fact.entries.iter().map(entry).collect(), total: fact.total }
    }

    pub(super) fn sockets(&mut self, fact: &Sockets) -> Sockets {
        let process = |found: &ProcessSockets| ProcessSockets { process: self.word(&found.process), count: found.count };
        let processes = fact.processes.iter().map(process).collect();
        let towards = |towards: &TowardsTarget| TowardsTarget {
            address: self.address(towards.address),
            states: self.states(&towards.states),
        };
        let towards_target = fact.towards_target.iter().map(towards).collect();
        let mut ephemeral = fact.ephemeral.clone();
        for used in ephemeral.iter_mut().flat_map(|ports| &mut ports.towards) {
            *used = PortUse { address: self.address(used.address), ..*used };
        }
        let listener = |listener: &Listener| Listener {
            protocol: self.word(&listener.protocol),
            address: self.address(listener.address),
            process: listener.process.as_deref().map(|name| self.word(name)),
            ..listener.clone()
        };
        let listening = fact.listening.iter().map(listener).collect();
        let unseen = fact.unseen.as_ref().map(|note| self.note(note));
        Sockets { tcp: self.states(&fact.tcp), processes, towards_target, listening, ephemeral, unseen, ..fact.clone() }
    }

    fn states(&mut self, states: &[StateCount]) -> Vec<StateCount> {
        states.iter().map(|state| StateCount { state: self.word(&state.state), count: state.count }).collect()
    }

    pub(super) fn firewall(&mut self, fact: &Firewall) -> Firewall {
        let mut chain = |chain: &Chain| Chain {
            name: self.word(&chain.name),
            hook: chain.hook.as_deref().map(|hook| self.word(hook)),
            policy: chain.policy.as_deref().map(|policy| self.word(policy)),
            ..chain.clone()
        };
        let chains: Vec<Vec<Chain>> = fact.tables.iter().map(|table| table.chains.iter().map(&mut chain).collect()).collect();
        let table = |(table, chains): (&FirewallTable, Vec<Chain>)| FirewallTable {
            family: self.word(&table.family),
            name: self.word(&table.name),
            chains,
        };
        Firewall {
            tables: fact.tables.iter().zip(chains).map(table).collect(),
            legacy_tables: fact.legacy_tables.iter().map(|name| self.word(name)).collect(),
            unread: fact.unread.as_ref().map(|note| self.note(note)),
        }
    }

    pub(super) fn counters(&mut self, fact: &Counters) -> Counters {
        let counter = |counter: &Counter| Counter { name: self.word(&counter.name), value: counter.value };
        let counters = fact.counters.iter().map(counter).collect();
        let interface = |one: &InterfaceGrowth| InterfaceGrowth { name: self.link(&one.name), counters: one.counters };
        Counters { counters, interfaces: fact.interfaces.iter().map(interface).collect(), ..fact.clone() }
    }

    pub(super) fn system_load(&mut self, fact: &SystemLoad) -> SystemLoad {
        let pressure = |one: &Pressure| Pressure { of: self.word(&one.of), ..one.clone() };
        SystemLoad { pressure: fact.pressure.iter().map(pressure).collect(), ..fact.clone() }
    }

    pub(super) fn machine(&mut self, fact: &Machine) -> Machine {
        let mut word = |word: &Option<String>| word.as_deref().map(|word| self.word(word));
        Machine {
            vendor: word(&fact.vendor),
            product: word(&fact.product),
            hypervisor: fact.hypervisor,
            container: word(&fact.container),
            cloud: word(&fact.cloud),
        }
    }

    pub(super) fn address_probe(&mut self, fact: &AddressProbe) -> AddressProbe {
        let answer = |answer: &AddressAnswer| AddressAnswer {
            hardware_address: self.hardware_address(&answer.hardware_address),
            after_us: answer.after_us,
        };
        let answers = fact.answers.iter().map(answer).collect();
        let address: IpAddr = self.address(fact.address);
        AddressProbe {
            address,
            interface: self.link(&fact.interface),
            sent: fact.sent,
            answers,
            unasked: fact.unasked.as_ref().map(|note| self.note(note)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
        }
    }
}
