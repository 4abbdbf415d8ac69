//! Who heard an instance last, and how long that replica has been unable to tell.
//!
//! A replica that stops takes a share of the fleet's heartbeats with it until its clients have found another one. So for
//! instances that it heard, the time of such a stop does not count towards their lease, up to a bound: a load balancer's
//! time to leave a dead target. One that said goodbye has told all that it knew and is owed no patience.

use std::{collections::HashMap, time::Duration};

use super::lease::Leases;
use crate::replica::ReplicaId;

/// A replica that was silent for so long, without a goodbye, is not coming back.
const DEPARTED: Duration = Duration::from_secs(3600);

/// Clients of a replica that said goodbye are elsewhere after so long, and known there.
const MOVED: Duration = Duration::from_secs(5);

/// A replica, as signs of life remember it; small, because there is one for each instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hearer(u16);

impl Hearer {
    /// This replica itself.
    pub const SELF: Self = Self(0);
}

#[derive(Debug)]
struct Voice {
    id: ReplicaId,
    beat: u64,
    /// On the lease clock: when the beat moved last.
    moved: Duration,
    bye: bool,
    /// Its beat was seen to move, so it lived while this replica did.
    lived: bool,
    /// Of this stop, forgiven so far.
    episode: Duration,
    /// Of all stops.
    stalled: Duration,
    departed: bool,
}

/// All replicas that were ever seen.
#[derive(Debug)]
pub struct Hearers {
    /// So many flushes without one are a stop.
    patience: Duration,
    cap: Duration,
    lease: Duration,
    voices: Vec<Voice>,
    by_id: HashMap<ReplicaId, Hearer>,
}

