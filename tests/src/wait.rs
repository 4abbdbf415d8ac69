//! Waiting for a condition, never for a time: each wait has a bound, and says what it saw last when that has passed.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that has no promise of its own: generous, because the machine may be slow.
pub const SOON: Duration = Duration::from_secs(15);

/// Tries `look` until it succeeds; after `within` the error says `what` was awaited and why it last failed.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut last = String::from("nothing was seen in time");
    while let Some(left) = within.checked_sub(start.elapsed()) {
        match timeout(left, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => break,
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("{what}: not within {within:?}; last: {last}")
}

/// Checks again and again that `look` holds for the whole of `span`.
pub async fn throughout(
    what: &str,
    span: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(error) = look().await {
            bail!("{what}: broken after {:?}: {error:#}", start.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
