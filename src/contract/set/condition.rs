use std::fmt;

/// When a check is meant to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The target's host is a name, not an address.
    Named,
    /// The target's scheme is https, or it has none and its port is 443.
    Tls,
    /// The target has a port.
    Port,
    /// The check failed or timed out.
    Failed(String),
    /// The check succeeded.
    Succeeded(String),
}

impl Condition {
    /// The words that a set may use.
    pub const WORDS: [&'static str; 5] = ["named", "tls", "port", "failed:CHECK", "succeeded:CHECK"];

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("failed", check)) => Some(Self::Failed(check.to_owned())),
            Some(("succeeded", check)) => Some(Self::Succeeded(check.to_owned())),
            Some(_) => None,
            None => match text {
                "named" => Some(Self::Named),
                "tls" => Some(Self::Tls),
                "port" => Some(Self::Port),
                _ => None,
            },
        }
    }

    /// The check that the condition waits for.
    pub fn check(&self) -> Option<&str> {
        match self {
            Self::Failed(check) | Self::Succeeded(check) => Some(check),
            Self::Named | Self::Tls | Self::Port => None,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::Tls => f.write_str("tls"),
            Self::Port => f.write_str("port"),
            Self::Failed(check) => write!(f, "failed:{check}"),
            Self::Succeeded(check) => write!(f, "succeeded:{check}"),
        }
    }
}
