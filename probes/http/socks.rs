//! SOCKS 5 (RFC 1928, with the passwords of RFC 1929), SOCKS 4 and 4a, as a client that connects.

/// The messages.
mod message;

use super::connection::Link;
use super::proxy::{Proxy, Route};
use super::request::Request;
use crate::clock::{Clock, microseconds};
use crate::context::Context;
use crate::tls::connect;
use crate::tls::draft::Draft;
use crate::tls::wire::Wire;
use message::Destination;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::observation::{Exchange, ProxyProtocol, SocksAnswer};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A way to sign in with a user name and password, and one with GSSAPI (RFC 1928 section 3).
pub(crate) const PASSWORD: u8 = 2;
pub(crate) const GSSAPI: u8 = 1;

/// The step of a failure within the conversation: it is neither the connection's nor the server's.
const STEP: Step = Step::Other;

/// Has the proxy connect to the request's host, and notes in the draft what it said.
pub(super) async fn pass(request: &Request<'_>, proxy: &Proxy, link: Link, draft: &mut Draft<Exchange>) -> Result<Link, Failure> {
    draft.step = STEP;
    let destination = destination(request, proxy.protocol).await?;
    let Link { wire, address, local, socket, trusted } = link;
    let version = if matches!(proxy.protocol, ProxyProtocol::Socks4 | ProxyProtocol::Socks4a) { 4 } else { 5 };
    let clock = request.context.clock;
    let mut talk = Talk { wire, clock, began: clock.now(), timeout: request.timeout() };
    let mut answer = SocksAnswer { version, ..SocksAnswer::default() };
    let result = match version {
        4 => talk.version_4(proxy, &destination, &mut answer).await,
        _ => talk.version_5(proxy, &destination, &mut answer).await,
    };
    answer.took_us = talk.took_us();
    draft.socks = Some(answer);
    result?;
    match answer.granted() {
        Some(true) => Ok(Link { wire: talk.wire, address, local, socket, trusted }),
        _ => Err(refusal(&answer)),
    }
}

/// Whether the proxy takes this way to sign in, asked for as the only one. The connection ends with the answer.
///
/// # Errors
/// Where the proxy is not reached, or does not answer in SOCKS 5.
pub(crate) async fn takes_method(context: &Context, route: &Route, timeout: Duration, method: u8) -> Result<bool, Failure> {
    let Some(proxy) = &route.proxy else { return Ok(false) };
    let addresses = context.names.resolve(&context.gate, &proxy.host).await?;
    let connected = connect::first(context, &addresses, proxy.port, timeout).await.map_err(|not| not.failure)?;
    let mut talk = Talk { wire: Box::new(connected.stream), clock: context.clock, began: context.clock.now(), timeout };
    Ok(talk.choose(&[method]).await? == method)
}

/// What the proxy is told to connect to: a name where the protocol takes one, else the address that this machine finds.
async fn destination(request: &Request<'_>, protocol: ProxyProtocol) -> Result<Destination, Failure> {
    let (host, port) = (request.host(), request.port());
    let takes_names = matches!(protocol, ProxyProtocol::Socks4a | ProxyProtocol::Socks5h);
    if takes_names && host.parse::<IpAddr>().is_err() {
        return Ok(Destination::Name(host, port));
    }
    let context = request.context;
    // The failure of the host's own name, not of the proxy's.
    let of_host = |failure: Failure| Failure { during: STEP, ..failure };
    let addresses = context.names.resolve(&context.gate, &host).await.map_err(of_host)?;
    let fits = |address: &&IpAddr| address.is_ipv4() || matches!(protocol, ProxyProtocol::Socks5 | ProxyProtocol::Socks5h);
    let address = addresses.iter().find(fits).copied();
    let none = || Failure::new(FailureCode::NoAddress, STEP, format!("{host} has no IPv4 address, and SOCKS 4 knows no other"));
    Ok(Destination::Address(address.ok_or_else(none)?, port))
}

fn refusal(answer: &SocksAnswer) -> Failure {
    let code = if answer.wants_sign_in() { "proxy_auth_required" } else { "proxy_refused" };
    let number = answer.reply.map_or(String::new(), |reply| format!(" (reply {reply})"));
    Failure::new(FailureCode::Other(code.into()), STEP, format!("the SOCKS proxy does not connect: {}{number}", answer.words()))
}

/// A conversation under way.
struct Talk {
    wire: Wire,
    clock: Clock,
    began: Duration,
    /// For each answer.
    timeout: Duration,
}

impl Talk {
    fn took_us(&self) -> u64 {
        microseconds(self.clock.now().saturating_sub(self.began))
    }

