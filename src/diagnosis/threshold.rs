//! From when on a figure counts as a fault. Each is a default; what a probe set expects may come to override it.

/// A server that takes longer than this for its first byte, the network's round trip taken off, is slow: most people notice a
/// pause from about one second on, and a page needs several exchanges.
pub(crate) const SLOW_FIRST_BYTE_US: u64 = 750_000;

/// A lookup that took the system longer than this waited for somebody: a name server's own time is far below it, and a program that
/// waits for a silent server waits for seconds.
pub(crate) const SLOW_LOOKUP_US: u64 = 500_000;

/// A name server that takes longer than this of its own, the way to it taken off, is slow: one with a warm cache answers within a
/// millisecond, and one that has to ask others within some hundred.
pub(crate) const SLOW_RESOLVER_US: u64 = 500_000;

/// An ICMP host unreachable that comes this much after the router could have answered was preceded by the router's own attempts
/// to resolve the address (Linux gives up after 3 seconds, others after 1 or 2); one that comes at once was a routing decision.
pub(crate) const ADDRESS_RESOLUTION_US: u64 = 500_000;

/// A refusal that takes less than this part of the path's smallest round trip cannot have come from the target.
pub(crate) const TOO_EARLY_FOR_TARGET: f64 = 0.5;

/// Round trips below this are within one segment, where scheduling noise is larger than the distance: no claim rests on them.
pub(crate) const RTT_NOISE_US: u64 = 2_000;

/// A repeating stretch of routers of at most this length is looked for; longer loops are not known from practice.
pub(crate) const LONGEST_LOOP: usize = 6;

/// So many answers must repeat before a path is called a loop: one repeated router also comes from two paths of unequal length.
pub(crate) const LOOP_REPEATS: usize = 3;

/// The share of packets lost, doubled or overtaken above which it counts: the lower end of the 95 % interval. Below one in a hundred
/// applications do not feel it.
pub(crate) const BAD_SHARE: f64 = 0.01;

/// A tenth of the replies taking this much longer than the fastest is felt in calls and remote desktops, whose buffers are about that.
pub(crate) const JITTER_US: u64 = 20_000;

/// The way is full where packets wait this much longer than the path needs, and so many times as long.
pub(crate) const CONGESTED_WAIT_US: u64 = 50_000;
pub(crate) const CONGESTED_TIMES: u64 = 5;

/// The largest packet of Ethernet and of most paths, in bytes: below it a path is narrower than usual.
pub(crate) const USUAL_MTU_BYTES: u32 = 1_500;

/// A round trip from one end of the earth to the other over cables stays below this; what is above has a satellite or a full queue.
pub(crate) const FAR_ROUND_TRIP_US: u64 = 300_000;

/// A body that takes longer than this is waited for by a person.
pub(crate) const SLOW_BODY_US: u64 = 2_000_000;

/// What every sender may send within one round trip at the start (RFC 6928): ten segments. A transfer below that for each round trip
/// is held back by something else than the way.
pub(crate) const INITIAL_WINDOW_BYTES: u64 = 14_600;

/// Beyond this the clock is wrong enough that tickets, one-time passwords and certificates fail; beyond the smaller one it is worth
/// knowing.
pub(crate) const CLOCK_WRONG_US: i64 = 60_000_000;
pub(crate) const CLOCK_OFF_US: i64 = 5_000_000;
