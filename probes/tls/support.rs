//! Which versions and cipher suites a server accepts, asked one by one with hellos of our own.
//!
//! Every question is one connection. A suite that the server chose is left out of the next offer, until it refuses: what it chose, in
//! this order, is what it accepts. That takes one connection for each suite it knows and two more, within what `TlsParams::max_questions` allows.

use super::draft::{Draft, Drafted};
use super::failure::alert_name;
use super::hello::{Answer, MAX_ANSWER_BYTES, Offer, Version, read, suite_name, suites_of};
use super::{Server, connect, starttls};
use crate::clock::microseconds;
use crate::context::Context;
use crate::counted::Counted;
use futures_util::future::{join_all, try_join};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Fact, TlsSupport, VersionSupport};
use rustls_pki_types::ServerName;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

/// What is asked of one server, version by version side by side.
struct Survey<'a> {
    context: &'a Context,
    server: &'a Server<'a>,
    draft: Mutex<Draft<TlsSupport>>,
    /// Questions begun, those under way among them.
    begun: AtomicU32,
}

/// Asks for every version, and where the parameters want it for every suite of those accepted. The versions have nothing to do with each
/// other and are asked side by side: a far server takes two round trips for each question.
pub(super) async fn run(context: &Context, server: &Server<'_>) {
    let blank = TlsSupport {
        host: server.params.host.clone(),
        address: server.address,
        server_name: matches!(server.name, ServerName::DnsName(_)).then(|| server.name.to_str().into_owned()),
        versions: Vec::new(),
        connections: 0,
        took_us: 0,
        failure: None,
    };
    let began = context.clock.now();
    let draft = Mutex::new(Draft::begin(context, Step::Connect, blank));
    let survey = Survey { context, server, draft, begun: AtomicU32::new(0) };
    join_all(Version::ALL.into_iter().map(|version| survey.of_version(version))).await;
    let mut draft = survey.draft.into_inner().unwrap_or_else(PoisonError::into_inner);
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish();
}

