//! The library's first random number in a process takes tens of milliseconds: it gathers entropy from the jitter of the processor's
//! own clock before it gives any. Drawn here, before a connection is made, no server waits for it and no handshake's time holds it.

use crate::context::Context;
use std::sync::Arc;

/// Returns once random numbers come without a wait. Costs nothing but the first time.
pub(crate) async fn ready(context: &Context) {
    let provider = Arc::clone(context.trust.provider());
    let draw = move || {
        let mut first = [0_u8; 1];
        // Without entropy the handshake itself fails, and says so.
        let _ = provider.secure_random.fill(&mut first);
    };
    // Gathering keeps a processor busy, which nothing else of the run should wait for.
    let _ = tokio::task::spawn_blocking(draw).await;
}