impl Hearers {
    /// Nobody but this replica.
    pub fn new(leases: Leases) -> Self {
        Self {
            patience: 3 * leases.flush(),
            cap: leases.stall(),
            lease: leases.native,
            voices: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    /// A replica's header was read.
    pub fn seen(&mut self, id: &ReplicaId, beat: u64, bye: bool, now: Duration) {
        let hearer = self.of(id, now);
        let Some(voice) = usize::from(hearer.0).checked_sub(1).and_then(|at| self.voices.get_mut(at)) else { return };
        voice.bye = bye;
        // A header may fall back behind one whose outcome its writer never learned: that is no step forward.
        if voice.beat < beat {
            voice.lived |= voice.beat > 0;
            (voice.beat, voice.moved, voice.episode, voice.departed) = (beat, now, Duration::ZERO, false);
        }
    }

    /// A replica by its name; beyond what fits, as if it were this one, which is owed no patience.
    pub fn of(&mut self, id: &ReplicaId, now: Duration) -> Hearer {
        if let Some(hearer) = self.by_id.get(id) {
            return *hearer;
        }
        let Ok(next) = u16::try_from(self.voices.len() + 1) else { return Hearer::SELF };
        let voice = Voice {
            id: id.clone(),
            beat: 0,
            moved: now,
            bye: false,
            lived: false,
            episode: Duration::ZERO,
            stalled: Duration::ZERO,
            departed: false,
        };
        self.voices.push(voice);
        self.by_id.insert(id.clone(), Hearer(next));
        Hearer(next)
    }

    /// Lets time pass on the lease clock; whether one that lived has stopped now, without a goodbye. It may have left writes
    /// in the table of which it told nobody.
    pub fn pass(&mut self, step: Duration, now: Duration) -> bool {
        let mut stopped = false;
        for voice in self.voices.iter_mut().filter(|voice| !voice.bye) {
            if now.saturating_sub(voice.moved) >= self.patience {
                let more = step.min(self.cap.saturating_sub(voice.episode));
                stopped |= voice.lived && voice.episode.is_zero() && !more.is_zero();
                voice.episode += more;
                voice.stalled += more;
            }
        }
        stopped
    }

    /// Replicas that will not speak again, each told once: their headers would be read for ever, or until DynamoDB's garbage
    /// collection comes by. One that was only cut off so long writes its header anew.
    pub fn departed(&mut self, now: Duration) -> Vec<ReplicaId> {
        let (cap, patience) = (self.cap, DEPARTED);
        let gone = self.voices.iter_mut().filter(|voice| {
            let silent = now.saturating_sub(voice.moved);
            !voice.departed && silent >= if voice.bye { 4 * cap } else { patience }
        });
        let told = gone.map(|voice| {
            voice.departed = true;
            voice.id.clone()
        });
        told.collect()
    }

    /// All the patience that a replica's stops were given so far.
    pub fn stalled(&self, hearer: Hearer) -> Duration {
        self.voice(hearer).map_or(Duration::ZERO, |voice| voice.stalled)
    }

    /// A replica's name; none for this one.
    pub fn name(&self, hearer: Hearer) -> Option<&ReplicaId> {
        self.voice(hearer).map(|voice| &voice.id)
    }

    /// Those who may have clients now: what they do not know of a drain, somebody may not know.
    pub fn witnesses(&self, now: Duration) -> impl Iterator<Item = &ReplicaId> {
        let here = move |voice: &&Voice| now.saturating_sub(voice.moved) < if voice.bye { MOVED } else { self.lease };
        self.voices.iter().filter(here).map(|voice| &voice.id)
    }

    /// How many others speak now.
    pub fn speaking(&self, now: Duration) -> usize {
        self.live(now).count()
    }

    /// The others that speak now.
    pub fn live(&self, now: Duration) -> impl Iterator<Item = &ReplicaId> {
        let speaks = move |voice: &&Voice| !voice.bye && now.saturating_sub(voice.moved) < self.patience;
        self.voices.iter().filter(speaks).map(|voice| &voice.id)
    }

    fn voice(&self, hearer: Hearer) -> Option<&Voice> {
        self.voices.get(usize::from(hearer.0).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases =
        Leases { native: Duration::from_secs(30), legacy: Duration::from_secs(120), hold: Duration::from_secs(3600) };

    fn after(seconds: u64, bye: bool) -> Duration {
        let mut hearers = Hearers::new(LEASES);
        let id = ReplicaId::random();
        hearers.seen(&id, 1, bye, Duration::ZERO);
        let hearer = hearers.of(&id, Duration::ZERO);
        for second in 1..=seconds {
            hearers.pass(Duration::from_secs(1), Duration::from_secs(second));
        }
        hearers.stalled(hearer)
    }

    #[test]
    fn a_stop_is_forgiven_from_the_third_missing_flush_up_to_a_bound() {
        assert_eq!([5, 6, 10, 60].map(|seconds| after(seconds, false).as_secs()), [0, 1, 5, 15]);
    }

    #[test]
    fn who_said_goodbye_is_owed_nothing() {
        assert_eq!(after(60, true), Duration::ZERO);
    }

    #[test]
    fn the_departed_are_told_once_and_soon_after_a_goodbye() {
        let mut hearers = Hearers::new(LEASES);
        let (left, dead) = (ReplicaId::random(), ReplicaId::random());
        hearers.seen(&left, 1, true, Duration::ZERO);
        hearers.seen(&dead, 1, false, Duration::ZERO);
        let departed = |hearers: &mut Hearers, at| hearers.departed(Duration::from_secs(at));
        assert_eq!(departed(&mut hearers, 59), []);
        assert_eq!(departed(&mut hearers, 60), [left]);
        assert_eq!(departed(&mut hearers, 3600), std::slice::from_ref(&dead));
        assert_eq!(departed(&mut hearers, 9999), []);
        hearers.seen(&dead, 2, false, Duration::from_secs(10_000));
        assert_eq!(departed(&mut hearers, 13_600), [dead]);
    }

    #[test]
    fn a_replica_is_asked_about_drains_while_it_may_have_clients() {
        let mut hearers = Hearers::new(LEASES);
        let (left, silent) = (ReplicaId::random(), ReplicaId::random());
        hearers.seen(&left, 1, true, Duration::ZERO);
        hearers.seen(&silent, 1, false, Duration::ZERO);
        let witnesses = |at| hearers.witnesses(Duration::from_secs(at)).cloned().collect::<Vec<_>>();
        assert_eq!([4, 5, 29, 30].map(|at| witnesses(at).len()), [2, 1, 1, 0]);
        assert_eq!(witnesses(5), [silent]);
    }

    #[test]
    fn a_beat_that_falls_back_begins_no_new_stop() {
        let mut hearers = Hearers::new(LEASES);
        let id = ReplicaId::random();
        hearers.seen(&id, 8, false, Duration::ZERO);
        for second in 1..=60 {
            hearers.pass(Duration::from_secs(1), Duration::from_secs(second));
            hearers.seen(&id, 8 - second % 2, false, Duration::from_secs(second));
        }
        let hearer = hearers.of(&id, Duration::ZERO);
        assert_eq!(hearers.stalled(hearer), Duration::from_secs(15));
    }

    #[test]
    fn a_stop_is_told_once_and_only_of_one_that_was_seen_alive() {
        let stops = |beats: &[u64]| {
            let mut hearers = Hearers::new(LEASES);
            let id = ReplicaId::random();
            beats.iter().for_each(|beat| hearers.seen(&id, *beat, false, Duration::ZERO));
            (1..=60).filter(|second| hearers.pass(Duration::from_secs(1), Duration::from_secs(*second))).count()
        };
        assert_eq!([stops(&[7]), stops(&[7, 8])], [0, 1]);
    }

    #[test]
    fn each_stop_has_a_bound_of_its_own() {
        let mut hearers = Hearers::new(LEASES);
        let id = ReplicaId::random();
        for beat in 1..=3 {
            let start = Duration::from_secs(beat * 100);
            hearers.seen(&id, beat, false, start);
            for second in 1..=60 {
                hearers.pass(Duration::from_secs(1), start + Duration::from_secs(second));
            }
        }
        let hearer = hearers.of(&id, Duration::ZERO);
        assert_eq!(hearers.stalled(hearer), Duration::from_secs(45));
    }
}
