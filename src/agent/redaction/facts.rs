use super::Redactor;
use netsonde_contract::observation::{
    Alternative, Banner, BuiltChain, Certificate, CertificateRequest, CertificateTimestamp, ChangedHeader, CloudHint,
    CloudMetadata, ComparedAnswer, Comparison, Connect, ConnectAttempt, DelegatedTo, Delegation, DnsReply, DnssecChain, Echo,
    EchoReply, EchoedHeaders, Edns, Exchange, Expectation, ExpectationAbout, ExtendedError, Fact, FetchedIssuer, Handshake,
    HandshakeVariant, Header, Hold, Hop, HopName, HopOrigin, HopProbe, HopReply, HostsLine, Load, LoadedPhase, Lookup,
    LookupSource, Mtu, NameSources, NameVerdict, Observation, OtherMessage, PinVerdict, PlatformAddress, PortState, PortSweep,
    Proxy, ProxyAnswer, ProxyMethod, Quic, QuicClose, Quoted, Race, RangeAnswer, Record, Reflection, Revocation, RouteChange,
    SentQuery, ServerTiming, Service, ServiceRefusal, ServiceStep, Signature, StartTls, SubnetScope, Sweep, SweepError,
    SweepTarget, TimeMessage, TimeOffset, TimeServer, TlsSupport, TlsUpgrade, Trace, TrustVerdict, VersionSupport, ZoneSecurity,
    ZoneServer, type_and_size,
};
use serde_json::Value;
use std::collections::BTreeMap;

