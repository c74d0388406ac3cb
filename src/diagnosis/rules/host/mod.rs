pub(super) mod clock_skew;
pub(super) mod conntrack_full;
pub(super) mod duplicate_address;
pub(super) mod exhausted;
pub(super) mod firewall_local;
pub(super) mod gateway_unresolved;
pub(super) mod hosts_file_override;
pub(super) mod interface_errors;
/// What this machine's own firewall drops without a word.
mod kept_in;
pub(super) mod link_down;
pub(super) mod no_resolver;
pub(super) mod no_route;
/// The time, by whoever else tells it.
pub(super) mod outside_time;
pub(super) mod overloaded;
pub(super) mod permission_denied;
pub(super) mod ports;
pub(super) mod proxy_mismatch;
pub(super) mod reverse_path_filter;
pub(super) mod tunnelled;
