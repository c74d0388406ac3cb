use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// What the wall clock said.
    pub wall: Timestamp,
    /// The kernel says that its clock is synchronised; none where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
    /// The kernel's estimate of the maximum error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_us: Option<u64>,
    /// The kernel's word for the clock's state (adjtimex(2)): `ok`, `insert`, `delete`, `leap`, `wait` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What the kernel still has to add to the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<i64>,
    /// How much the kernel corrects the clock's rate, in parts of a thousand million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_correction_ppb: Option<i64>,
    /// The hardware that counts the time, such as `tsc`, `kvm-clock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}
