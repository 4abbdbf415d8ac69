//! With what a call shows that it may be made: the one place that chooses.
//!
//! A registry that asks for the task's role gives a lease token for a proof, and the token serves for this endpoint and this
//! incarnation until it ends. Near its end a register brings a proof again; a drain and a deregister bring the token whatever
//! its age, since it is the registry's to say how long it lets somebody leave. A token that is refused is forgotten, and the
//! next call brings a proof.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;
use sds_types::{
    Endpoint, Registered, Secret, ServiceName, TaskArn,
    proof::{Audience, Claims, SCHEME},
};
use tokio::time::Instant;

use crate::{
    aws::{
        credentials::{Credentials, Source},
        sign,
    },
    clock,
};

/// A register brings a proof from so long before the token's end, or its last tenth if that is less.
const EARLY: Duration = Duration::from_secs(60);

/// What there is to show; clones share it.
#[derive(Clone)]
pub struct Authorization(Arc<Means>);

struct Means {
    /// To whom the task's role is proven, with whose credentials.
    role: Option<(Audience, Credentials)>,
    held: Mutex<Option<Held>>,
}

/// For whom a call speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// The service.
    pub service: ServiceName,
    /// Where the instance listens.
    pub endpoint: Endpoint,
    /// The sidecar's start.
    pub incarnation: u64,
    /// The ECS task, "" if it is not known.
    pub task: TaskArn,
}

struct Held {
    token: Secret,
    speaker: Speaker,
    /// Until when a register shows it.
    until: Instant,
}

impl Authorization {
    /// Shows the role of `source` to `audience`; without one it shows nothing. Fails when a certificate authority is missing.
    pub fn new(audience: Option<Audience>, source: Source) -> Result<Self, reqwest::Error> {
        let role =
            audience.map(|audience| Ok::<_, reqwest::Error>((audience, Credentials::new(source)?))).transpose()?;
        Ok(Self(Arc::new(Means { role, held: Mutex::default() })))
    }

    /// The header of a call, if there is anything to show; an error says in words why there is not what there should be.
    pub async fn header(&self, speaker: &Speaker, leaves: bool) -> Result<Option<HeaderValue>, String> {
        if let Some(token) = self.token(speaker, leaves) {
            return Ok(Some(token));
        }
        let Some((audience, credentials)) = &self.0.role else { return Ok(None) };
        let task = speaker.task.as_str().parse();
        let task = task.map_err(|_| "SDS_API_AUDIENCE is set, and no ECS task is known whose role could be shown")?;
        let Speaker { service, endpoint, incarnation, .. } = speaker.clone();
        let claims = Claims { service, endpoint, task, incarnation };
        let now = clock::unix_ms();
        let key = credentials.key(now).await?;
        let proof = sign::sign(&key, &claims, audience, &clock::compact(now / 1000));
        let json = serde_json::to_vec(&proof).map_err(|_| "the proof cannot be written")?;
        let text = format!("{SCHEME} {}", URL_SAFE_NO_PAD.encode(json));
        Ok(Some(sensitive(&text).ok_or("the proof does not fit into a header")?))
    }

    /// An answer came to a call that was sent at `sent`.
    pub fn told(&self, speaker: &Speaker, registered: &Registered, sent: Instant) {
        let (Some(token), Some(ttl)) = (&registered.token, registered.token_ttl_ms) else { return };
        let ttl = Duration::from_millis(ttl);
        let until = sent.checked_add(ttl.saturating_sub(EARLY.min(ttl / 10)));
        if let Some(until) = until {
            *self.held() = Some(Held { token: token.clone(), speaker: speaker.clone(), until });
        }
    }

    /// The registry did not take what was shown.
    pub fn refused(&self) {
        if self.held().take().is_some() {
            tracing::info!("the registry does not take the token any more: the next call shows the task's role");
        }
    }

    fn token(&self, speaker: &Speaker, leaves: bool) -> Option<HeaderValue> {
        let held = self.held();
        let held = held.as_ref().filter(|held| held.speaker == *speaker)?;
        let good = leaves || Instant::now() < held.until || self.0.role.is_none();
        sensitive(&format!("Bearer {}", held.token.reveal())).filter(|_| good)
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization")
    }
}
