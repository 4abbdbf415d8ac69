//! The task of one registrant: it calls when it is time to, until it is silent, dead, or has said goodbye.

use std::{future::pending, net::SocketAddr};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    line::Line,
    pace::{End, Pace},
    registrant::{Seen, Spec, Stage, Wish},
};
use crate::api::{native_path, registration};

/// The one who calls.
pub(super) struct Caller {
    path: String,
    order: (u64, u64),
    pace: Pace,
    line: Line,
    seen: watch::Sender<Seen>,
}

impl Caller {
    pub fn new(spec: &Spec, replicas: Vec<SocketAddr>, seen: watch::Sender<Seen>) -> Self {
        Self {
            path: native_path(&spec.service, &spec.at),
            order: (spec.incarnation, 0),
            pace: Pace::default(),
            line: Line::new(replicas),
            seen,
        }
    }

    pub async fn run(mut self, mut wish: watch::Receiver<Wish>, mut at: Instant) {
        loop {
            let Wish { stage, more } = wish.borrow_and_update().clone();
            let quiet = match stage {
                Stage::Dead => return,
                Stage::Silent => true,
                Stage::Leaving => self.seen.borrow().gone,
                Stage::Serving | Stage::Draining => false,
            };
            if stage == Stage::Serving && self.seen.borrow().gone {
                self.take(self.order.0 + 1);
                self.seen.send_modify(|seen| seen.gone = false);
            }
            let call = async {
                if quiet {
                    pending::<()>().await;
                }
                sleep_until(at).await;
                self.call(stage, &more).await
            };
            tokio::select! {
                biased;
                changed = wish.changed() => match changed {
                    // What is under way is given up, as a sidecar does on SIGTERM, and what is new is said at once.
                    Ok(()) => at = at.min(Instant::now()),
                    Err(_) => return,
                },
                next = call => at = next,
            }
        }
    }

    /// Calls once and tells when to call again.
    async fn call(&mut self, stage: Stage, more: &Value) -> Instant {
        let sent = Instant::now();
        self.order.1 += 1;
        let (incarnation, seq) = self.order;
        let body = registration(self.order, more.clone()).to_string();
        let answer = match stage {
            Stage::Leaving => {
                let path = format!("{}?incarnation={incarnation}&seq={seq}", self.path);
                self.line.call("DELETE", &path, "").await
            }
            Stage::Draining => self.line.call("POST", &format!("{}/drain", self.path), &body).await,
            _ => self.line.call("PUT", &self.path, &body).await,
        };
        let end = answer.map_or(End::Failed(None), |answer| End::of(&answer));
        let now = Instant::now();
        let at = self.pace.after(sent, now, &end, fastrand::f64());
        if self.pace.fresh {
            self.line.next();
        }
        self.seen.send_modify(|seen| match &end {
            End::Held(told) => {
                seen.held += 1;
                seen.unvouched += u64::from(told.as_ref().is_some_and(|told| !told.vouched));
                seen.last = Some(now);
            }
            End::Superseded(_) => seen.superseded += 1,
            End::Failed(_) => seen.failed += 1,
            End::Refused => seen.refused += 1,
        });
        match end {
            // Whoever owns an address that is left says what becomes of it.
            End::Held(_) | End::Superseded(_) if stage == Stage::Leaving => {
                self.seen.send_modify(|seen| seen.gone = true);
            }
            End::Superseded(told) if self.order.0 <= told => self.take(told + 1),
            _ => {}
        }
        at
    }

    fn take(&mut self, incarnation: u64) {
        self.order = (incarnation, 0);
        self.seen.send_modify(|seen| seen.incarnation = incarnation);
    }
}
