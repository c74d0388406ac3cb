use netsonde_contract::failure::{Failure, FailureCode, Step};

/// The failure in a few words, with the ICMP error that caused it: `refused`, `no route to the network (network unreachable from 192.0.2.1)`.
pub(crate) fn short(failure: &Failure) -> String {
    let words = match &failure.code {
        FailureCode::Refused => "refused",
        FailureCode::TimedOut => "timed out",
        FailureCode::Interrupted => "cut off before it ended",
        FailureCode::NetworkUnreachable => "network unreachable",
        FailureCode::HostUnreachable => "host unreachable",
        FailureCode::PermissionDenied => "permission denied",
        FailureCode::Reset => "reset by the peer",
        FailureCode::Closed => "closed without an answer",
        FailureCode::Incomplete => "ended before its end",
        FailureCode::AddressNotAvailable => "no free local address or port",
        FailureCode::AddressInUse => "local address in use",
        FailureCode::DescriptorsExhausted => "no file descriptors left",
        FailureCode::BuffersExhausted => "no buffers left",
        FailureCode::NetworkDown => "network down",
        FailureCode::MessageTooLong => "message too long",
        FailureCode::NoAddress => "no address",
        FailureCode::ResolveFailed => "the resolver failed",
        FailureCode::NotTls => "the reply is not TLS",
        FailureCode::TlsAlert => "TLS alert",
        FailureCode::ProtocolError => "protocol error",
        FailureCode::TooLarge => "too large",
        FailureCode::NotAllowed => "may not be probed",
        FailureCode::BudgetExhausted => "the run's budget is used up",
        FailureCode::Other(code) => code,
    };
    match &failure.icmp {
        Some(icmp) => format!("{words} ({} from {})", icmp.words(), icmp.offender),
        None => words.to_owned(),
    }
}

/// Everything that is known about the failure, in one line; nothing where there is none.
pub(super) fn details(failure: Option<&Failure>) -> Vec<String> {
    let Some(failure) = failure else { return Vec::new() };
    let during = match failure.during {
        Step::Open => "opening the socket",
        Step::Resolve => "resolving",
        Step::Connect => "connecting",
        Step::Handshake => "the handshake",
        Step::Send => "sending",
        Step::Receive => "receiving",
        Step::Other => "another step",
    };
    let mut line = format!("failed during {during}: {}", failure.words());
    if let Some(icmp) = &failure.icmp {
        line.push_str(&format!("; ICMP type {} code {} from {}", icmp.kind, icmp.code, icmp.offender));
        if let Some(mtu) = icmp.mtu {
            line.push_str(&format!(", MTU {mtu}"));
        }
    }
    vec![line]
}