impl Redactor<'_> {
    pub(super) fn observation(&mut self, observation: &Observation) -> Observation {
        let fact = match &observation.fact {
            Fact::Lookup(fact) => Fact::Lookup(self.lookup(fact)),
            Fact::NameSources(fact) => Fact::NameSources(self.name_sources(fact)),
            Fact::Delegation(fact) => Fact::Delegation(self.delegation(fact)),
            Fact::ZoneServer(fact) => Fact::ZoneServer(Box::new(self.zone_server(fact))),
            Fact::DnssecChain(fact) => Fact::DnssecChain(Box::new(self.dnssec_chain(fact))),
            Fact::Connect(fact) => Fact::Connect(self.connect(fact)),
            Fact::Race(fact) => Fact::Race(self.race(fact)),
            Fact::PortSweep(fact) => Fact::PortSweep(self.port_sweep(fact)),
            Fact::Echo(fact) => Fact::Echo(self.echo(fact)),
            Fact::Sweep(fact) => Fact::Sweep(Box::new(self.sweep(fact))),
            Fact::Hop(fact) => Fact::Hop(self.hop(fact)),
            Fact::Trace(fact) => Fact::Trace(self.trace(fact)),
            Fact::Handshake(fact) => Fact::Handshake(Box::new(self.handshake(fact))),
            Fact::HandshakeVariant(fact) => Fact::HandshakeVariant(Box::new(self.handshake_variant(fact))),
            Fact::TlsSupport(fact) => Fact::TlsSupport(Box::new(self.tls_support(fact))),
            Fact::FetchedIssuer(fact) => Fact::FetchedIssuer(Box::new(self.fetched_issuer(fact))),
            Fact::Revocation(fact) => Fact::Revocation(Box::new(self.revocation(fact))),
            Fact::Exchange(fact) => Fact::Exchange(Box::new(self.exchange(fact))),
            Fact::Comparison(fact) => Fact::Comparison(Box::new(self.comparison(fact))),
            Fact::Load(fact) => Fact::Load(Box::new(self.load(fact))),
            Fact::Proxy(fact) => Fact::Proxy(Box::new(self.proxy(fact))),
            Fact::Mtu(fact) => Fact::Mtu(Box::new(self.mtu(fact))),
            Fact::TimeOffset(fact) => Fact::TimeOffset(Box::new(self.time_offset(fact))),
            Fact::Service(fact) => Fact::Service(Box::new(self.service(fact))),
            Fact::Quic(fact) => Fact::Quic(Box::new(self.quic(fact))),
            Fact::Reflection(fact) => Fact::Reflection(Box::new(self.reflection(fact))),
            Fact::CloudHint(fact) => Fact::CloudHint(self.cloud_hint(fact)),
            Fact::CloudMetadata(fact) => Fact::CloudMetadata(Box::new(self.cloud_metadata(fact))),
            Fact::PlatformAddress(fact) => Fact::PlatformAddress(Box::new(self.platform_address(fact))),
            Fact::Interface(fact) => Fact::Interface(self.interface(fact)),
            Fact::Route(fact) => Fact::Route(self.route(fact)),
            Fact::Resolvers(fact) => Fact::Resolvers(self.resolvers(fact)),
            Fact::Proxies(fact) => Fact::Proxies(self.proxies(fact)),
            Fact::Clock(fact) => Fact::Clock(self.clock(fact)),
            Fact::Neighbours(fact) => Fact::Neighbours(self.neighbours(fact)),
            Fact::Sockets(fact) => Fact::Sockets(Box::new(self.sockets(fact))),
            Fact::Firewall(fact) => Fact::Firewall(self.firewall(fact)),
            Fact::Capacity(fact) => Fact::Capacity(*fact),
            Fact::Counters(fact) => Fact::Counters(self.counters(fact)),
            Fact::SystemLoad(fact) => Fact::SystemLoad(self.system_load(fact)),
            Fact::Machine(fact) => Fact::Machine(self.machine(fact)),
            Fact::AddressProbe(fact) => Fact::AddressProbe(self.address_probe(fact)),
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

    fn dnssec_chain(&mut self, fact: &DnssecChain) -> DnssecChain {
        let zone = |zone: &ZoneSecurity| ZoneSecurity {
            zone: self.name(&zone.zone),
            server: zone.server.map(|server| self.socket(server)),
            why: zone.why.as_deref().map(|why| self.text(why)),
            ..zone.clone()
        };
        DnssecChain {
            zones: fact.zones.iter().map(zone).collect(),
            name: self.name(&fact.name),
            record_type: self.word(&fact.record_type),
            why: fact.why.as_deref().map(|why| self.text(why)),
            ..fact.clone()
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

    fn connect(&mut self, fact: &Connect) -> Connect {
        Connect {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            local: fact.local.map(|local| self.socket(local)),
            interface: fact.interface.as_deref().map(|name| self.link(name)),
            banner: fact.banner.as_ref().map(|banner| Banner { text: self.banner(&banner.text), ..banner.clone() }),
            gateway: fact.gateway.map(|gateway| self.address(gateway)),
            hold: fact.hold.as_ref().map(|hold| {
                Box::new(Hold { failure: hold.failure.as_ref().map(|failure| self.failure(failure)), ..(**hold).clone() })
            }),
            answer_unread: fact.answer_unread.as_ref().map(|note| self.note(note)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn race(&mut self, fact: &Race) -> Race {
        Race {
            host: self.name(&fact.host),
            order: fact.order.iter().map(|address| self.socket(*address)).collect(),
            winner: fact.winner.map(|address| self.socket(address)),
            ..fact.clone()
        }
    }

    fn port_sweep(&mut self, fact: &PortSweep) -> PortSweep {
        let state = |state: &PortState| PortState {
            failure: state.failure.as_ref().map(|failure| self.failure(failure)),
            ..state.clone()
        };
        let ports = fact.ports.iter().map(state).collect();
        PortSweep {
            host: self.name(&fact.host),
            address: self.address(fact.address),
            ports,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn sweep(&mut self, fact: &Sweep) -> Sweep {
        let error = |error: &SweepError| SweepError {
            error: self.icmp(&error.error),
            count: error.count,
            first: self.address(error.first),
        };
        let errors = fact.errors.iter().map(error).collect();
        let mut targets = |targets: &[SweepTarget]| -> Vec<SweepTarget> {
            targets.iter().map(|target| SweepTarget { address: self.address(target.address), ..*target }).collect()
        };
        let (slowest, answering) = (targets(&fact.slowest), targets(&fact.answering));
        Sweep {
            silent: self.addresses(&fact.silent),
            errors,
            answering,
            slowest,
            clock: self.word(&fact.clock),
            socket: fact.socket.as_deref().map(|socket| self.word(socket)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn echo(&mut self, fact: &Echo) -> Echo {
        let reply = |reply: &EchoReply| EchoReply { from: reply.from.map(|from| self.address(from)), ..*reply };
        let replies = fact.replies.iter().map(reply).collect();
        Echo {
            host: self.name(&fact.host),
            address: self.address(fact.address),
            errors: fact.errors.iter().map(|error| self.icmp(error)).collect(),
            replies,
            clock: self.word(&fact.clock),
            socket: fact.socket.as_deref().map(|socket| self.word(socket)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn hop(&mut self, fact: &Hop) -> Hop {
        let probes = fact.probes.iter().map(|probe| self.hop_probe(probe)).collect();
        let names = fact.names.iter();
        let names = names.map(|name| HopName { address: self.address(name.address), name: self.name(&name.name) }).collect();
        let origins = fact.origins.iter().map(|origin| self.hop_origin(origin)).collect();
        Hop { target: self.address(fact.target), probes, names, origins, ..fact.clone() }
    }

    fn hop_probe(&mut self, probe: &HopProbe) -> HopProbe {
        let reply = probe.reply.as_ref().map(|reply| HopReply {
            from: self.address(reply.from),
            icmp: reply.icmp.as_ref().map(|icmp| self.icmp(icmp)),
            quoted: reply.quoted.map(|quoted| Quoted { source: quoted.source.map(|source| self.address(source)), ..quoted }),
            ..reply.clone()
        });
        HopProbe { reply, ..probe.clone() }
    }

    /// Who an address belongs to tells the address, so that the strict level leaves the owner's number out with its name.
    fn hop_origin(&mut self, origin: &HopOrigin) -> HopOrigin {
        let address = self.address(origin.address);
        let name = origin.name.as_deref().filter(|_| !self.is_strict()).map(|name| self.text(name));
        let asn = if self.is_strict() { 0 } else { origin.asn };
        HopOrigin { address, asn, name, ..origin.clone() }
    }

    fn trace(&mut self, fact: &Trace) -> Trace {
        let change = |change: &RouteChange, redactor: &mut Self| RouteChange {
            before: redactor.address(change.before),
            after: redactor.address(change.after),
            ..*change
        };
        let changes = fact.changes.iter().map(|one| change(one, self)).collect();
        let mut multipath = fact.multipath.clone();
        for path in multipath.iter_mut().flat_map(|found| &mut found.paths) {
            for hop in path.hops.iter_mut().flatten() {
                *hop = self.address(*hop);
            }
        }
        Trace {
            host: self.name(&fact.host),
            target: self.address(fact.target),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            changes,
            multipath,
            ..fact.clone()
        }
    }

    fn handshake(&mut self, fact: &Handshake) -> Handshake {
        let mut word = |word: &Option<String>| word.as_deref().map(|word| self.word(word));
        let (protocol, cipher, group, alpn) = (word(&fact.protocol), word(&fact.cipher), word(&fact.group), word(&fact.alpn));
        let name = fact.name.as_ref().map(|verdict| NameVerdict { wanted: self.name(&verdict.wanted), fits: verdict.fits });
        Handshake {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            server_name: fact.server_name.as_deref().map(|name| self.name(name)),
            attempts: self.attempts(&fact.attempts),
            protocol,
            cipher,
            group,
            alpn,
            chain: fact.chain.iter().map(|certificate| self.certificate(certificate)).collect(),
            name,
            trust: self.trust(&fact.trust),
            built: fact.built.as_ref().map(|built| self.built_chain(built)),
            timestamps: fact.timestamps.iter().map(|timestamp| self.certificate_timestamp(timestamp)).collect(),
            pin: fact.pin.as_ref().map(|pin| self.pin(pin)),
            certificate_request: fact.certificate_request.as_ref().map(|request| CertificateRequest {
                authorities: request.authorities.iter().map(|name| self.public_name(name)).collect(),
            }),
            starttls: fact.starttls.as_ref().map(|starttls| StartTls {
                protocol: self.word(&starttls.protocol),
                greeting: self.banner(&starttls.greeting),
                ..starttls.clone()
            }),
            plain_reply: fact.plain_reply.as_deref().map(|reply| self.banner(reply)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn attempts(&mut self, attempts: &[ConnectAttempt]) -> Vec<ConnectAttempt> {
        let attempt = |attempt: &ConnectAttempt| ConnectAttempt {
            address: self.socket(attempt.address),
            gateway: attempt.gateway.map(|gateway| self.address(gateway)),
            failure: attempt.failure.as_ref().map(|failure| self.failure(failure)),
            ..attempt.clone()
        };
        attempts.iter().map(attempt).collect()
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
            key: self.algorithm(&certificate.key),
            signature: self.algorithm(&certificate.signature),
            sha256: self.digest(&certificate.sha256),
            der_base64: certificate.der_base64.clone().filter(|_| !self.is_strict()),
            ..certificate.clone()
        }
    }

    fn trust(&mut self, trust: &[TrustVerdict]) -> Vec<TrustVerdict> {
        let text = |verdict: &TrustVerdict| TrustVerdict {
            text: verdict.text.as_deref().map(|text| self.text(text)),
            ..verdict.clone()
        };
        trust.iter().map(text).collect()
    }

    fn built_chain(&mut self, built: &BuiltChain) -> BuiltChain {
        BuiltChain {
            missing_issuer: built.missing_issuer.as_deref().map(|name| self.public_name(name)),
            issuer_url: built.issuer_url.as_deref().map(|url| self.url(url)),
            ..built.clone()
        }
    }

    fn certificate_timestamp(&mut self, timestamp: &CertificateTimestamp) -> CertificateTimestamp {
        CertificateTimestamp { log_sha256: self.digest(&timestamp.log_sha256), ..timestamp.clone() }
    }

    fn pin(&mut self, pin: &PinVerdict) -> PinVerdict {
        PinVerdict { wanted: self.fingerprint(&pin.wanted), key_sha256: self.digest(&pin.key_sha256), fits: pin.fits }
    }

    fn handshake_variant(&mut self, fact: &HandshakeVariant) -> HandshakeVariant {
        let mut word = |word: &Option<String>| word.as_deref().map(|word| self.word(word));
        let (protocol, cipher, group) = (word(&fact.protocol), word(&fact.cipher), word(&fact.group));
        HandshakeVariant {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            server_name: fact.server_name.as_deref().map(|name| self.name(name)),
            protocol,
            cipher,
            group,
            leaf_sha256: fact.leaf_sha256.as_deref().map(|digest| self.digest(digest)),
            leaf_subject: fact.leaf_subject.as_deref().map(|subject| self.public_name(subject)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn tls_support(&mut self, fact: &TlsSupport) -> TlsSupport {
        let version = |version: &VersionSupport| VersionSupport {
            protocol: self.word(&version.protocol),
            ciphers: version.ciphers.iter().map(|cipher| self.word(cipher)).collect(),
            failure: version.failure.as_ref().map(|failure| self.failure(failure)),
            ..version.clone()
        };
        let versions = fact.versions.iter().map(version).collect();
        TlsSupport {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            server_name: fact.server_name.as_deref().map(|name| self.name(name)),
            versions,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn fetched_issuer(&mut self, fact: &FetchedIssuer) -> FetchedIssuer {
        FetchedIssuer {
            url: self.url(&fact.url),
            address: fact.address.map(|address| self.socket(address)),
            certificate: fact.certificate.as_ref().map(|certificate| self.certificate(certificate)),
            trust: self.trust(&fact.trust),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn revocation(&mut self, fact: &Revocation) -> Revocation {
        Revocation {
            host: self.name(&fact.host),
            server: self.socket(fact.server),
            url: self.url(&fact.url),
            address: fact.address.map(|address| self.socket(address)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn mtu(&mut self, fact: &Mtu) -> Mtu {
        Mtu {
            host: self.name(&fact.host),
            address: self.address(fact.address),
            told: fact.told.as_ref().map(|icmp| self.icmp(icmp)),
            disbelieved: fact.disbelieved.iter().map(|icmp| self.icmp(icmp)).collect(),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn time_offset(&mut self, fact: &TimeOffset) -> TimeOffset {
        let server = |server: &TimeServer| TimeServer {
            // The address of the server's own server, or the name of a kind of clock.
            reference_id: match server.reference_id.parse() {
                Ok(address) => self.address(address).to_string(),
                Err(_) => self.word(&server.reference_id),
            },
            kiss: server.kiss.as_deref().map(|code| self.word(code)),
            ..server.clone()
        };
        let server = fact.server.as_ref().map(server);
        let other = |message: &TimeMessage| TimeMessage { why: self.text(&message.why), ..message.clone() };
        let others = fact.others.iter().map(other).collect();
        TimeOffset {
            others,
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            server,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn service(&mut self, fact: &Service) -> Service {
        let step = |step: &ServiceStep| ServiceStep { name: self.word(&step.name), ..step.clone() };
        let steps = fact.steps.iter().map(step).collect();
        let mut word = |word: &Option<String>| word.as_deref().map(|word| self.word(word));
        let (product, version, spoke) = (word(&fact.product), word(&fact.version), word(&fact.spoke));
        let tls_upgrade = fact.tls_upgrade.as_ref().map(|upgrade| TlsUpgrade {
            version: word(&upgrade.version),
            cipher: word(&upgrade.cipher),
            ..upgrade.clone()
        });
        let tls_upgrade = tls_upgrade
            .map(|upgrade| TlsUpgrade { failure: upgrade.failure.as_ref().map(|failure| self.failure(failure)), ..upgrade });
        let refusal = fact
            .refusal
            .as_ref()
            .map(|refusal| ServiceRefusal { code: self.word(&refusal.code), text: self.text(&refusal.text) });
        Service {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            attempts: self.attempts(&fact.attempts),
            steps,
            greeting: fact.greeting.as_deref().map(|greeting| self.banner(greeting)),
            product,
            version,
            capabilities: fact.capabilities.iter().map(|capability| self.capability(capability)).collect(),
            tls_upgrade,
            spoke,
            refusal,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn quic(&mut self, fact: &Quic) -> Quic {
        let close = |close: &QuicClose| QuicClose {
            name: close.name.as_deref().map(|name| self.text(name)),
            reason: self.banner(&close.reason),
            ..close.clone()
        };
        let close = fact.close.as_ref().map(close);
        Quic {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            version: fact.version.as_deref().map(|version| self.word(version)),
            server_versions: fact.server_versions.as_ref().map(|versions| versions.iter().map(|one| self.word(one)).collect()),
            tls: fact.tls.as_ref().map(|tls| Box::new(self.handshake(tls))),
            close,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn reflection(&mut self, fact: &Reflection) -> Reflection {
        Reflection {
            host: self.name(&fact.host),
            address: self.socket(fact.address),
            timestamps: self.word(&fact.timestamps),
            clock: self.word(&fact.clock),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn cloud_hint(&mut self, fact: &CloudHint) -> CloudHint {
        let mut text = |text: &Option<String>| text.as_deref().map(|text| self.text(text));
        CloudHint { provider: fact.provider, vendor: text(&fact.vendor), product: text(&fact.product) }
    }

    fn cloud_metadata(&mut self, fact: &CloudMetadata) -> CloudMetadata {
        let mut fields = BTreeMap::new();
        for (name, value) in &fact.fields {
            fields.insert(self.word(name), self.text(value));
        }
        CloudMetadata {
            address: self.socket(fact.address),
            fields,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn platform_address(&mut self, fact: &PlatformAddress) -> PlatformAddress {
        PlatformAddress {
            address: self.socket(fact.address),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn exchange(&mut self, fact: &Exchange) -> Exchange {
        Exchange {
            url: self.url(&fact.url),
            method: self.word(&fact.method),
            address: fact.address.map(|address| self.socket(address)),
            attempts: self.attempts(&fact.attempts),
            proxy: fact.proxy.as_deref().map(|proxy| self.url(proxy)),
            proxy_tls: fact.proxy_tls.as_ref().map(|tls| Box::new(self.handshake(tls))),
            version: fact.version.as_deref().map(|version| self.word(version)),
            local: fact.local.map(|local| self.socket(local)),
            expectations: fact.expectations.iter().map(|expectation| self.expectation(expectation)).collect(),
            certificate_sha256: fact.certificate_sha256.as_deref().map(|digest| self.digest(digest)),
            tls: fact.tls.as_ref().map(|tls| Box::new(self.handshake(tls))),
            server_timing: self.server_timing(&fact.server_timing),
            alternatives: fact.alternatives.iter().map(|alternative| self.alternative(alternative)).collect(),
            range: fact.range.as_ref().map(|range| RangeAnswer { asked: self.text(&range.asked), ..range.clone() }),
            echoed: fact.echoed.as_ref().map(|echoed| Box::new(self.echoed(echoed))),
            headers: fact.headers.iter().map(|header| self.header(header)).collect(),
            location: fact.location.as_deref().map(|location| self.url(location)),
            redirect_stopped: fact.redirect_stopped.as_deref().map(|why| self.word(why)),
            block_page: fact.block_page.as_deref().map(|filter| self.text(filter)),
            plain_reply: fact.plain_reply.as_deref().map(|reply| self.banner(reply)),
            body_sha256: fact.body_sha256.as_deref().map(|digest| self.digest(digest)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    /// Of a header only what is kept of every header; of a text or JSON value that was looked for nothing but its type and size, since it
    /// is a part of the page.
    fn expectation(&mut self, expectation: &Expectation) -> Expectation {
        let name = expectation.name.as_deref().unwrap_or_default().to_owned();
        let mut value = |value: &Option<String>| {
            let value = value.clone()?;
            Some(match expectation.about {
                ExpectationAbout::Header => self.header(&Header { name: name.clone(), value }).value,
                ExpectationAbout::BodySha256 => self.digest(&value),
                ExpectationAbout::BodyText | ExpectationAbout::Json => match serde_json::from_str::<Value>(&value) {
                    Ok(sought) => type_and_size(&sought),
                    // Already no more than that, in words.
                    Err(_) => self.text(&value),
                },
                _ => self.text(&value),
            })
        };
        let (wanted, got) = (value(&expectation.wanted), value(&expectation.got));
        let name = expectation.name.as_deref().map(|name| self.text(name));
        Expectation { name, wanted, got, ..expectation.clone() }
    }

    fn server_timing(&mut self, metrics: &[ServerTiming]) -> Vec<ServerTiming> {
        metrics.iter().map(|metric| ServerTiming { name: self.word(&metric.name), ..metric.clone() }).collect()
    }

    fn alternative(&mut self, alternative: &Alternative) -> Alternative {
        Alternative {
            protocol: self.word(&alternative.protocol),
            host: alternative.host.as_deref().map(|host| self.name(host)),
            ..alternative.clone()
        }
    }

    fn echoed(&mut self, echoed: &EchoedHeaders) -> EchoedHeaders {
        let mut value = |name: &str, value: &str| self.header(&Header { name: name.to_owned(), value: value.to_owned() }).value;
        let changed: Vec<(String, String)> = echoed
            .changed
            .iter()
            .map(|changed| (value(&changed.name, &changed.sent), value(&changed.name, &changed.got)))
            .collect();
        let changed = echoed.changed.iter().zip(changed).map(|(changed, (sent, got))| ChangedHeader {
            name: self.word(&changed.name),
            sent,
            got,
        });
        EchoedHeaders {
            sent: echoed.sent,
            changed: changed.collect(),
            lost: echoed.lost.iter().map(|name| self.word(name)).collect(),
            added: echoed.added.iter().map(|header| self.header(header)).collect(),
        }
    }

    fn proxy(&mut self, fact: &Proxy) -> Proxy {
        let mut method = |method: &ProxyMethod| ProxyMethod {
            name: self.word(&method.name),
            realm: method.realm.as_deref().map(|realm| self.text(realm)),
        };
        let methods = fact.methods.iter().map(&mut method).collect();
        Proxy {
            url: self.url(&fact.url),
            proxy: self.url(&fact.proxy),
            address: fact.address.map(|address| self.socket(address)),
            tls: fact.tls.as_ref().map(|tls| Box::new(self.handshake(tls))),
            methods,
            connect: fact.connect.as_ref().map(|answer| self.proxy_answer(answer)),
            get: fact.get.as_ref().map(|answer| self.proxy_answer(answer)),
            product: fact.product.as_deref().map(|product| self.text(product)),
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }

    fn proxy_answer(&mut self, answer: &ProxyAnswer) -> ProxyAnswer {
        let asked = match answer.asked.contains("://") {
            true => self.url(&answer.asked),
            false => self.text(&answer.asked),
        };
        ProxyAnswer {
            asked,
            via: answer.via.as_deref().map(|via| self.text(via)),
            server: answer.server.as_deref().map(|server| self.text(server)),
            failure: answer.failure.as_ref().map(|failure| self.failure(failure)),
            ..answer.clone()
        }
    }

    fn comparison(&mut self, fact: &Comparison) -> Comparison {
        let mut answer = |answer: &ComparedAnswer| ComparedAnswer {
            body_sha256: answer.body_sha256.as_deref().map(|digest| self.digest(digest)),
            certificate_sha256: answer.certificate_sha256.as_deref().map(|digest| self.digest(digest)),
            failure: answer.failure.as_ref().map(|failure| self.failure(failure)),
            ..answer.clone()
        };
        let (proxied, direct) = (answer(&fact.proxied), answer(&fact.direct));
        let mut words = |names: &[String]| names.iter().map(|name| self.word(name)).collect();
        let headers_proxied_only = words(&fact.headers_proxied_only);
        let headers_direct_only = words(&fact.headers_direct_only);
        let headers_changed = words(&fact.headers_changed);
        Comparison {
            url: self.url(&fact.url),
            proxy: self.url(&fact.proxy),
            proxied,
            direct,
            headers_proxied_only,
            headers_direct_only,
            headers_changed,
            ..fact.clone()
        }
    }

    fn load(&mut self, fact: &Load) -> Load {
        let phase = |phase: &LoadedPhase| LoadedPhase {
            failure: phase.failure.as_ref().map(|failure| self.failure(failure)),
            ..phase.clone()
        };
        let loaded = fact.loaded.iter().map(phase).collect();
        Load {
            url: self.url(&fact.url),
            address: fact.address.map(|address| self.socket(address)),
            attempts: self.attempts(&fact.attempts),
            proxy: fact.proxy.as_deref().map(|proxy| self.url(proxy)),
            loaded,
            failure: fact.failure.as_ref().map(|failure| self.failure(failure)),
            ..fact.clone()
        }
    }
}
