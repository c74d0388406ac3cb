use std::fmt;

/// When a check is meant to run. Conditions on the target and on the way to it are decided when the plan is made, those on other
/// checks while the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The target's host is a name, not an address.
    Named,
    /// The target's scheme is https, or it has none and its port is 443.
    Tls,
    /// The target has a port.
    Port,
    /// The target has no port.
    NoPort,
    /// No proxy stands between this machine and the target's URL.
    Direct,
    /// The target's URL is asked for through a proxy, which alone reaches the target: this machine may neither resolve its name nor
    /// have a route to it.
    Proxied,
    /// The set's parameter has a value other than the empty text.
    Given(String),
    /// The set's parameter has a value other than this.
    Differs(String, String),
    /// The check failed or timed out.
    Failed(String),
    /// The check succeeded.
    Succeeded(String),
    /// The check did not succeed: it failed, timed out, or could not be measured.
    Unless(String),
}

impl Condition {
    /// The words that a set may use.
    pub const WORDS: [&'static str; 11] = [
        "named",
        "tls",
        "port",
        "no_port",
        "direct",
        "proxied",
        "given:PARAMETER",
        "given:PARAMETER!=VALUE",
        "failed:CHECK",
        "succeeded:CHECK",
        "unless:CHECK",
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("given", words)) => Some(match words.split_once("!=") {
                Some((parameter, value)) => Self::Differs(parameter.to_owned(), value.to_owned()),
                None => Self::Given(words.to_owned()),
            }),
            Some(("failed", check)) => Some(Self::Failed(check.to_owned())),
            Some(("succeeded", check)) => Some(Self::Succeeded(check.to_owned())),
            Some(("unless", check)) => Some(Self::Unless(check.to_owned())),
            Some(_) => None,
            None => match text {
                "named" => Some(Self::Named),
                "tls" => Some(Self::Tls),
                "port" => Some(Self::Port),
                "no_port" => Some(Self::NoPort),
                "direct" => Some(Self::Direct),
                "proxied" => Some(Self::Proxied),
                _ => None,
            },
        }
    }

    /// The check that the condition waits for.
    pub fn check(&self) -> Option<&str> {
        match self {
            Self::Failed(check) | Self::Succeeded(check) | Self::Unless(check) => Some(check),
            Self::Named | Self::Tls | Self::Port | Self::NoPort | Self::Direct | Self::Proxied => None,
            Self::Given(_) | Self::Differs(..) => None,
        }
    }

    /// The set's parameter that the condition asks for.
    pub(super) fn parameter(&self) -> Option<&str> {
        if let Self::Given(parameter) | Self::Differs(parameter, _) = self { Some(parameter) } else { None }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::Tls => f.write_str("tls"),
            Self::Port => f.write_str("port"),
            Self::NoPort => f.write_str("no_port"),
            Self::Direct => f.write_str("direct"),
            Self::Proxied => f.write_str("proxied"),
            Self::Given(parameter) => write!(f, "given:{parameter}"),
            Self::Differs(parameter, value) => write!(f, "given:{parameter}!={value}"),
            Self::Failed(check) => write!(f, "failed:{check}"),
            Self::Succeeded(check) => write!(f, "succeeded:{check}"),
            Self::Unless(check) => write!(f, "unless:{check}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_offered_is_understood_and_shown_again() {
        for word in Condition::WORDS {
            assert_eq!(Condition::parse(word).map(|condition| condition.to_string()).as_deref(), Some(word));
        }
        assert_eq!(Condition::parse("proxied:x"), None);
    }
}
