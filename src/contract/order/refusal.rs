use std::fmt;

macro_rules! refusal_codes {
    ($($name:ident $code:literal $advice:literal,)*) => {
        /// Why an agent does not run an order: stable codes, which reach the engineer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($name,)*
        }

        impl RefusalCode {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the engineer can do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

refusal_codes! {
    Malformed "malformed" "Draft and sign the order again with a desk of the agent's version or an older one.",
    OtherOrganisation "other_organisation" "Sign it with the keys of the organisation that enrolled the agent.",
    NoKeyList "no_key_list" "Publish the organisation's list of keys to the backend.",
    KeyListExpired "key_list_expired" "Sign and publish a new list of keys with the root.",
    SignerUnknown "signer_unknown" "Add the signer's key to the list, or sign with a listed one.",
    SignerRevoked "signer_revoked" "Sign it with a key that still counts.",
    TooFewSignatures "too_few_signatures" "Have a second engineer sign the draft.",
    OtherAgent "other_agent" "Draft an order that names this agent.",
    StaleEpoch "stale_epoch" "Draft it again: the agent has renewed its epoch since.",
    NotYetValid "not_yet_valid" "Wait until the order's window begins, or mend the machine's clock.",
    Expired "expired" "Draft it again.",
    WindowTooLong "window_too_long" "Draft an order of at most 24 hours.",
    ClockWrong "clock_wrong" "Mend the machine's clock; local runs go on meanwhile.",
    Replayed "replayed" "Draft a new order: this one ran already.",
    UnusableSet "unusable_set" "Mend the set, its targets or its parameters.",
    Paused "paused" "Ask the customer to run netsonde resume.",
    OrdersOff "orders_off" "Ask the customer to allow orders in the machine's policy.",
    SignerNotAllowed "signer_not_allowed" "Ask the customer to name the signer in the machine's policy.",
    KindNotAllowed "kind_not_allowed" "Leave the kind out, or ask the customer to allow it.",
    TargetNotAllowed "target_not_allowed" "Choose another target, or ask the customer to allow it.",
    AddressNotAllowed "address_not_allowed" "The address, or the one that the name leads to, is never allowed unless a network of the policy names it.",
    PortNotAllowed "port_not_allowed" "Choose another port, or ask the customer to allow it.",
    ServingNotAllowed "serving_not_allowed" "Ask the customer to name the other agent's address under [serve] in the machine's policy.",
    ScheduleNotAllowed "schedule_not_allowed" "Ask the customer to allow it under [schedules] in the machine's policy, or ask for less.",
    OutsideHours "outside_hours" "Wait for the hours that the customer set.",
    OverBudget "over_budget" "Ask for less: fewer packets, less time, fewer checks.",
    CannotBeChecked "cannot_be_checked" "What the check would reach cannot be known beforehand; name it in the policy.",
    LocalOnly "local_only" "Only the person at the machine may ask for this.",
    Declined "declined" "Somebody at the machine said no.",
    NotAnswered "not_answered" "Nobody at the machine answered before the order expired.",
    Cloned "cloned" "Two machines share one identity: enrol one of them anew.",
}

/// An order that is not run, with what decided it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    pub code: RefusalCode,
    /// What it was in this case, in one sentence.
    pub detail: String,
}

impl RefusalCode {
    pub fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal { code: self, detail: detail.into() }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
