//! Which versions and cipher suites a server accepts, asked one by one with hellos of our own.
//!
//! Every question is one connection. A suite that the server chose is left out of the next offer, until it refuses: what it chose, in
//! this order, is what it accepts. That takes one connection for each suite it knows and one more, within what `TlsParams::max_questions` allows.

use super::draft::{Draft, Drafted};
use super::failure::alert_name;
use super::hello::{Answer, MAX_ANSWER_BYTES, Offer, Version, read, suite_name, suites_of};
use super::{Server, connect, starttls};
use crate::clock::microseconds;
use crate::context::Context;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Fact, TlsSupport, VersionSupport};
use rustls_pki_types::ServerName;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for every version, and where the parameters want it for every suite of those accepted.
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
    let mut draft = Draft::begin(context, Step::Connect, blank);
    let began = context.clock.now();
    for version in Version::ALL {
        if let Err(failure) = of_version(context, server, version, &mut draft).await {
            draft.failure = Some(failure);
            break;
        }
    }
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish();
}

/// # Errors
/// Where no connection could be made or no more may be: nothing else is asked then.
async fn of_version(
    context: &Context,
    server: &Server<'_>,
    version: Version,
    draft: &mut Draft<TlsSupport>,
) -> Result<(), Failure> {
    let mut left = suites_of(version);
    let at = draft.versions.len();
    draft.versions.push(VersionSupport {
        protocol: version.name(),
        accepted: false,
        ciphers: Vec::new(),
        server_order: None,
        failure: None,
    });
    let mut chosen = Vec::new();
    while !left.is_empty() {
        match ask(context, server, version, &left, draft).await? {
            Ok(suite) if left.contains(&suite) => {
                left.retain(|other| *other != suite);
                chosen.push(suite);
                draft.versions[at].accepted = true;
                draft.versions[at].ciphers.push(suite_name(suite));
            }
            Ok(suite) => {
                let text = format!("the server chose {}, which was not offered", suite_name(suite));
                draft.versions[at].failure = Some(Failure::new(FailureCode::ProtocolError, Step::Handshake, text));
                break;
            }
            Err(failure) => {
                if chosen.is_empty() {
                    draft.versions[at].failure = Some(failure);
                }
                break;
            }
        }
        if !server.params.ciphers {
            break;
        }
    }
    if let [first, second, ..] = chosen[..] {
        // The same two the other way round: a server with an order of its own still takes its first.
        let answer = ask(context, server, version, &[second, first], draft).await?;
        draft.versions[at].server_order = answer.ok().map(|suite| suite == first);
    }
    Ok(())
}

/// One question: the suite that the server chose in this version, or how it refused.
async fn ask(
    context: &Context,
    server: &Server<'_>,
    version: Version,
    suites: &[u16],
    draft: &mut Draft<TlsSupport>,
) -> Result<Result<u16, Failure>, Failure> {
    let most = server.params.max_questions();
    if draft.connections >= most {
        let text = format!("no more than {most} connections are made");
        return Err(Failure::new(FailureCode::BudgetExhausted, Step::Connect, text));
    }
    draft.step = Step::Connect;
    let connected = connect::first(context, &[server.address.ip()], server.address.port(), server.timeout).await;
    let mut stream = connected.map_err(|not_connected| not_connected.failure)?.stream;
    draft.connections += 1;
    draft.step = Step::Handshake;
    let (_, ready) = starttls::speak(context.clock, &mut stream, server.params.spoken_first(), server.timeout).await;
    ready?;
    let sent = draft.server_name.clone();
    let hello = Offer { version, suites, server_name: sent.as_deref(), random: rand::random() }.encode();
    Ok(match tokio::time::timeout(server.timeout, exchange(&mut stream, &hello)).await {
        Ok(Ok(Answer::Hello { version: chosen, suite })) if chosen == version => Ok(suite),
        Ok(Ok(answer)) => Err(refusal(answer)),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(timed_out(server.timeout)),
    })
}

async fn exchange(stream: &mut TcpStream, hello: &[u8]) -> Result<Answer, Failure> {
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
