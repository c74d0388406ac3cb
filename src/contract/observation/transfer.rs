use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes on their way, as the application saw them come or let them go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// How many bytes.
    pub bytes: u64,
    /// From the begin of the body to its last byte; of an upload, to the answer.
    pub took_us: u64,
    /// Of that time, how long no connection carried any of it, in microseconds: they were being made, or the answer's first byte had not
    /// come. Only of transfers over several connections and requests.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting_us: u64,
    /// Bytes a second over the time less the waiting; none where it was too short to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Pauses of at least 200 ms between two pieces.
    pub stalls: u32,
    /// The longest time without a byte, in microseconds.
    pub longest_pause_us: u64,
    /// Bytes in each successive tenth of a second, as far as they are kept: shows a rate that is cut after a burst.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<u64>,
    /// Segments with data that reached this machine in each of these tenths of a second, those behind a hole and those sent again among
    /// them, where the system tells: shows what the way let through, which a program sees only when every hole before it is filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrived: Vec<u32>,
    /// How it ended.
    pub ended: TransferEnd,
}

/// Serde hands over a reference.
fn is_zero(us: &u64) -> bool {
    *us == 0
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferEnd {
    /// All that there was.
    Complete,
    /// At the bound of bytes.
    ByteLimit,
    /// At the bound of time.
    TimeLimit,
    /// At the bound of requests.
    RequestLimit,
    /// The check's time was over, or somebody interrupted it, while bytes were still coming.
    CutOff,
    /// It failed.
    #[default]
    #[serde(other)]
    Broken,
}

/// What became of a request for a part of a body (RFC 9110 section 14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RangeAnswer {
    /// As in the request's Range header.
    pub asked: String,
    /// The answer is that part, by status 206, its Content-Range and its length.
    pub honoured: bool,
    /// The first and last byte that the answer says it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The last byte that came, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// The length of the whole, where the answer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
