//! Memory that a rush of work leaves behind goes back to the system.
//!
//! The C library keeps what is freed, in pieces between what is still in use, for requests to come: after hundreds of model
//! changes, or after clients that left large answers unread, that is most of the process's memory.

use std::{sync::Arc, time::Duration};

use crate::{engine::Engine, kernel};

/// Time between two looks at the engine.
const LOOK: Duration = Duration::from_secs(2);

/// Gives memory back each time that the engine has worked and then been idle for one look.
pub(super) async fn after_work(engine: Arc<Engine>) {
    let (mut answered, mut is_due) = (engine.metrics().taken(), false);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = engine.metrics().taken();
        if now != answered || engine.metrics().in_flight() > 0 {
            (answered, is_due) = (now, true);
        } else if std::mem::take(&mut is_due) {
            let _ = tokio::task::spawn_blocking(kernel::return_free_memory).await;
        }
    }
}
