pub(super) mod accept_queue_full;
pub(super) mod backend_unhealthy;
pub(super) mod cut_off;
pub(super) mod filtered;
pub(super) mod idle_timeout;
pub(super) mod refused;
pub(super) mod rejected_by_middlebox;
pub(super) mod transparent_proxy;
