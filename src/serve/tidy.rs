//! Memory that a rush of work leaves behind goes back to the system.
//!
//! The C library keeps what is freed, in pieces between what is still in use, for requests to come: after hundreds of model
//! changes, or after clients that left large answers unread, that is most of the process's memory.

use std::{sync::Arc, time::Duration};

use crate::{engine::Engine, kernel};

/// Time between two looks at the engine.
const LOOK: Duration = Duration::from_secs(2);

/// Memory is given back at these looks since the engine has worked. Answers that clients did not read are freed only with their
/// connections, which may end a while after the work.
const DUE: [u32; 3] = [1, 5, 30];

/// Gives memory back while the engine is idle after work.
pub(super) async fn after_work(engine: Arc<Engine>) {
    let (mut answered, mut idle_looks) = (engine.metrics().taken(), u32::MAX);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = engine.metrics().taken();
        idle_looks = idle_looks.saturating_add(1);
        if now != answered || engine.metrics().in_flight() > 0 {
            (answered, idle_looks) = (now, 0);
        } else if DUE.contains(&idle_looks) {
            let _ = tokio::task::spawn_blocking(kernel::return_free_memory).await;
        }
    }
}
