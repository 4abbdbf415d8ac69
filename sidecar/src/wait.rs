//! `sds-sidecar wait`: blocks until something of this task is there, for a container that others depend on with
//! SUCCESS. So an app starts only when its Envoy can serve it, without a shell script in its image.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use crate::{admin, config::Awaited, web};

const PAUSE: Duration = Duration::from_millis(250);

/// Asks at `address` until it is so; `Err` says why it was not when `timeout` was over.
pub async fn until(what: Awaited, address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let mut last = "no answer in time".to_owned();
    loop {
        let asked = async {
            match what {
                Awaited::Registered => admin::ask(address, "/healthcheck").await,
                Awaited::Envoy => admin::ask(address, "/ready").await,
            }
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => last = why,
            Err(_) => {}
        }
        if Instant::now() + PAUSE > deadline {
            return Err(format!("not within {timeout:?}: {}", web::shown(&last)));
        }
        sleep(PAUSE).await;
    }
}
