use super::Source;
use netsonde_contract::agent_config::Otlp;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// # Errors
/// Always: this program was built without the feature `otlp`.
pub(crate) fn export(_: Otlp, _: Arc<Source>, _: CancellationToken) -> Result<(), String> {
    Err("this netsonde was built without OpenTelemetry, which agent.toml asks for under [otlp]".to_owned())
}
