use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use netsonde_contract::bundle::{Build, Clocks, Consent, Contents, Packed, Predicate, TicketProof, pack};
use netsonde_contract::document::{Document, Run, SCHEMA, SetReference};
use netsonde_contract::environment::Environment;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::State;
use netsonde_contract::history::History;
use netsonde_contract::id::{CheckId, ObservationId, RunId};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Connect, Fact, Observation};
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_contract::redaction::RedactionReport;
use netsonde_contract::set::find_built_in;
use netsonde_contract::target::{Target, TargetForm};
use netsonde_contract::ticket::Ticket;

/// An agent with its key for one run.
pub(super) struct Agent {
    pub(super) key: SigningKey,
}

impl Agent {
    pub(super) fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]) }
    }

    pub(super) fn proof(&self, ticket: &Ticket) -> String {
        ticket.proof_key().proof(&ticket.id, &self.key.verifying_key(), &ticket.receipt_key)
    }

    /// A bundle for the ticket: one refused connection, of which this agent concluded nothing.
    pub(super) fn bundle(&self, ticket: &Ticket) -> Packed {
        self.packed(ticket, |_, _| {})
    }

    /// The same with something changed before it is signed.
    pub(super) fn packed(&self, ticket: &Ticket, change: impl FnOnce(&mut Document, &mut Predicate)) -> Packed {
        self.packed_with(ticket, None, change)
    }

    /// The same with the past of scheduled checks.
    pub(super) fn packed_with(
        &self,
        ticket: &Ticket,
        history: Option<&History>,
        change: impl FnOnce(&mut Document, &mut Predicate),
    ) -> Packed {
        let mut document = document(ticket);
        let mut predicate = self.predicate(ticket, &document);
        change(&mut document, &mut predicate);
        let journal = b"{\"event\":\"began\"}\n".to_vec();
        let mut contents =
            Contents::of(&document, &RedactionReport::default(), journal, "<!doctype html><title>report</title>".into());
        if let Some(history) = history {
            contents.add_history(history);
        }
        pack(contents, predicate, &self.key).unwrap()
    }

    fn predicate(&self, ticket: &Ticket, document: &Document) -> Predicate {
        Predicate {
            key_id: String::new(),
            build: Build { program: "netsonde".into(), version: "0.1.0".into(), target: "x86_64-unknown-linux-gnu".into() },
            run: document.run.id.clone(),
            set: document.run.set.clone(),
            case: Some(ticket.case.clone()),
            ticket: Some(TicketProof { id: ticket.id.clone(), proof: self.proof(ticket) }),
            order: None,
            scheduled: None,
            policy_sha256: None,
            consent: Consent::Ticket,
            redaction: RedactionReport::default(),
            sequence: 1,
            previous: None,
            audit_head: None,
            clocks: Clocks { began: document.run.began, ended: document.run.began, elapsed_us: 5, server: None },
            limits_hit: Vec::new(),
        }
    }
}

pub(super) fn reference(set: &str) -> SetReference {
    find_built_in(set).unwrap().parse().unwrap().reference()
}

fn document(ticket: &Ticket) -> Document {
    let began = Timestamp::from_second(1_700_000_000).unwrap();
    let target = Target::parse("https://shop.example/", TargetForm::Url).unwrap();
    let check = CheckId::new("connect");
    let refused = Connect {
        host: "shop.example".into(),
        address: "192.0.2.7:443".parse().unwrap(),
        attempt: 1,
        local: None,
        interface: None,
        took_us: 812,
        kernel_rtt_us: None,
        syn_retransmits: None,
        at_connect: None,
        at_close: None,
        banner: None,
        hold: None,
        reset: None,
        gateway: None,
        syn_ack: None,
        syns_left: None,
        answer_unread: None,
        failure: Some(Failure::new(FailureCode::Refused, Step::Connect, "Connection refused (os error 111)")),
    };
    let observation =
        Observation { id: ObservationId::of(&check, 1), check: check.clone(), at_us: 10, fact: Fact::Connect(refused) };
    let outcome = Outcome {
        check,
        kind: Kind::Tcp,
        required: true,
        target: Some(target.clone()),
        parameters: serde_json::json!({"attempts": 1}),
        status: Status::Failed,
        note: None,
        began_us: 5,
        took_us: 900,
        separates: Vec::new(),
        observations: vec![observation],
    };
    Document {
        schema: SCHEMA.into(),
        run: Run {
            id: RunId::new("0190b1de-0000-7000-8000-000000000000"),
            set: reference(&ticket.set),
            targets: vec![target],
            case: Some(ticket.case.clone()),
            ticket: Some(ticket.id.clone()),
            began,
            took_us: 1000,
            interrupted: false,
            limits_hit: Vec::new(),
            asked: None,
        },
        environment: Environment {
            version: "0.1.0".into(),
            os: "linux".into(),
            os_release: "Debian GNU/Linux 12 (bookworm)".into(),
            kernel: "6.1.0".into(),
            architecture: "x86_64".into(),
            hostname: "vm<b>1</b>".into(),
            raw_sockets: false,
            ping_sockets: true,
            elevated: false,
            packet_filter: None,
            other_processes: None,
            low_ports: None,
            grantor: Default::default(),
            began,
            confinement: None,
        },
        state: State::AsExpected,
        bundle: None,
        findings: Vec::new(),
        unexplained: Vec::new(),
        not_measured: Vec::new(),
        control: None,
        outcomes: vec![outcome],
    }
}