    async fn version_4(&mut self, proxy: &Proxy, to: &Destination, answer: &mut SocksAnswer) -> Result<(), Failure> {
        let user = proxy.sign_in.as_ref().map_or("", |(user, _)| user);
        self.send(&message::connect_4(to, user)?).await?;
        let [null, reply, ..] = self.read::<8>().await?;
        // The reply's own version is 0.
        if null != 0 {
            return Err(foreign());
        }
        answer.reply = Some(reply);
        Ok(())
    }

    async fn version_5(&mut self, proxy: &Proxy, to: &Destination, answer: &mut SocksAnswer) -> Result<(), Failure> {
        let offered: &[u8] = if proxy.sign_in.is_some() { &[SocksAnswer::ANYBODY, PASSWORD] } else { &[SocksAnswer::ANYBODY] };
        let method = self.choose(offered).await?;
        answer.method = Some(method);
        match (method, &proxy.sign_in) {
            (SocksAnswer::ANYBODY, _) => {}
            (PASSWORD, Some((user, password))) => {
                self.send(&message::password(user, password)?).await?;
                let [_, status] = self.read::<2>().await?;
                answer.signed_in = Some(status == 0);
            }
            _ => {}
        }
        if answer.wants_sign_in() && method != SocksAnswer::ANYBODY {
            return Ok(());
        }
        self.send(&message::connect_5(to)?).await?;
        let [version, reply, _, kind] = self.read::<4>().await?;
        if version != 5 {
            return Err(foreign());
        }
        answer.reply = Some(reply);
        // A refusal need not carry the address that a grant ends with.
        if reply == 0 {
            self.bound_address(kind).await?;
        }
        Ok(())
    }

    /// Offers ways to sign in, and returns the one that the proxy chose.
    async fn choose(&mut self, methods: &[u8]) -> Result<u8, Failure> {
        self.send(&message::greeting(methods)).await?;
        let [version, method] = self.read::<2>().await?;
        if version == 5 { Ok(method) } else { Err(foreign()) }
    }

    /// The address that the proxy connects from, which says nothing here: it may be one within its own network.
    async fn bound_address(&mut self, kind: u8) -> Result<(), Failure> {
        let length = match kind {
            message::IPV4 => 4,
            message::IPV6 => 16,
            message::NAME => {
                let [length] = self.read::<1>().await?;
                usize::from(length)
            }
            _ => return Err(foreign()),
        };
        for _ in 0..length + 2 {
            self.read::<1>().await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = tokio::time::timeout(self.timeout, async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::from_io(&error, STEP)),
            Err(_) => Err(self.silence()),
        }
    }

    /// Exactly so many bytes: what follows them belongs to the host.
    async fn read<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Failure> {
        let mut bytes = [0; LENGTH];
        match tokio::time::timeout(self.timeout, self.wire.read_exact(&mut bytes)).await {
            Ok(Ok(_)) => Ok(bytes),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Failure::new(FailureCode::Closed, STEP, "the SOCKS proxy closed the connection instead of an answer"))
            }
            Ok(Err(error)) => Err(Failure::from_io(&error, STEP)),
            Err(_) => Err(self.silence()),
        }
    }

    fn silence(&self) -> Failure {
        let text = format!("the SOCKS proxy did not answer within {} ms", self.timeout.as_millis());
        Failure::new(FailureCode::TimedOut, STEP, text)
    }
}

fn foreign() -> Failure {
    Failure::new(FailureCode::ProtocolError, STEP, "the proxy's answer is not SOCKS: it may be an HTTP proxy")
}

/// For fuzzing: the conversation with a proxy that says what the wire holds.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) async fn converse(wire: Wire, is_version_4: bool, signs_in: bool) {
    let clock = Clock::start();
    let protocol = if is_version_4 { ProxyProtocol::Socks4a } else { ProxyProtocol::Socks5h };
    let sign_in = signs_in.then(|| ("anna".to_owned(), "secret".to_owned()));
    let (host, shown) = ("proxy.example".to_owned(), String::new());
    let proxy = Proxy { host, port: 1_080, protocol, shown, authorization: None, sign_in };
    let to = Destination::Name("www.example".to_owned(), 443);
    let mut talk = Talk { wire, clock, began: clock.now(), timeout: Duration::from_secs(1) };
    let mut answer = SocksAnswer { version: if is_version_4 { 4 } else { 5 }, ..SocksAnswer::default() };
    let result = if is_version_4 {
        talk.version_4(&proxy, &to, &mut answer).await
    } else {
        talk.version_5(&proxy, &to, &mut answer).await
    };
    // What is not granted has words of its own.
    if result.is_ok() && answer.granted() != Some(true) {
        refusal(&answer);
    }
}
