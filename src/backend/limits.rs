use std::time::Duration;

/// Every bound on what a stranger can make this program hold or wait for. Tests shorten some.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections at once. Each costs a socket, a task and some kilobytes.
    pub(crate) connections: usize,
    /// Connections of one address, or of one /64 of IPv6: a whole office behind one address fits, and it takes many offices to fill the
    /// table.
    pub(crate) connections_per_address: usize,
    /// Connections of enrolled agents, besides: each has proved whose it is, and costs about as much as any other. An agent has one that waits for
    /// work and, while it reports, another one.
    pub(crate) agents: usize,
    /// Connections of one agent: a few for work, reports and a bundle, twice over where its network changed.
    pub(crate) connections_per_agent: usize,
    /// Until a connection's TLS handshake is done. Three round trips on the worst satellite link fit.
    pub(crate) handshake: Duration,
    /// Until a request's headers are there, counted from the moment they are waited for.
    pub(crate) headers: Duration,
    /// Without a byte in either direction, while it is the peer's turn.
    pub(crate) idle: Duration,
    /// Until a request's body is there: a part of 4 MiB at 300 kbit/s fits.
    pub(crate) body: Duration,
    /// After this much of a body's time, it must have come at [`MIN_BODY_RATE`].
    pub(crate) slow_start: Duration,
    /// From the signal to stop until connections are cut.
    pub(crate) drain: Duration,
    /// Parts of uploads held in memory at once, 4 MiB each.
    pub(crate) parts: usize,
    /// Files from the ticket page's form held in memory at once, 64 MiB each.
    pub(crate) forms: usize,
    /// Until such a file is there: 64 MiB at 600 kbit/s fit.
    pub(crate) form: Duration,
    /// Arriving bundles being verified and diagnosed at once, up to 64 MiB of file, 64 MiB unpacked and as much again as types each.
    pub(crate) verifications: usize,
    /// Until one is; far longer than the largest real one takes.
    pub(crate) verification: Duration,
    /// Stored bundles being read for a page at once, of the same size. They do not wait for what arrives, nor hold it up.
    pub(crate) renderings: usize,
    /// Pages that are told of changes as they come; a quarter of all connections. Any other asks for itself anew.
    pub(crate) viewers: usize,
    /// How often such a page is looked at for what nobody reports, as the end of an order's time.
    pub(crate) look: Duration,
    /// How long an upload that nobody continues is kept.
    pub(crate) stale_upload: Duration,
    /// Scheduled bundles that are taken of one agent in 24 hours: one in ten minutes, and those of some changes besides.
    pub(crate) scheduled_bundles: u64,
    /// And their bytes.
    pub(crate) scheduled_bytes: u64,
    /// How long a person stays signed in.
    pub(crate) session: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 64,
            agents: 32_768,
            connections_per_agent: 16,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(120),
            slow_start: Duration::from_secs(20),
            drain: Duration::from_secs(5),
            parts: 32,
            forms: 4,
            form: Duration::from_secs(15 * 60),
            verifications: 2,
            verification: Duration::from_secs(60),
            renderings: 2,
            viewers: 128,
            look: Duration::from_secs(1),
            stale_upload: Duration::from_secs(24 * 3600),
            scheduled_bundles: 200,
            scheduled_bytes: 512 << 20,
            session: Duration::from_secs(12 * 3600),
        }
    }
}

/// An agent's spool holds no more: so many empty it in a day.
pub(crate) const MOST_SCHEDULED_BUNDLES: u64 = 16_384;
/// Bytes a second of a body that has come for a while: a tenth of the slowest link that a part still fits through in time.
pub(crate) const MIN_BODY_RATE: u64 = 4 * 1024;
/// A case page shows raw facts of a bundle with this much JSON in its outcomes; more than that no browser scrolls through.
pub(crate) const MAX_RAW_BYTES: usize = 1 << 20;
/// A request's head, its names and values counted: header lines of the upload and a browser's cookies fit many times.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// A JSON body or a form without a file.
pub(crate) const MAX_FORM_BYTES: usize = 64 * 1024;
/// How many agents the desk is told of at once, to choose from by their labels.
pub(crate) const MAX_FLEET: u32 = 20_000;
/// How many cases, or bundles and tickets of a case, one answer lists.
pub(crate) const MAX_LISTED: u32 = 500;
