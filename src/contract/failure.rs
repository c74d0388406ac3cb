use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// Why one network operation failed, as it was seen and without a conclusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub code: FailureCode,
    /// What was being done.
    pub during: Step,
    /// The operating system's or library's own words.
    pub text: String,
    /// The raw OS error number, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_error: Option<i32>,
    /// The ICMP error that caused it, where one was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpError>,
}

impl Failure {
    pub fn new(code: FailureCode, during: Step, text: impl Into<String>) -> Self {
        Self { code, during, text: text.into(), os_error: None, icmp: None }
    }

    /// The failure of an I/O operation, with its code taken from the OS error.
    pub fn from_io(error: &std::io::Error, during: Step) -> Self {
        Self { code: FailureCode::from_io(error), during, text: error.to_string(), os_error: error.raw_os_error(), icmp: None }
    }

    /// The text for people: without the number that the system has for the same words.
    pub fn words(&self) -> String {
        without_number(&self.text).into_owned()
    }

    pub fn with_icmp(mut self, icmp: IcmpError) -> Self {
        self.icmp = Some(icmp);
        self
    }
}

/// The words without ` (os error 111)`, which says the same once more, for programs.
pub fn without_number(text: &str) -> Cow<'_, str> {
    let numbered = text.split_once(" (os error ").and_then(|(before, rest)| Some((before, rest.split_once(')')?)));
    numbered.map_or(Cow::Borrowed(text), |(before, (_, after))| Cow::Owned(format!("{before}{after}")))
}

/// The step of an exchange in which a failure came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Opening a socket, before anything was sent.
    Open,
    /// Turning a name into addresses.
    Resolve,
    /// Making the connection.
    Connect,
    /// The TLS or QUIC handshake.
    Handshake,
    /// Sending, once a connection or socket was there.
    Send,
    /// Waiting for the answer, or reading it.
    Receive,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// A stable name for a kind of failure. Names never change meaning; one that this version does not know is kept as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// ECONNREFUSED: a reset or an ICMP port unreachable answered.
    Refused,
    /// No answer within the limit.
    TimedOut,
    /// Cut off before it ended, though its time was not over: it says nothing about the network.
    Interrupted,
    /// ENETUNREACH: from the own routing table (no ICMP seen) or from a router.
    NetworkUnreachable,
    /// EHOSTUNREACH.
    HostUnreachable,
    /// EPERM or EACCES.
    PermissionDenied,
    /// ECONNRESET after the connection stood.
    Reset,
    /// The peer closed before it answered.
    Closed,
    /// The peer ended a message before the end that it had announced.
    Incomplete,
    /// EADDRNOTAVAIL.
    AddressNotAvailable,
    /// EADDRINUSE.
    AddressInUse,
    /// EMFILE or ENFILE.
    DescriptorsExhausted,
    /// ENOBUFS or ENOMEM.
    BuffersExhausted,
    /// ENETDOWN.
    NetworkDown,
    /// EMSGSIZE.
    MessageTooLong,
    /// The name resolved to nothing.
    NoAddress,
    /// The resolver's library reported an error of its own.
    ResolveFailed,
    /// The reply is not TLS.
    NotTls,
    /// The peer sent a fatal TLS alert.
    TlsAlert,
    /// The reply breaks the protocol.
    ProtocolError,
    /// More than the bound allows.
    TooLarge,
    /// The address may not be probed.
    NotAllowed,
    /// The run's packet, byte or time budget is used up.
    BudgetExhausted,
    /// A name that this version does not know, or a failure that has none of its own.
    #[serde(untagged)]
    Other(String),
}

impl FailureCode {
    /// The code of an I/O error. Errors without a code of their own keep the name of their kind.
    pub fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        match error.kind() {
            K::ConnectionRefused => Self::Refused,
            K::TimedOut | K::WouldBlock => Self::TimedOut,
            K::NetworkUnreachable => Self::NetworkUnreachable,
            K::HostUnreachable => Self::HostUnreachable,
            K::PermissionDenied => Self::PermissionDenied,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => Self::Reset,
            K::UnexpectedEof => Self::Closed,
            K::AddrNotAvailable => Self::AddressNotAvailable,
            K::AddrInUse => Self::AddressInUse,
            K::NetworkDown => Self::NetworkDown,
            K::QuotaExceeded => Self::BudgetExhausted,
            K::OutOfMemory => Self::BuffersExhausted,
            kind => Self::from_errno(error.raw_os_error()).unwrap_or_else(|| Self::Other(format!("{kind:?}").to_lowercase())),
        }
    }

    /// Whether the machine that measures had nothing left to send with, or no address or port to send from. Nothing was sent, and nothing
    /// is known of the target by it.
    pub fn is_of_this_machine(&self) -> bool {
        matches!(self, Self::AddressNotAvailable | Self::AddressInUse | Self::DescriptorsExhausted | Self::BuffersExhausted)
    }

    /// Numbers of Linux, macOS and Windows (from 10,000) that `ErrorKind` has no stable name for.
    fn from_errno(number: Option<i32>) -> Option<Self> {
        match number? {
            23 | 24 | 10_024 => Some(Self::DescriptorsExhausted),
            55 | 105 | 10_055 => Some(Self::BuffersExhausted),
            40 | 90 | 10_040 => Some(Self::MessageTooLong),
            _ => None,
        }
    }
}

