pub(super) mod cname_loop;
pub(super) mod dnssec_bogus;
pub(super) mod no_data;
pub(super) mod nxdomain;
pub(super) mod rcode;
pub(super) mod resolver_unreachable;
