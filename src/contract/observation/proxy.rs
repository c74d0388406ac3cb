use super::http::ProxyReason;
use super::tls::Handshake;
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Whether a proxy lets this machine out to one URL, and what it asks before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proxy {
    /// What it was asked for.
    pub url: String,
    /// `scheme://host:port`, without credentials.
    pub proxy: String,
    pub protocol: ProxyProtocol,
    /// Why it is this proxy.
    pub way: ProxyReason,
    /// The proxy's address that was connected to, or that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Finding the proxy's own address, and connecting to it, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve_us: Option<u64>,
    /// Until the TCP connection stood, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The handshake with an https proxy itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Handshake>>,
    /// It let in without any sign-in; none where it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lets_in_anybody: Option<bool>,
    /// The ways to sign in that it offers, in its order, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<ProxyMethod>,
    /// The user name and password of the setting were sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed_in: bool,
    /// What it says to CONNECT (RFC 9110 section 9.3.6); none for SOCKS, and where that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<ProxyAnswer>,
    /// What it says to a request in plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<ProxyAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socks: Option<SocksAnswer>,
    /// The program, where its headers tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What is spoken to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// HTTP: CONNECT for TLS, whole URLs for the rest (RFC 9110 section 9.3.6).
    Http,
    /// HTTP within TLS.
    Https,
    /// SOCKS 4; this machine finds the host's address.
    Socks4,
    /// SOCKS 4a; the proxy finds the host's address.
    Socks4a,
    /// SOCKS 5 (RFC 1928); this machine finds the host's address.
    Socks5,
    /// SOCKS 5; the proxy finds the host's address.
    Socks5h,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// One way to sign in: `Basic`, `Digest`, `NTLM`, `Negotiate` …, of SOCKS 5 `password` or `GSSAPI`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyMethod {
    /// The method's name, such as `Negotiate` (RFC 9110 section 11.7.1) or a SOCKS method's (RFC 1928 section 3).
    pub name: String,
    /// What the proxy calls what it guards, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

/// The answer to one request that the proxy was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyAnswer {
    /// `host:port` for CONNECT, else a URL.
    pub asked: String,
    /// The status code (RFC 9110 section 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the request's last byte to the answer's first: with the proxy's own way to the host in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// The `Via` header (RFC 9110 section 7.6.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The `Server` header (RFC 9110 section 10.2.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What a SOCKS proxy says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SocksAnswer {
    /// 4 or 5.
    pub version: u8,
    /// The way to sign in that it chose of those offered (RFC 1928 section 3); 255 for none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<u8>,
    /// It took the user name and password (RFC 1929).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_in: Option<bool>,
    /// Its reply to the request to connect: 0 of version 5 and 90 of version 4 grant it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<u8>,
    /// From the first word to the last, in microseconds.
    pub took_us: u64,
}

impl ProxyProtocol {
    /// The scheme of its URL.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
            Self::Other => "other",
        }
    }

    /// HTTP is spoken to it, so that it is asked by CONNECT or with a whole URL.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl SocksAnswer {
    /// The method by which nobody signs in, and the one that stands for none (RFC 1928 section 3).
    pub const ANYBODY: u8 = 0;
    pub const NO_METHOD: u8 = 255;

    /// Whether the connection was granted; none where nothing was said of it.
    pub fn granted(&self) -> Option<bool> {
        let grants = if self.version == 4 { 90 } else { 0 };
        self.reply.map(|reply| reply == grants)
    }

    /// It wants a sign-in that it was not given, or does not take the one that it was given.
    pub fn wants_sign_in(&self) -> bool {
        let of_version_4 = self.version == 4 && matches!(self.reply, Some(92 | 93));
        let refused = self.signed_in == Some(false);
        let unsigned = self.reply.is_none() && self.method.is_some_and(|method| method != Self::ANYBODY);
        of_version_4 || refused || (self.version == 5 && unsigned && self.signed_in != Some(true))
    }

    /// The proxy's own rules forbid it (RFC 1928 section 6).
    pub fn is_denied(&self) -> bool {
        self.version == 5 && self.reply == Some(2)
    }

    /// The proxy was willing, and did not reach the host. Version 4 tells that from a refusal by its rules in no way.
    pub fn failed_behind(&self) -> bool {
        self.version == 5 && matches!(self.reply, Some(1 | 3..=6))
    }

    /// The reply in words (RFC 1928 section 6; the memo of SOCKS 4).
    pub fn words(&self) -> &'static str {
        match (self.version, self.reply) {
            (_, None) if self.wants_sign_in() => "it wants another sign-in",
            (_, None) => "it says nothing of the connection",
            (4, Some(90)) | (5, Some(0)) => "granted",
            (4, Some(91)) => "refused or failed",
            (4, Some(92 | 93)) => "it wants to know the user from an identd",
            (5, Some(1)) => "a failure of its own",
            (5, Some(2)) => "forbidden by its rules",
            (5, Some(3)) => "it has no route to the network",
            (5, Some(4)) => "it cannot reach the host",
            (5, Some(5)) => "the host refuses the connection",
            (5, Some(6)) => "the way's TTL ended",
            (5, Some(7)) => "it knows no CONNECT",
            (5, Some(8)) => "it does not take this kind of address",
            _ => "a reply without a meaning",
        }
    }
}

impl Proxy {
    /// The proxy let this machine out.
    pub fn lets_out(&self) -> bool {
        let answered = |answer: &ProxyAnswer, good: bool| answer.failure.is_none() && good;
        let connected = self.connect.as_ref().is_none_or(|answer| answered(answer, answer.is_tunnel()));
        let got = self.get.as_ref().is_none_or(|answer| answered(answer, answer.is_let_through()));
        let socks = self.socks.as_ref().is_none_or(|socks| socks.granted() == Some(true));
        let asked = self.connect.is_some() || self.get.is_some() || self.socks.is_some();
        self.failure.is_none() && asked && connected && got && socks
    }
}

impl ProxyAnswer {
    /// A tunnel stands (RFC 9110 section 9.3.6).
    pub fn is_tunnel(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The answer to plain HTTP may be the server's: a proxy's own are those that ask for its sign-in, forbid, or tell of a server
    /// that it does not reach.
    pub fn is_let_through(&self) -> bool {
        self.status.is_some_and(|status| !matches!(status, 403 | 407 | 502 | 503 | 504))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_of_a_socks_proxy_is_of_one_sort() {
        for reply in 0..=9 {
            let answer = SocksAnswer { version: 5, method: Some(0), reply: Some(reply), ..SocksAnswer::default() };
            let sorts = [answer.granted() == Some(true), answer.is_denied(), answer.failed_behind(), answer.wants_sign_in()];
            assert!(sorts.iter().filter(|is| **is).count() <= 1, "{reply}");
        }
    }

    #[test]
    fn no_common_method_is_a_wish_for_a_sign_in() {
        let answer = SocksAnswer { version: 5, method: Some(SocksAnswer::NO_METHOD), ..SocksAnswer::default() };
        assert!(answer.wants_sign_in() && answer.granted().is_none());
        assert!(!SocksAnswer { version: 5, ..SocksAnswer::default() }.wants_sign_in());
    }
}
