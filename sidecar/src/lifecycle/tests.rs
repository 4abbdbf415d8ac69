//! Timelines: a script of health changes and signals, a registry that answers by a rule, and the calls that follow,
//! in virtual time. Probes come once a second, jitter is 0 unless a test says otherwise.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sds_types::Registered;

use super::*;

const fn ms(ms: u64) -> Elapsed {
    Duration::from_millis(ms)
}

const SETTINGS: Settings = Settings {
    linger: ms(15_000),
    inflight: ms(5_000),
    stop_timeout: ms(30_000),
    deregister_after: None,
    patience: ms(4_000),
};

/// What happens to the sidecar.
#[derive(Debug, Clone, Copy)]
enum Event {
    Healthy,
    Unhealthy,
    Sigterm,
    /// The metadata says that the task is to stop.
    Word,
    /// The metadata says that the app has stopped.
    Dead,
    /// The app has another address.
    Moves,
    /// The prober stops giving results.
    Stuck,
}

fn registered() -> Registered {
    Registered { lease_ms: 30_000, heartbeat_ms: 10_000, version: "v".into(), vouched: true, ..Registered::default() }
}

fn told() -> Answer {
    Answer::Done(Some(registered()))
}

fn failed(doubt: bool) -> Answer {
    Answer::Failed { reason: "away".into(), doubt, retry_after: None }
}

fn superseded(incarnation: u64) -> Answer {
    Answer::Superseded(Sequence { incarnation, seq: 1 })
}

/// One call: when, what.
type Made = (Elapsed, Request);

/// Plays `script` until `until` or the exit; `registry` gives each call's answer and how long it takes. Gives the
/// calls, the time of the exit and the lifecycle as it is then.
fn play(
    settings: Settings,
    script: &[(u64, Event)],
    until: u64,
    jitter: f64,
    mut registry: impl FnMut(Elapsed, &Request) -> (Duration, Answer),
) -> (Vec<Made>, Option<Elapsed>, Lifecycle) {
    let mut lifecycle = Lifecycle::new(settings, 100);
    let mut script: BTreeMap<(Elapsed, usize), Event> =
        script.iter().enumerate().map(|(n, (at, event))| ((ms(*at), n), *event)).collect();
    let (mut now, mut belief, mut stuck, mut probe_at) = (ms(0), None, false, ms(0));
    let (mut calls, mut answer): (Vec<Made>, Option<(Elapsed, Answer)>) = (Vec::new(), None);
    while now <= ms(until) {
        while let Some(entry) = script.first_entry().filter(|entry| entry.key().0 <= now) {
            let event = entry.remove();
            match event {
                Event::Healthy => (belief, probe_at) = (Some(Health::Healthy), now),
                Event::Unhealthy => (belief, probe_at) = (Some(Health::Unhealthy), now),
                Event::Stuck => stuck = true,
                Event::Sigterm | Event::Word => {
                    let sigterm = matches!(event, Event::Sigterm);
                    if if sigterm { lifecycle.sigterm(now) } else { lifecycle.drain(now) } {
                        answer = None;
                    }
                }
                Event::Dead => lifecycle.app_is_dead(true),
                Event::Moves => lifecycle.moves(now),
            }
        }
        if probe_at <= now {
            if !stuck && !lifecycle.stopping() {
                lifecycle.probed(now, belief);
            }
            probe_at = now + ms(1_000);
        }
        if let Some((_, ended)) = answer.take_if(|(at, _)| *at <= now) {
            lifecycle.answer(now, &ended, jitter);
        }
        let wake = match lifecycle.next(now) {
            Step::Exit => return (calls, Some(now), lifecycle),
            Step::Call(request) => {
                calls.push((now, request));
                assert!(calls.len() < 2_000, "a hot loop");
                let (latency, ended) = registry(now, &request);
                answer = Some((now + latency, ended));
                continue;
            }
            Step::Move => {
                calls.push((now, MOVED));
                continue;
            }
            Step::Wait(wake) => wake,
        };
        assert!(wake.is_none_or(|wake| wake > now), "a wait that is over already");
        let others = [Some(probe_at), script.keys().next().map(|key| key.0), answer.as_ref().map(|(at, _)| *at)];
        now = others.into_iter().flatten().chain(wake).min().unwrap().max(now + Duration::from_nanos(1));
    }
    (calls, None, lifecycle)
}

