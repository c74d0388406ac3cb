pub(super) mod filtered;
pub(super) mod refused;
