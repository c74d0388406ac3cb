pub(super) mod refused;
