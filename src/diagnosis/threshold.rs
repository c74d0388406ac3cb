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
