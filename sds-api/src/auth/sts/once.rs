//! What was asked about and refused, and what is being asked about: bounded, the oldest goes first.
//!
//! A yes is not kept: whoever has a lease token does not ask again, and a replayed proof is to be judged anew. "Away" is no
//! answer, and the next of those who wait asks again.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ring::digest;
use sds_types::proof::{Claims, Proof};
use tokio::sync::OnceCell;

use super::{Caller, Unproven};

/// Refused proofs that are known; about 100 bytes each.
const KNOWN: usize = 1024;

/// A proof with its claims.
pub type Key = [u8; 32];

type Verdict = Arc<OnceCell<Result<Caller, &'static str>>>;

/// All of them.
#[derive(Default)]
pub struct Asked(Mutex<VecDeque<(Key, Verdict)>>);

impl Asked {
    /// The answer about `key`, by `ask` if nobody has asked yet.
    pub async fn once<F>(&self, key: Key, ask: impl FnOnce() -> F) -> Result<Caller, Unproven>
    where
        F: Future<Output = Result<Caller, Unproven>>,
    {
        let verdict = self.verdict(key);
        let asked = verdict.get_or_try_init(async || match ask().await {
            Ok(caller) => Ok(Ok(caller)),
            Err(Unproven::Refused(reason)) => Ok(Err(reason)),
            Err(Unproven::Away) => Err(()),
        });
        match asked.await {
            Ok(Err(reason)) => Err(Unproven::Refused(reason)),
            Ok(Ok(caller)) => {
                self.lock().retain(|(known, _)| *known != key);
                Ok(caller.clone())
            }
            Err(()) => Err(Unproven::Away),
        }
    }

    fn verdict(&self, key: Key) -> Verdict {
        let mut asked = self.lock();
        if let Some((_, verdict)) = asked.iter().find(|(known, _)| *known == key) {
            return verdict.clone();
        }
        if asked.len() >= KNOWN {
            asked.pop_front();
        }
        let verdict = Verdict::default();
        asked.push_back((key, verdict.clone()));
        verdict
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Verdict)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of everything that the request is built from.
pub fn key(proof: &Proof, claims: &Claims) -> Key {
    let Proof { access_key_id, date, session_token, signature } = proof;
    let region = claims.task.region().name();
    let text = [access_key_id, date, session_token, signature, &claims.hash(), region].join("\n");
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NO: Result<Caller, Unproven> = Err(Unproven::Refused("no"));

    fn somebody() -> Caller {
        Caller { partition: "aws", account: "1".into(), role: "r".into(), session: "s".into() }
    }

    #[tokio::test]
    async fn one_bad_proof_is_asked_about_once() {
        let (asked, calls) = (Asked::default(), AtomicUsize::new(0));
        let ask = || {
            calls.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::task::yield_now().await;
                NO
            }
        };
        let (one, two) = tokio::join!(asked.once([1; 32], ask), asked.once([1; 32], ask));
        assert_eq!((one, two, asked.once([1; 32], ask).await), (NO, NO, NO));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(asked.once([2; 32], ask).await, NO);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn away_is_no_answer_and_a_yes_is_not_kept() {
        let asked = Asked::default();
        assert_eq!(asked.once([1; 32], async || Err(Unproven::Away)).await, Err(Unproven::Away));
        assert_eq!(asked.once([1; 32], async || Ok(somebody())).await, Ok(somebody()));
        assert_eq!(asked.once([1; 32], async || NO).await, NO);
    }

    #[tokio::test]
    async fn the_oldest_goes_first() {
        let asked = Asked::default();
        let of = |nth: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&nth.to_be_bytes());
            key
        };
        for nth in 0..=KNOWN {
            assert_eq!(asked.once(of(nth), async || NO).await, NO);
        }
        assert_eq!(asked.lock().len(), KNOWN);
        assert_eq!(asked.once(of(1), async || Ok(somebody())).await, NO);
        assert_eq!(asked.once(of(0), async || Ok(somebody())).await, Ok(somebody()));
    }
}
