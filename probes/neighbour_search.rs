//! How long routers look for a machine before they say that it is not there.

use std::time::Duration;

/// Linux asks three times, a second apart, before it answers what waits with "host unreachable" (`mcast_solicit`, `retrans_time_ms` of
/// arp(7); RFC 4861 section 10 for neighbour discovery), and its answer takes its way back.
pub(crate) const GIVEN_UP: Duration = Duration::from_millis(3_200);
