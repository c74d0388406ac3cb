use super::Redactor;
use netsonde_contract::observation::{
    Certificate, Connect, DelegatedTo, Delegation, DnsReply, Echo, Edns, Exchange, ExtendedError, Fact, Handshake, Hop, HopProbe,
    HopReply, HostsLine, Interface, Lookup, LookupSource, NameSources, NameVerdict, Observation, OtherMessage, Proxies,
    ProxySetting, Record, Resolvers, Route, SentQuery, Signature, SubnetScope, Trace, TrustVerdict, ZoneServer,
};

/// Record types whose data is a name, which stays like every name; the data of others (`TXT` …) is a text.
const NAME_RECORDS: [&str; 5] = ["CNAME", "DNAME", "NS", "PTR", "ANAME"];

impl Redactor<'_> {
    pub(super) fn observation(&mut self, observation: &Observation) -> Observation {
        let fact = match &observation.fact {
            Fact::Lookup(fact) => Fact::Lookup(self.lookup(fact)),
            Fact::NameSources(fact) => Fact::NameSources(self.name_sources(fact)),
            Fact::Delegation(fact) => Fact::Delegation(self.delegation(fact)),
            Fact::ZoneServer(fact) => Fact::ZoneServer(Box::new(self.zone_server(fact))),
            Fact::Connect(fact) => Fact::Connect(self.connect(fact)),
            Fact::Echo(fact) => Fact::Echo(self.echo(fact)),
            Fact::Hop(fact) => Fact::Hop(self.hop(fact)),
            Fact::Trace(fact) => Fact::Trace(self.trace(fact)),
            Fact::Handshake(fact) => Fact::Handshake(Box::new(self.handshake(fact))),
            Fact::Exchange(fact) => Fact::Exchange(Box::new(self.exchange(fact))),
            Fact::Interface(fact) => Fact::Interface(self.interface(fact)),
            Fact::Route(fact) => Fact::Route(self.route(fact)),
            Fact::Resolvers(fact) => Fact::Resolvers(self.resolvers(fact)),
            Fact::Proxies(fact) => Fact::Proxies(self.proxies(fact)),
            Fact::Clock(fact) => Fact::Clock(fact.clone()),
            // Nobody knows what the fields of an unknown fact are, so only its name stays.
            Fact::Unknown(fields) => {
                self.count("unknown_fact");
                Fact::Unknown(fields.get("fact").map(|name| ("fact".to_owned(), name.clone())).into_iter().collect())
            }
        };
        Observation { fact, ..observation.clone() }
    }

    fn lookup(&mut self, fact: &Lookup) -> Lookup {
        let source = match &fact.source {
            LookupSource::Server { server, transport } => {
                LookupSource::Server { server: self.socket(*server), transport: *transport }
            }
            own => own.clone(),
        };
        Lookup {
            name: self.name(&fact.name),
            record_type: self.word(&fact.record_type),
            source,
            addresses: self.addresses(&fact.addresses),
            sent: fact.sent.iter().map(|sent| self.sent_query(sent)).collect(),
            others: fact.others.iter().map(|other| self.other_message(other)).collect(),
            tls: fact.tls.as_ref().map(|tls| Box::new(self.handshake(tls))),
            reply: fact.reply.as_ref().map(|reply| Box::new(self.reply(reply))),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn sent_query(&mut self, sent: &SentQuery) -> SentQuery {
        SentQuery {
            local: sent.local.map(|local| self.socket(local)),
            rcode: sent.rcode.as_deref().map(|rcode| self.word(rcode)),
            ..sent.clone()
        }
    }

    fn other_message(&mut self, other: &OtherMessage) -> OtherMessage {
        OtherMessage { why: self.text(&other.why), reply: other.reply.as_ref().map(|reply| self.reply(reply)), ..other.clone() }
    }

    fn edns(&mut self, edns: &Edns) -> Edns {
        let subnet = |scope: &SubnetScope| SubnetScope { address: self.address(scope.address), ..*scope };
        let client_subnet = edns.client_subnet.as_ref().map(subnet);
        Edns { nsid: edns.nsid.as_deref().map(|nsid| self.text(nsid)), client_subnet, ..edns.clone() }
    }

    fn name_sources(&mut self, fact: &NameSources) -> NameSources {
        let line =
            |line: &HostsLine| HostsLine { line: line.line, address: self.address(line.address), names: self.names(&line.names) };
        NameSources {
            hosts: fact.hosts.iter().map(line).collect(),
            name: self.name(&fact.name),
            hosts_file: self.text(&fact.hosts_file),
            order: fact.order.iter().map(|source| self.word(source)).collect(),
            search: self.names(&fact.search),
            ndots: fact.ndots,
            tried: self.names(&fact.tried),
        }
    }

    fn delegation(&mut self, fact: &Delegation) -> Delegation {
        let delegated = |server: &DelegatedTo| DelegatedTo {
            name: self.name(&server.name),
            glue: self.addresses(&server.glue),
            resolved: self.addresses(&server.resolved),
            failure: server.failure.as_ref().map(|failure| self.failure(failure)),
        };
        Delegation {
            name_servers: fact.name_servers.iter().map(delegated).collect(),
            name: self.name(&fact.name),
            zone: self.name(&fact.zone),
            given_by: fact.given_by.map(|address| self.socket(address)),
            stopped: fact.stopped.as_deref().map(|why| self.text(why)),
            ..fact.clone()
        }
    }

    fn zone_server(&mut self, fact: &ZoneServer) -> ZoneServer {
        ZoneServer {
            zone: self.name(&fact.zone),
            server: self.name(&fact.server),
            address: self.socket(fact.address),
            reply: fact.reply.as_ref().map(|reply| self.reply(reply)),
            own_name_servers: self.names(&fact.own_name_servers),
            signatures: fact.signatures.iter().map(|one| Signature { covers: self.word(&one.covers), ..one.clone() }).collect(),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn reply(&mut self, reply: &DnsReply) -> DnsReply {
        let mut records = |records: &[Record]| records.iter().map(|record| self.record(record)).collect();
        let (answers, authority, additional) = (records(&reply.answers), records(&reply.authority), records(&reply.additional));
        let extended_errors = reply
            .extended_errors
            .iter()
            .map(|error| ExtendedError { code: error.code, name: self.word(&error.name), text: self.text(&error.text) })
            .collect();
        let rcode = self.word(&reply.rcode);
        let edns = reply.edns.as_ref().map(|edns| self.edns(edns));
        DnsReply { rcode, edns, extended_errors, answers, authority, additional, from: self.socket(reply.from), ..reply.clone() }
    }

    fn record(&mut self, record: &Record) -> Record {
        let data = if NAME_RECORDS.contains(&record.record_type.as_str()) {
            self.name(record.data.trim_end_matches('.'))
        } else {
            self.text(&record.data)
        };
        Record { name: self.name(&record.name), record_type: self.word(&record.record_type), ttl_s: record.ttl_s, data }
    }

    fn connect(&mut self, fact: &Connect) -> Connect {
        Connect {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            local: fact.local.map(|local| self.socket(local)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn echo(&mut self, fact: &Echo) -> Echo {
        Echo {
            host: self.name(&fact.host),
            address: self.address(fact.address),
            errors: fact.errors.iter().map(|error| self.icmp(error)).collect(),
            clock: self.word(&fact.clock),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn hop(&mut self, fact: &Hop) -> Hop {
        let probe = |probe: &HopProbe| HopProbe {
            round: probe.round,
            reply: probe.reply.as_ref().map(|reply| HopReply {
                from: self.address(reply.from),
                icmp: reply.icmp.as_ref().map(|icmp| self.icmp(icmp)),
                ..reply.clone()
            }),
        };
        let probes = fact.probes.iter().map(probe).collect();
        Hop { target: self.address(fact.target), probes, ..fact.clone() }
    }

    fn trace(&mut self, fact: &Trace) -> Trace {
        Trace {
            host: self.name(&fact.host),
            target: self.address(fact.target),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn handshake(&mut self, fact: &Handshake) -> Handshake {
        let mut word = |word: &Option<String>| word.as_deref().map(|word| self.word(word));
        let (protocol, cipher, group, alpn) = (word(&fact.protocol), word(&fact.cipher), word(&fact.group), word(&fact.alpn));
        let name = fact.name.as_ref().map(|verdict| NameVerdict { wanted: self.name(&verdict.wanted), fits: verdict.fits });
        let verdict = |verdict: &TrustVerdict| TrustVerdict {
            text: verdict.text.as_deref().map(|text| self.text(text)),
            ..verdict.clone()
        };
        let trust = fact.trust.iter().map(verdict).collect();
        Handshake {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            server_name: fact.server_name.as_deref().map(|name| self.name(name)),
            protocol,
            cipher,
            group,
            alpn,
            chain: fact.chain.iter().map(|certificate| self.certificate(certificate)).collect(),
            name,
            trust,
            plain_reply: fact.plain_reply.as_deref().map(|reply| self.banner(reply)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    /// A certificate is public and names what was asked for; at the strict level its names become tokens and its bytes go.
    fn certificate(&mut self, certificate: &Certificate) -> Certificate {
        if certificate.der_base64.is_some() && self.is_strict() {
            self.count("certificate");
        }
        Certificate {
            subject: self.public_name(&certificate.subject),
            issuer: self.public_name(&certificate.issuer),
            names: self.names(&certificate.names),
            key: self.word(&certificate.key),
            signature: self.word(&certificate.signature),
            sha256: self.digest(&certificate.sha256),
            der_base64: certificate.der_base64.clone().filter(|_| !self.is_strict()),
            ..certificate.clone()
        }
    }

    fn exchange(&mut self, fact: &Exchange) -> Exchange {
        Exchange {
            url: self.url(&fact.url),
            method: self.word(&fact.method),
            address: fact.address.map(|address| self.socket(address)),
            proxy: fact.proxy.as_deref().map(|proxy| self.url(proxy)),
            version: fact.version.as_deref().map(|version| self.word(version)),
            headers: fact.headers.iter().map(|header| self.header(header)).collect(),
            location: fact.location.as_deref().map(|location| self.url(location)),
            redirect_stopped: fact.redirect_stopped.as_deref().map(|why| self.word(why)),
            body_sha256: fact.body_sha256.as_deref().map(|digest| self.digest(digest)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn interface(&mut self, fact: &Interface) -> Interface {
        let addresses = fact.addresses.iter().map(|address| match address.split_once('/') {
            Some((address, length)) => format!("{}/{}", self.name(address), self.word(length)),
            None => self.name(address),
        });
        let addresses = addresses.collect();
        Interface { name: self.word(&fact.name), addresses, ..fact.clone() }
    }

    fn route(&mut self, fact: &Route) -> Route {
        Route {
            target: self.address(fact.target),
            gateway: fact.gateway.map(|gateway| self.address(gateway)),
            interface: fact.interface.as_deref().map(|name| self.word(name)),
            source: fact.source.map(|source| self.address(source)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
        }
    }

    fn resolvers(&mut self, fact: &Resolvers) -> Resolvers {
        Resolvers {
            servers: self.addresses(&fact.servers),
            search: self.names(&fact.search),
            read_from: self.text(&fact.read_from),
        }
    }

    fn proxies(&mut self, fact: &Proxies) -> Proxies {
        let settings = fact.settings.iter().map(|setting| ProxySetting {
            scheme: self.word(&setting.scheme),
            url: self.url(&setting.url),
            set_by: self.text(&setting.set_by),
        });
        let settings = settings.collect();
        let excluded = fact.excluded.as_deref().map(|list| {
            let names: Vec<String> = list.split(',').map(|name| self.name(name.trim())).collect();
            names.join(",")
        });
        Proxies { settings, excluded }
    }
}