/// An ICMP or ICMPv6 error message and who sent it (RFC 792, RFC 4443).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IcmpError {
    /// The address that sent the error.
    pub offender: IpAddr,
    /// ICMP type, in the numbering of the offender's family.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The code of the message (RFC 792, RFC 4443).
    pub code: u8,
    /// The MTU that the message names, in bytes of the whole IP packet, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// What an ICMP error means, in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpMeaning {
    NetworkUnreachable,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    AdministrativelyProhibited,
    PacketTooBig,
    TimeExceeded,
    Other,
}

impl IcmpError {
    /// What the type and code say: ICMP 3/x and 11 (RFC 792, RFC 1812 section 5.2.7.1), ICMPv6 1/x, 2 and 3 (RFC 4443 section 3).
    pub fn meaning(&self) -> IcmpMeaning {
        use IcmpMeaning as M;
        match (self.offender, self.kind, self.code) {
            (IpAddr::V4(_), 3, 0 | 6 | 11) => M::NetworkUnreachable,
            (IpAddr::V4(_), 3, 1 | 7 | 12) => M::HostUnreachable,
            (IpAddr::V4(_), 3, 2) => M::ProtocolUnreachable,
            (IpAddr::V4(_), 3, 3) => M::PortUnreachable,
            (IpAddr::V4(_), 3, 4) => M::PacketTooBig,
            (IpAddr::V4(_), 3, 9 | 10 | 13) => M::AdministrativelyProhibited,
            (IpAddr::V4(_), 11, _) => M::TimeExceeded,
            (IpAddr::V6(_), 1, 0) => M::NetworkUnreachable,
            (IpAddr::V6(_), 1, 1 | 5 | 6) => M::AdministrativelyProhibited,
            (IpAddr::V6(_), 1, 2 | 3) => M::HostUnreachable,
            (IpAddr::V6(_), 1, 4) => M::PortUnreachable,
            (IpAddr::V6(_), 2, _) => M::PacketTooBig,
            (IpAddr::V6(_), 3, _) => M::TimeExceeded,
            _ => M::Other,
        }
    }

    /// The meaning in words, with the size that a router allows where it tells one.
    pub fn in_full(&self) -> String {
        match self.mtu.filter(|mtu| *mtu > 0) {
            Some(mtu) => format!("{}, at most {mtu} bytes", self.words()),
            None => self.words().to_owned(),
        }
    }

    /// The meaning in words, for reports.
    pub fn words(&self) -> &'static str {
        match self.meaning() {
            IcmpMeaning::NetworkUnreachable => "network unreachable",
            IcmpMeaning::HostUnreachable => "host unreachable",
            IcmpMeaning::ProtocolUnreachable => "protocol unreachable",
            IcmpMeaning::PortUnreachable => "port unreachable",
            IcmpMeaning::AdministrativelyProhibited => "administratively prohibited",
            IcmpMeaning::PacketTooBig => "packet too big",
            IcmpMeaning::TimeExceeded => "time exceeded in transit",
            IcmpMeaning::Other => "another ICMP error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_failure_code_survives_a_round_trip() {
        let code: FailureCode = serde_json::from_str("\"from_a_newer_agent\"").unwrap();
        assert_eq!(code, FailureCode::Other("from_a_newer_agent".into()));
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"from_a_newer_agent\"");
    }

    #[test]
    fn a_full_descriptor_table_has_its_own_code() {
        let error = std::io::Error::from_raw_os_error(24);
        assert_eq!(FailureCode::from_io(&error), FailureCode::DescriptorsExhausted);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn errors_of_a_machine_with_nothing_left_are_its_own_and_those_of_the_way_are_not() {
        let is_own = |number| FailureCode::from_io(&std::io::Error::from_raw_os_error(number)).is_of_this_machine();
        let (enomem, enfile, emfile, eaddrinuse, eaddrnotavail, enobufs) = (12, 23, 24, 98, 99, 105);
        for number in [enomem, enfile, emfile, eaddrinuse, eaddrnotavail, enobufs] {
            assert!(is_own(number), "{number}");
        }
        let (eperm, enetdown, enetunreach, econnreset, etimedout, econnrefused, ehostunreach) = (1, 100, 101, 104, 110, 111, 113);
        for number in [eperm, enetdown, enetunreach, econnreset, etimedout, econnrefused, ehostunreach] {
            assert!(!is_own(number), "{number}");
        }
    }
}
