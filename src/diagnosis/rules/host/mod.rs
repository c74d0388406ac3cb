pub(super) mod clock_skew;
pub(super) mod firewall_local;
pub(super) mod gateway_unresolved;
pub(super) mod no_resolver;
pub(super) mod no_route;
pub(super) mod overloaded;
pub(super) mod permission_denied;