/// Stands for the agent's change of address among the calls.
const MOVED: Request = Request { call: Call::Drain, sequence: Sequence { incarnation: 0, seq: 0 }, fresh: false };

/// `0.5 put+ 100.1`: second, call, incarnation and seq.
fn line((at, request): &Made) -> String {
    if *request == MOVED {
        return format!("{:.1} moved", at.as_secs_f64());
    }
    let call = match request.call {
        Call::Register(Health::Healthy) => "put+",
        Call::Register(Health::Unhealthy) => "put-",
        Call::Drain => "drain",
        Call::Deregister(Why::Goodbye) => "delete",
        Call::Deregister(Why::Unhealthy) => "delete-unhealthy",
    };
    let fresh = if request.fresh { "!" } else { "" };
    format!("{:.1} {call}{fresh} {}.{}", at.as_secs_f64(), request.sequence.incarnation, request.sequence.seq)
}

fn timeline(
    script: &[(u64, Event)],
    until: u64,
    registry: impl FnMut(Elapsed, &Request) -> (Duration, Answer),
) -> Vec<String> {
    let (calls, exit, _) = play(SETTINGS, script, until, 0.0, registry);
    let exit = exit.map(|at| format!("{:.1} exit", at.as_secs_f64()));
    calls.iter().map(line).chain(exit).collect()
}

#[test]
fn a_life() {
    let script =
        [(500, Event::Healthy), (12_000, Event::Unhealthy), (14_000, Event::Healthy), (25_000, Event::Sigterm)];
    assert_eq!(
        timeline(&script, 60_000, |_, _| (ms(10), told())),
        [
            "0.5 put+ 100.1",
            "10.5 put+ 100.2",
            "12.0 put- 100.3",
            "14.0 put+ 100.4",
            "24.0 put+ 100.5",
            "25.0 drain 100.6",
            "35.0 drain 100.7",
            "40.0 delete 100.8",
            "40.0 exit",
        ]
    );
}

#[test]
fn nothing_registered_nothing_to_wait_for() {
    assert_eq!(timeline(&[(100, Event::Sigterm)], 60_000, |_, _| (ms(10), told())), ["0.1 exit"]);
    // Nobody was reached, so nobody has it.
    let script = [(0, Event::Healthy), (400, Event::Sigterm)];
    let refused = timeline(&script, 60_000, |_, _| (ms(1), failed(false)));
    assert_eq!(refused, ["0.0 put+ 100.1", "0.3 put+! 100.2", "0.4 exit"]);
}

#[test]
fn a_call_that_ended_unseen_is_drained_too() {
    let script = [(0, Event::Healthy), (100, Event::Sigterm)];
    let calls = timeline(&script, 60_000, |_, request| match request.call {
        Call::Register(_) => (ms(2_000), failed(true)),
        _ => (ms(10), told()),
    });
    assert_eq!(calls, ["0.0 put+ 100.1", "0.1 drain! 100.2", "10.1 drain 100.3", "15.1 delete 100.4", "15.1 exit"]);
}

#[test]
fn sigterm_does_not_wait_for_a_slow_call() {
    let script = [(0, Event::Healthy), (10_500, Event::Sigterm)];
    let calls = timeline(&script, 11_000, |_, request| match request.sequence.seq {
        2 => (ms(2_000), told()),
        _ => (ms(1), told()),
    });
    assert_eq!(calls, ["0.0 put+ 100.1", "10.0 put+ 100.2", "10.5 drain! 100.3"]);
}

#[test]
fn a_second_sigterm_skips_the_linger_and_still_deregisters() {
    let script = [(0, Event::Healthy), (1_000, Event::Sigterm), (3_000, Event::Sigterm), (3_001, Event::Sigterm)];
    let calls = timeline(&script, 60_000, |_, _| (ms(10), told()));
    assert_eq!(calls, ["0.0 put+ 100.1", "1.0 drain 100.2", "3.0 delete 100.3", "3.0 exit"]);
}

