use super::Store;
pub(super) async fn run(_: &dyn Store) {}
pub(super) async fn run_after_restart(_: &dyn Store) {}
