pub(super) mod admin_prohibited;
pub(super) mod icmp_unsupported;
pub(super) mod ipv6_broken;
pub(super) mod routing_loop;
pub(super) mod target_silent;
pub(super) mod udp_blocked;
pub(super) mod unreachable;