#[test]
fn ecs_word_begins_the_drain_and_sigterm_ends_the_process() {
    let well = |_: Elapsed, _: &Request| (ms(10), told());
    let script = |sigterm| [(0, Event::Healthy), (1_000, Event::Word), (sigterm, Event::Sigterm)];
    let before = ["0.0 put+ 100.1", "1.0 drain 100.2", "11.0 drain 100.3", "16.0 delete 100.4"];
    // The first SIGTERM is no second one: it shortens nothing.
    assert_eq!(timeline(&script(5_000), 200_000, well), [&before[..], &["16.0 exit"]].concat());
    // One that comes when all is said finds the process waiting.
    assert_eq!(timeline(&script(120_000), 200_000, well), [&before[..], &["120.0 exit"]].concat());
    let never = [(100, Event::Word), (9_000, Event::Sigterm)];
    assert_eq!(timeline(&never, 200_000, well), ["9.0 exit"]);
    // Only SIGTERM says when SIGKILL comes, so a registry that is away is insisted on as long.
    let dead = |at: Elapsed, _: &Request| if at < ms(500) { (ms(1), told()) } else { (ms(1), failed(true)) };
    let (_, exit, _) = play(SETTINGS, &script(50_000), 200_000, 0.0, dead);
    assert_eq!(exit, Some(ms(50_000)));
}

/// A drain at 1 s of which all know from `all_know` on, as the registry tells it.
fn drained(all_know: u64, until: u64) -> Vec<String> {
    let script = [(0, Event::Healthy), (1_000, Event::Sigterm)];
    timeline(&script, until, |at, request| {
        let drained = (request.call == Call::Drain).then_some(at >= ms(all_know));
        (ms(10), Answer::Done(Some(Registered { drained, ..registered() })))
    })
}

#[test]
fn when_all_know_of_the_drain_only_what_is_in_flight_is_waited_for() {
    assert_eq!(
        drained(1_900, 60_000),
        ["0.0 put+ 100.1", "1.0 drain 100.2", "1.5 drain 100.3", "2.0 drain 100.4", "7.0 delete 100.5", "7.0 exit"]
    );
}

#[test]
fn the_linger_ends_a_drain_of_which_somebody_does_not_know() {
    let calls = drained(60_000, 60_000);
    assert_eq!(calls[calls.len() - 2..], ["16.0 delete 100.32", "16.0 exit"], "asked twice a second");
    let late = drained(14_000, 60_000);
    assert_eq!(late.last().unwrap(), "16.0 exit", "never later than the linger");
}

#[test]
fn a_dead_app_has_nothing_to_drain() {
    let well = |_: Elapsed, _: &Request| (ms(10), told());
    let first = [(0, Event::Healthy), (1_000, Event::Dead), (1_000, Event::Unhealthy), (2_000, Event::Sigterm)];
    let calls = timeline(&first, 60_000, well);
    assert_eq!(calls, ["0.0 put+ 100.1", "1.0 put- 100.2", "2.0 delete 100.3", "2.0 exit"]);
    let meanwhile = [(0, Event::Healthy), (2_000, Event::Sigterm), (5_000, Event::Dead)];
    assert_eq!(
        timeline(&meanwhile, 60_000, well),
        ["0.0 put+ 100.1", "2.0 drain 100.2", "5.0 delete 100.3", "5.0 exit"]
    );
}