impl Survey<'_> {
    fn draft(&self) -> MutexGuard<'_, Draft<TlsSupport>> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was learnt of the version, in the place that it has among the others.
    fn note(&self, version: Version, learnt: impl FnOnce(&mut VersionSupport)) {
        let place = |protocol: &str| Version::ALL.iter().position(|version| version.name() == protocol);
        let protocol = version.name();
        let mut draft = self.draft();
        let at = draft.versions.iter().position(|known| place(&known.protocol) >= place(&protocol));
        let at = at.unwrap_or(draft.versions.len());
        if draft.versions.get(at).is_none_or(|known| known.protocol != protocol) {
            let blank = VersionSupport { protocol, accepted: false, ciphers: Vec::new(), server_order: None, failure: None };
            draft.versions.insert(at, blank);
        }
        learnt(&mut draft.versions[at]);
    }

    /// Where no connection could be made or no more may be, nothing else is asked, of this version or another.
    async fn of_version(&self, version: Version) {
        let (tell, told) = oneshot::channel();
        let ended = try_join(self.suites(version, tell), self.order(version, told)).await;
        if let Err(failure) = ended {
            self.draft().failure.get_or_insert(failure);
        }
    }

    /// # Errors
    /// Where no connection could be made or no more may be.
    async fn suites(&self, version: Version, first_two: oneshot::Sender<[u16; 2]>) -> Result<(), Failure> {
        let mut left = suites_of(version);
        let mut chosen = Vec::new();
        let mut first_two = Some(first_two);
        while !left.is_empty() {
            match self.ask(version, &left).await? {
                Ok(suite) if left.contains(&suite) => {
                    left.retain(|other| *other != suite);
                    chosen.push(suite);
                    self.note(version, |support| {
                        support.accepted = true;
                        support.ciphers.push(suite_name(suite));
                    });
                    if let ([first, second], Some(tell)) = (&chosen[..], first_two.take_if(|_| chosen.len() == 2)) {
                        // Nobody waits for it where the run is over.
                        let _ = tell.send([*first, *second]);
                    }
                }
                Ok(suite) => {
                    let text = format!("the server chose {}, which was not offered", suite_name(suite));
                    let failure = Failure::new(FailureCode::ProtocolError, Step::Handshake, text);
                    self.note(version, |support| support.failure = Some(failure));
                    break;
                }
                Err(failure) => {
                    if chosen.is_empty() {
                        self.note(version, |support| support.failure = Some(failure));
                    }
                    break;
                }
            }
            if !self.server.params.ciphers {
                break;
            }
        }
        Ok(())
    }

    /// The same two the other way round: a server with an order of its own still takes its first.
    ///
    /// # Errors
    /// As of [`Self::suites`].
    async fn order(&self, version: Version, first_two: oneshot::Receiver<[u16; 2]>) -> Result<(), Failure> {
        let Ok([first, second]) = first_two.await else { return Ok(()) };
        let answer = self.ask(version, &[second, first]).await?;
        self.note(version, |support| support.server_order = answer.ok().map(|suite| suite == first));
        Ok(())
    }

    /// One question: the suite that the server chose in this version, or how it refused.
    async fn ask(&self, version: Version, suites: &[u16]) -> Result<Result<u16, Failure>, Failure> {
        let Self { context, server, .. } = self;
        let _seat = server.seat().await;
        let sent = self.begin()?;
        let connected = connect::first(context, &[server.address.ip()], server.address.port(), server.timeout).await;
        let mut stream = connected.map_err(|not_connected| not_connected.failure)?.stream;
        {
            let mut draft = self.draft();
            draft.connections += 1;
            draft.step = Step::Handshake;
        }
        let (_, ready) = starttls::speak(context.clock, &mut stream, server.params.spoken_first(), server.timeout).await;
        ready?;
        let hello = Offer { version, suites, server_name: sent.as_deref(), random: rand::random() }.encode();
        Ok(match tokio::time::timeout(server.timeout, exchange(&mut stream, &hello)).await {
            Ok(Ok(Answer::Hello { version: chosen, suite })) if chosen == version => Ok(suite),
            Ok(Ok(answer)) => Err(refusal(answer)),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(timed_out(server.timeout)),
        })
    }

    /// The name to send, where another connection may be made.
    fn begin(&self) -> Result<Option<String>, Failure> {
        let most = self.server.params.max_questions();
        let mut draft = self.draft();
        if let Some(failure) = &draft.failure {
            return Err(failure.clone());
        }
        if self.begun.fetch_add(1, Ordering::Relaxed) >= most {
            let text = format!("no more than {most} connections are made");
            return Err(Failure::new(FailureCode::BudgetExhausted, Step::Connect, text));
        }
        draft.step = Step::Connect;
        Ok(draft.server_name.clone())
    }
}

async fn exchange(stream: &mut Counted, hello: &[u8]) -> Result<Answer, Failure> {
    stream.write_all(hello).await.map_err(|error| Failure::from_io(&error, Step::Send))?;
    let mut received = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = stream.read(&mut buffer).await.map_err(|error| Failure::from_io(&error, Step::Handshake))?;
        if count == 0 {
            return Err(Failure::new(FailureCode::Closed, Step::Handshake, "the server closed the connection without an answer"));
        }
        received.extend_from_slice(&buffer[..count]);
        if let Some(answer) = read(&received) {
            return Ok(answer);
        }
        if received.len() > MAX_ANSWER_BYTES {
            return Ok(Answer::Broken);
        }
    }
}

fn refusal(answer: Answer) -> Failure {
    let (code, text) = match answer {
        Answer::Alert(alert) => (FailureCode::TlsAlert, format!("the peer sent the TLS alert {}", alert_name(alert))),
        Answer::Hello { version, .. } => {
            (FailureCode::Other("other_version".into()), format!("the server answered with {} instead", version.name()))
        }
        Answer::NotTls => (FailureCode::NotTls, "the reply is not TLS".to_owned()),
        Answer::Broken => (FailureCode::ProtocolError, "the reply breaks the rules of TLS".to_owned()),
    };
    Failure::new(code, Step::Handshake, text)
}

fn timed_out(timeout: Duration) -> Failure {
    let text = format!("the server did not answer the hello within {} ms", timeout.as_millis());
    Failure::new(FailureCode::TimedOut, Step::Handshake, text)
}

impl Drafted for TlsSupport {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::TlsSupport(Box::new(self))
    }
}
