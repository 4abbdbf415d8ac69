//! With what a call shows that it may be made: the one place that chooses.
//!
//! A registry that asks for the task's role gives a lease token for a proof, and the token serves for this endpoint and this
//! incarnation until it ends. Near its end a register brings a proof again; a drain and a deregister bring the token whatever
//! its age, since it is the registry's to say how long it lets somebody leave. After a token that was refused the next call
//! brings a proof. Where a proof leads nowhere, because AWS is away for the registry or for us, the old token has its turn
//! again: such a registry grants it more time.

use std::{
    sync::{Arc, Mutex, PoisonError},
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

/// What the registry is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shows {
    /// Nothing.
    Nothing,
    /// A static token.
    Token(Secret),
    /// The task's role, to the registry of this name.
    Role(Audience),
}

/// The same, with what is needed for it.
#[allow(clippy::large_enum_variant, reason = "there is one for each instance, behind an Arc")]
enum Means {
    Nothing,
    Token(Secret),
    Role { audience: Audience, credentials: Credentials, held: Mutex<Option<Held>> },
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
    standing: Standing,
}

/// What is thought of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The registry gave it.
    Given,
    /// It was refused: a proof has its turn.
    Refused,
    /// A proof led nowhere: it has its turn again, whatever its age.
    Last,
}

impl Authorization {
    /// Shows this; a role's credentials are those of `source`. Fails when a certificate authority is missing.
    pub fn new(shows: Shows, source: Source) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(match shows {
            Shows::Nothing => Means::Nothing,
            Shows::Token(token) => Means::Token(token),
            Shows::Role(audience) => {
                Means::Role { audience, credentials: Credentials::new(source)?, held: Mutex::default() }
            }
        })))
    }

    /// The header of a call, if there is anything to show; an error says in words why there is not what there should be.
    pub async fn header(&self, speaker: &Speaker, leaves: bool) -> Result<Option<HeaderValue>, String> {
        let (audience, credentials) = match &*self.0 {
            Means::Nothing => return Ok(None),
            Means::Token(token) => return Ok(sensitive(&format!("Bearer {}", token.reveal()))),
            Means::Role { audience, credentials, .. } => (audience, credentials),
        };
        if let Some(token) = self.token(speaker, leaves) {
            return Ok(Some(token));
        }
        let task = speaker.task.as_str().parse();
        let task = task.map_err(|_| "SDS_API_AUDIENCE is set, and no ECS task is known whose role could be shown")?;
        let Speaker { service, endpoint, incarnation, .. } = speaker.clone();
        let claims = Claims { service, endpoint, task, incarnation };
        let now = clock::unix_ms();
        let key = credentials.key(now).await.inspect_err(|_| self.unheard())?;
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
            let held = Held { token: token.clone(), speaker: speaker.clone(), until, standing: Standing::Given };
            self.change(|known| *known = Some(held));
        }
    }

    /// The registry did not take what was shown.
    pub fn refused(&self) {
        let Means::Role { credentials, .. } = &*self.0 else { return };
        self.change(|held| match held {
            Some(held) if held.standing != Standing::Refused => {
                if held.standing == Standing::Given {
                    tracing::info!(
                        "the registry does not take the token any more: the next call shows the task's role"
                    );
                }
                held.standing = Standing::Refused;
            }
            // It was a proof: its key may have ended before its time.
            _ => credentials.doubt(),
        });
    }

    /// Who could confirm a proof is away.
    pub fn unheard(&self) {
        self.change(|held| {
            if let Some(held) = held {
                held.standing = Standing::Last;
            }
        });
    }

    fn token(&self, speaker: &Speaker, leaves: bool) -> Option<HeaderValue> {
        let Means::Role { held, .. } = &*self.0 else { return None };
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().filter(|held| held.speaker == *speaker)?;
        let good = match held.standing {
            Standing::Given => leaves || Instant::now() < held.until,
            Standing::Refused => false,
            Standing::Last => true,
        };
        sensitive(&format!("Bearer {}", held.token.reveal())).filter(|_| good)
    }

    fn change(&self, how: impl FnOnce(&mut Option<Held>)) {
        if let Means::Role { held, .. } = &*self.0 {
            how(&mut held.lock().unwrap_or_else(PoisonError::into_inner));
        }
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