#[test]
fn one_that_stays_unhealthy_is_deregistered_if_wanted_and_comes_back_newer() {
    let settings = Settings { deregister_after: Some(ms(12_000)), ..SETTINGS };
    let script = [(0, Event::Healthy), (3_000, Event::Unhealthy), (30_000, Event::Healthy), (32_000, Event::Sigterm)];
    let (calls, exit, _) = play(settings, &script, 60_000, 0.0, |_, _| (ms(10), told()));
    assert_eq!(
        calls.iter().map(line).collect::<Vec<_>>(),
        [
            "0.0 put+ 100.1",
            "3.0 put- 100.2",
            "13.0 put- 100.3",
            "15.0 delete-unhealthy 100.4",
            "30.0 put+ 101.5",
            "32.0 drain 101.6",
            "42.0 drain 101.7",
            "47.0 delete 101.8",
        ]
    );
    assert_eq!(exit, Some(ms(47_010)));
    // Whoever is away at SIGTERM has long drained.
    let script = [(0, Event::Healthy), (3_000, Event::Unhealthy), (40_000, Event::Sigterm)];
    let (_, exit, lifecycle) = play(settings, &script, 60_000, 0.0, |_, _| (ms(10), told()));
    assert_eq!((exit, lifecycle.registered_once()), (Some(ms(40_000)), true));
    // A goodbye whose answer is lost may have been heard: what comes after it is newer all the same.
    let script = [(0, Event::Healthy), (1_000, Event::Unhealthy), (13_100, Event::Healthy)];
    let (calls, ..) =
        play(
            settings,
            &script,
            14_000,
            0.0,
            |at, _| {
                if at < ms(12_000) { (ms(10), told()) } else { (ms(10), failed(true)) }
            },
        );
    let after: Vec<_> = calls.iter().filter(|(at, _)| *at > ms(12_000)).map(line).collect();
    assert_eq!(after[..2], ["13.0 delete-unhealthy 100.4", "13.1 put+! 101.5"]);
}

#[test]
fn a_new_address_begins_when_the_old_one_is_left() {
    let script = [(0, Event::Healthy), (4_000, Event::Moves)];
    let calls = timeline(&script, 9_000, |_, _| (ms(10), told()));
    assert_eq!(calls, ["0.0 put+ 100.1", "4.0 delete 100.2", "4.0 moved", "4.0 put+ 101.3"]);
    // The registry is away: the old address is not insisted on for ever, its lease runs out.
    let calls = timeline(&script, 11_000, |at, _| {
        if (4_000..9_500).contains(&at.as_millis()) { (ms(1_900), failed(true)) } else { (ms(10), told()) }
    });
    assert_eq!(calls.iter().filter(|line| line.ends_with("moved")).count(), 1);
    assert!(calls.last().is_some_and(|line| line.contains("put+")), "{calls:?}");
    // Nothing registered, nothing to leave.
    assert_eq!(timeline(&[(1_000, Event::Moves)], 9_000, |_, _| (ms(10), told())), ["1.0 moved"]);
    // Who owns the old address keeps nobody away from the new one, and has not warned of anybody there.
    let another = |at: Elapsed, request: &Request| match at < ms(4_000) {
        true => (ms(10), superseded(request.sequence.incarnation)),
        false => (ms(10), told()),
    };
    let calls = timeline(&script, 13_000, another);
    assert_eq!(calls[3..], ["4.0 delete 103.4", "4.0 moved", "4.0 put+ 104.5"]);
    // One that drains stays where it is.
    let script = [(0, Event::Healthy), (1_000, Event::Sigterm), (2_000, Event::Moves)];
    let calls = timeline(&script, 60_000, |_, _| (ms(10), told()));
    assert!(!calls.iter().any(|line| line.ends_with("moved")), "{calls:?}");
}

#[test]
fn draining_is_insisted_on_and_then_given_up() {
    let settings = Settings { linger: ms(1_000), stop_timeout: ms(11_000), ..SETTINGS };
    let script = [(0, Event::Healthy), (1_000, Event::Sigterm)];
    let dead = |at: Elapsed, _: &Request| if at < ms(1_000) { (ms(1), told()) } else { (ms(1), failed(true)) };
    let (calls, exit, _) = play(settings, &script, 60_000, 1.0, dead);
    let of =
        |call| calls.iter().filter(|(_, made)| made.call == call).map(|(at, _)| at.as_millis()).collect::<Vec<_>>();
    assert_eq!(of(Call::Drain), [1_000, 1_501, 2_502, 3_503, 4_504, 5_505]);
    assert_eq!(of(Call::Deregister(Why::Goodbye)), [6_000, 6_501, 7_502, 8_503, 9_504]);
    assert_eq!(exit, Some(ms(10_000)), "2 s before the stop timeout");
    // One that gets through late ends the wait.
    let late = |at: Elapsed, _: &Request| {
        if (1_000..4_000).contains(&at.as_millis()) { (ms(1), failed(true)) } else { (ms(1), told()) }
    };
    assert_eq!(play(settings, &script, 60_000, 1.0, late).1, Some(ms(4_506)));
}

