use netsonde_contract::failure::{Failure, FailureCode, Step};

/// The failure in a few words, with the ICMP error that caused it: `refused`, `no route to the network (network unreachable from 192.0.2.1)`.
pub(crate) fn short(failure: &Failure) -> String {
    // Which alert it was is what there is to know.
    if let (FailureCode::TlsAlert, Some((_, alert))) = (&failure.code, failure.text.split_once("the TLS alert ")) {
        return format!("TLS alert {alert}");
    }
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
        FailureCode::Other(code) => named(code),
    };
    match &failure.icmp {
        Some(icmp) => format!("{words} ({} from {})", icmp.words(), icmp.offender),
        None => words.to_owned(),
    }
}

/// The codes that the probes make up themselves, in words; a newer agent's stands as it is.
fn named(code: &str) -> &str {
    const WORDS: [(&str, &str); 19] = [
        ("empty_body", "the answer has no body"),
        ("kiss_of_death", "the server sends this client away"),
        ("name_invalid", "not a name that TLS can carry"),
        ("no_issuer", "no issuer was found"),
        ("no_socket", "no socket could be opened"),
        ("not_built_in", "not part of this build"),
        ("not_this_cloud", "whoever answers is not this cloud's service"),
        ("other_version", "the answer is of another version"),
        ("ping", "the ping could not be sent"),
        ("proxy_refused", "the proxy refuses"),
        ("proxy_untrusted", "the proxy's certificate is not trusted"),
        ("quic_setup", "QUIC could not be set up here"),
        ("request_invalid", "the request cannot be made"),
        ("server_unsynchronised", "the server's own clock is not set"),
        ("service_refused", "the service refuses"),
        ("starttls_refused", "TLS was refused"),
        ("tls_setup", "TLS could not be set up here"),
        ("unexpected_status", "a status that was not expected"),
        ("version_mismatch", "no version in common"),
    ];
    WORDS.iter().find(|(known, _)| *known == code).map_or(code, |(_, words)| words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_of_a_probe_stands_raw_in_a_line() {
        for code in ["starttls_refused", "unexpected_status", "not_this_cloud"] {
            let failure = Failure::new(FailureCode::Other(code.into()), Step::Receive, "why");
            assert!(!short(&failure).contains('_'), "{}", short(&failure));
        }
        let newer = Failure::new(FailureCode::Other("of_tomorrow".into()), Step::Receive, "why");
        assert_eq!(short(&newer), "of_tomorrow");
    }
}