#[test]
fn an_outage_is_asked_through_with_patience() {
    let script = [(0, Event::Healthy)];
    let away = |at: Elapsed, _: &Request| if at < ms(60_000) { (ms(1), failed(true)) } else { (ms(1), told()) };
    let (calls, _, lifecycle) = play(SETTINGS, &script, 90_000, 1.0, away);
    let starts: Vec<_> = calls.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(starts, [0, 0, 1, 3, 7, 15, 25, 35, 45, 55, 65, 74, 83], "0.5 s doubled up to a heartbeat");
    assert!(calls[1..10].iter().all(|(_, call)| call.fresh) && !calls[12].1.fresh);
    assert_eq!(lifecycle.failures(), 0);
}

#[test]
fn news_do_not_wait_for_the_backoff() {
    let script = [(0, Event::Healthy), (26_000, Event::Unhealthy)];
    let away = |at: Elapsed, _: &Request| {
        if (1..25_900).contains(&at.as_millis()) { (ms(1), failed(false)) } else { (ms(1), told()) }
    };
    let calls = timeline(&script, 27_000, away);
    assert_eq!(calls.last().unwrap(), "26.0 put-! 100.9");
}

#[test]
fn what_a_registry_asks_for_is_bounded() {
    let later = |retry_after| {
        move |_: Elapsed, _: &Request| {
            (ms(0), Answer::Failed { reason: "503".into(), doubt: true, retry_after: Some(retry_after) })
        }
    };
    let starts = |retry_after| {
        let (calls, ..) = play(SETTINGS, &[(0, Event::Healthy)], 40_000, 0.0, later(retry_after));
        calls.iter().map(|(at, _)| at.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(starts(Duration::MAX), [0, 10_000, 20_000, 30_000, 40_000]);
    assert_eq!(starts(ms(0))[..4], [0, 250, 750, 1_750]);
    // Absurd numbers make neither a hot loop nor silence.
    for (lease_ms, heartbeat_ms) in [(0, 0), (u64::MAX, u64::MAX), (0, u64::MAX)] {
        let told =
            Registered { lease_ms, heartbeat_ms, version: String::new(), vouched: true, ..Registered::default() };
        let (calls, _, lifecycle) =
            play(SETTINGS, &[(0, Event::Healthy)], 120_000, 0.0, |_, _| (ms(1), Answer::Done(Some(told.clone()))));
        assert!((3..1_300).contains(&calls.len()), "{heartbeat_ms}: {}", calls.len());
        assert!(lifecycle.ready_until().unwrap() < ms(4_000_000));
    }
}

#[test]
fn failures_are_asked_again_once_a_second_however_short_the_heartbeat() {
    let hasty =
        Registered { lease_ms: 300, heartbeat_ms: 100, version: "v".into(), vouched: true, ..Registered::default() };
    let (calls, ..) = play(SETTINGS, &[(0, Event::Healthy)], 61_000, 1.0, |at, _| {
        if at < ms(1_000) { (ms(1), Answer::Done(Some(hasty.clone()))) } else { (ms(1), failed(true)) }
    });
    let during = calls.iter().filter(|(at, _)| *at >= ms(1_000)).count();
    assert!((55..=62).contains(&during), "{during} in a minute");
}

#[test]
fn a_refusal_is_asked_again_at_the_slowest_pace() {
    let (calls, ..) =
        play(SETTINGS, &[(0, Event::Healthy)], 35_000, 1.0, |_, _| (ms(0), Answer::Refused("400".into())));
    assert_eq!(calls.iter().map(|(at, _)| at.as_secs()).collect::<Vec<_>>(), [0, 10, 20, 30]);
}

#[test]
fn superseded_takes_the_next_incarnation_at_once() {
    let calls = timeline(&[(0, Event::Healthy)], 5_000, |_, request| match request.sequence.incarnation {
        100 => (ms(10), superseded(500)),
        _ => (ms(10), told()),
    });
    assert_eq!(calls, ["0.0 put+ 100.1", "0.0 put+ 501.2"]);
}

#[test]
fn two_owners_of_one_address_do_not_fight() {
    let another = |_: Elapsed, request: &Request| (ms(10), superseded(request.sequence.incarnation));
    let (calls, _, lifecycle) = play(SETTINGS, &[(0, Event::Healthy)], 200_000, 0.0, another);
    assert_eq!(calls.iter().map(line).collect::<Vec<_>>(), ["0.0 put+ 100.1", "0.0 put+ 101.2", "0.0 put+ 102.3"]);
    assert_eq!((lifecycle.ready_until(), lifecycle.conflict_until()), (None, Some(ms(300_030))));
    // A change of health does not end the pause, its time does.
    let script = [(0, Event::Healthy), (10_000, Event::Unhealthy)];
    let after = timeline(&script, 301_000, another);
    assert_eq!(after[3..], ["300.0 put- 103.4", "300.0 put- 104.5", "300.1 put- 105.6"]);
    // Told three times, but not within ten leases.
    let mut last = None;
    let slow = |at: Elapsed, request: &Request| {
        if last.is_some_and(|last| at < last + ms(200_000)) {
            return (ms(10), told());
        }
        last = Some(at);
        (ms(10), superseded(request.sequence.incarnation))
    };
    assert_eq!(play(SETTINGS, &[(0, Event::Healthy)], 900_000, 0.0, slow).2.conflict_until(), None);
}

#[test]
fn one_that_leaves_takes_superseded_as_done() {
    let script = [(0, Event::Healthy), (1_000, Event::Sigterm)];
    let calls = timeline(&script, 60_000, |_, request| match request.call {
        Call::Register(_) => (ms(10), told()),
        _ => (ms(10), superseded(900)),
    });
    assert_eq!(calls, ["0.0 put+ 100.1", "1.0 drain 100.2", "16.0 exit"], "requests in flight keep their linger");
}

#[test]
fn a_replica_that_cannot_vouch_is_left() {
    let unvouched = Registered {
        lease_ms: 30_000,
        heartbeat_ms: 10_000,
        version: "v".into(),
        vouched: false,
        ..Registered::default()
    };
    let calls = timeline(&[(0, Event::Healthy)], 16_900, |at, _| {
        if at < ms(6_000) { (ms(10), Answer::Done(Some(unvouched.clone()))) } else { (ms(10), told()) }
    });
    let at_once = ["0.0 put+ 100.1", "0.0 put+! 100.2", "0.0 put+! 100.3", "0.0 put+! 100.4", "0.0 put+! 100.5"];
    assert_eq!(calls[..5], at_once);
    assert_eq!(calls[5..], ["2.0 put+! 100.6", "4.1 put+! 100.7", "6.1 put+! 100.8", "16.1 put+ 100.9"]);
}

#[test]
fn a_stuck_prober_stops_the_lease() {
    let script = [(0, Event::Healthy), (12_000, Event::Stuck)];
    let calls = timeline(&script, 100_000, |_, _| (ms(10), told()));
    assert_eq!(calls, ["0.0 put+ 100.1", "10.0 put+ 100.2"]);
}

/// A deploy goes on once the new task was registered: one that came in sick would be all that is left of the old.
#[test]
fn registered_once_means_fit_once() {
    let registered = |until| {
        let script = [(0, Event::Healthy), (2_000, Event::Unhealthy), (20_000, Event::Healthy)];
        let late = |at: Elapsed, _: &Request| if at < ms(5_000) { (ms(1), failed(false)) } else { (ms(1), told()) };
        let (_, _, lifecycle) = play(SETTINGS, &script, until, 0.0, late);
        (lifecycle.known(), lifecycle.registered_once())
    };
    assert_eq!(registered(15_000), (Known::Serving(Health::Unhealthy), false));
    assert_eq!(registered(21_000), (Known::Serving(Health::Healthy), true));
}

#[test]
fn ready_is_acknowledged_healthy_and_within_the_lease() {
    let at =
        |until: u64, script: &[(u64, Event)]| {
            let (_, _, lifecycle) = play(SETTINGS, script, until, 0.0, |at, _| {
                if at < ms(21_000) { (ms(10), told()) } else { (ms(10), failed(true)) }
            });
            lifecycle.ready_until().map(|until| until.as_secs())
        };
    assert_eq!(at(500, &[]), None);
    assert_eq!(at(5_000, &[(0, Event::Healthy)]), Some(30));
    assert_eq!(at(45_000, &[(0, Event::Healthy)]), Some(50), "from the last heartbeat that was heard");
    assert_eq!(at(5_000, &[(0, Event::Healthy), (4_000, Event::Unhealthy)]), None);
    assert_eq!(at(5_000, &[(0, Event::Healthy), (4_000, Event::Sigterm)]), None);
}

/// Any answer, good or bad, quick or slow.
fn answers() -> impl Strategy<Value = Vec<(u64, Answer)>> {
    let one = prop_oneof![
        3 => Just(told()),
        1 => (any::<u64>(), any::<u64>(), any::<bool>(), any::<Option<bool>>()).prop_map(|(lease_ms, heartbeat_ms, vouched, drained)| {
            Answer::Done(Some(Registered { lease_ms, heartbeat_ms, version: String::new(), vouched, drained, ..Registered::default() }))
        }),
        1 => Just(Answer::Done(None)),
        1 => any::<u64>().prop_map(superseded),
        1 => Just(Answer::Refused("400".into())),
        2 => (any::<bool>(), proptest::option::of(0_u64..100_000)).prop_map(|(doubt, after)| Answer::Failed {
            reason: "away".into(),
            doubt,
            retry_after: after.map(Duration::from_millis),
        }),
    ];
    prop::collection::vec((0_u64..2_000, one), 1..40)
}

fn scripts() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let one = prop_oneof![
        3 => Just(Event::Healthy),
        3 => Just(Event::Unhealthy),
        1 => Just(Event::Stuck),
        1 => Just(Event::Moves),
        1 => Just(Event::Dead),
    ];
    prop::collection::vec((0_u64..60_000, one), 0..12)
}

proptest! {
    #[test]
    fn whatever_the_registry_answers(
        answers in answers(),
        mut script in scripts(),
        stop in 0_u64..60_000,
        word in proptest::option::of(0_u64..60_000),
        deregister_after in proptest::option::of(0_u64..30_000),
        again in proptest::option::of(0_u64..60_000),
        linger in 0_u64..100_000,
        inflight in 0_u64..100_000,
        spare in 10_000_u64..40_000,
        jitter in 0.0..1.0,
    ) {
        let settings = Settings {
            linger: ms(linger),
            inflight: ms(inflight),
            stop_timeout: ms(linger + spare),
            deregister_after: deregister_after.map(ms),
            patience: ms(4_000),
        };
        script.push((stop, Event::Sigterm));
        script.extend(word.map(|at| (at, Event::Word)));
        script.extend(again.map(|later| (stop + later, Event::Sigterm)));
        let mut answers = answers.into_iter().cycle();
        let (calls, exit, _) = play(settings, &script, 400_000, jitter, |_, _| {
            let (latency, answer) = answers.next().unwrap();
            (ms(latency), answer)
        });
        let exit = exit.expect("it exits");
        prop_assert!(exit <= ms(stop + linger + spare - 1_999), "exits 2 s before the stop timeout");
        let calls: Vec<_> = calls.into_iter().filter(|(_, made)| *made != MOVED).collect();
        for pair in calls.windows(2) {
            prop_assert!(pair[0].1.sequence < pair[1].1.sequence, "each call is newer than the one before");
        }
        let after: Vec<_> = calls.iter().filter(|(at, _)| *at > ms(stop.min(word.unwrap_or(stop)))).map(|(_, made)| made.call).collect();
        prop_assert!(!after.iter().any(|call| matches!(call, Call::Register(_))), "nothing revives what drains");
        prop_assert!(after.is_sorted_by_key(|call| matches!(call, Call::Deregister(_))), "no drain after the deregister");
    }
}
