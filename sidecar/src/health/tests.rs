//! Probes as text, beliefs as text: `+` pass, `-` fail, `?` unknown give `H`, `U` for a change, else `.`.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn health(rise: u32, fall: u32, start_period: Duration) -> Health {
    Health::new(Thresholds { rise, fall, start_period })
}

/// One letter per probe, `step` apart.
fn trace(mut health: Health, step: Duration, probes: &str) -> String {
    let look = |(nth, probe): (usize, char)| {
        let probe = match probe {
            '+' => Probe::Pass,
            '-' => Probe::Fail("refused".into()),
            _ => Probe::Unknown("no descriptors".into()),
        };
        match (health.observe(step * nth as u32, &probe), health.belief) {
            (false, _) => '.',
            (true, Some(Belief::Healthy)) => 'H',
            (true, _) => 'U',
        }
    };
    probes.chars().enumerate().map(look).collect()
}

#[test]
fn rise_and_fall() {
    for (probes, changes) in [
        ("++-----++", "H...U...H"),
        ("+--+--+--+", "H........."),
        ("+---+-+-++", "H..U.....H"),
        ("+---+---++", "H..U.....H"),
        ("+--?-", "H...U"),
        ("+---+?+", "H..U..H"),
        ("???+", "...H"),
        ("", ""),
    ] {
        // Far enough apart that nothing counts as flapping.
        assert_eq!(trace(health(2, 3, MINUTE * 600), MINUTE * 10, probes), changes, "{probes}");
    }
}

#[test]
fn the_start_period_forgives_only_an_app_that_has_not_passed() {
    let second = Duration::from_secs(1);
    let after = |seconds, probes| trace(health(2, 3, second * seconds), second, probes);
    assert_eq!(after(6, "-----+"), ".....H");
    assert_eq!(after(6, "+---"), "H..U");
    assert_eq!(after(3, "------++"), ".....U.H");
    assert_eq!(after(0, "--+"), "..H", "not believed unhealthy yet, so still the first pass");
}

#[test]
fn an_app_that_never_passed_is_nobodys_business() {
    let mut health = health(2, 1, Duration::ZERO);
    assert!(health.observe(Duration::ZERO, &Probe::Fail("refused".into())));
    assert_eq!(health.belief(), None);
}

#[test]
fn trust_comes_back_at_most_once_in_ten_seconds() {
    let second = Duration::from_secs(1);
    //                                                      0123456789a
    assert_eq!(trace(health(2, 3, MINUTE), second, "+---+++++++++"), "H..U......H..");
    assert_eq!(trace(health(2, 3, MINUTE), second, "+---++++++-++"), "H..U........H", "passes in a row all the same");
    assert_eq!(trace(health(1, 1, MINUTE), second, "+-++++++++++-"), "HU........H.U", "a drop is never delayed");
}

#[test]
fn one_that_flaps_needs_more_passes_each_time_up_to_ten() {
    let step = Duration::from_secs(12);
    let mut expected = String::from("HU.HU...HU.........H");
    let probes: String = expected.chars().map(|c| if c == 'U' { '-' } else { '+' }).collect();
    assert_eq!(trace(health(2, 1, MINUTE), step, &probes), expected.clone(), "2, 4 and, instead of 16, 10 passes");
    // Five quiet minutes make it one like any other again.
    expected.push_str(&".".repeat(25));
    expected.push_str("U.H");
    let probes: String = expected.chars().map(|c| if c == 'U' { '-' } else { '+' }).collect();
    assert_eq!(trace(health(2, 1, MINUTE), step, &probes), expected);
}

#[test]
fn a_dead_app_needs_no_failed_probes() {
    let mut health = health(2, 3, MINUTE);
    assert!(!health.died(Duration::ZERO) && health.wavers());
    health.observe(Duration::ZERO, &Probe::Pass);
    assert!(!health.wavers());
    assert!(health.died(Duration::ZERO) && !health.died(Duration::ZERO));
    assert_eq!(health.belief(), Some(Belief::Unhealthy));
}

#[test]
fn a_container_that_takes_its_place_starts_anew() {
    let second = Duration::from_secs(1);
    let mut health = health(2, 3, second * 5);
    let fail = Probe::Fail("refused".into());
    health.observe(second, &Probe::Pass);
    health.observe(second * 100, &fail);
    health.replaced(second * 101);
    assert!(health.belief().is_none() && health.wavers());
    for nth in 102..106 {
        assert!(!health.observe(second * nth, &fail), "it has a start period of its own");
    }
    assert!(health.observe(second * 106, &Probe::Pass) && health.belief() == Some(Belief::Healthy));
    // Trust comes back at most once in ten seconds, whoever is trusted.
    health.replaced(second * 107);
    assert!(!health.observe(second * 115, &Probe::Pass));
    assert!(health.observe(second * 116, &Probe::Pass));
}

proptest! {
    #[test]
    fn whatever_an_app_does(probes in prop::collection::vec(0..3_u8, 1..400), rise in 1..12_u32, fall in 1..5_u32) {
        let (mut health, mut trusted, mut failures) = (health(rise, fall, Duration::ZERO), None, 0);
        for (nth, probe) in probes.into_iter().enumerate() {
            let now = Duration::from_secs(nth as u64);
            let probe = match probe {
                0 => Probe::Pass,
                1 => Probe::Fail(String::new()),
                _ => Probe::Unknown(String::new()),
            };
            failures = match probe { Probe::Pass => 0, Probe::Fail(_) => failures + 1, Probe::Unknown(_) => failures };
            let changed = health.observe(now, &probe);
            if changed && health.belief == Some(Belief::Healthy) {
                prop_assert!(trusted.is_none_or(|at| now >= at + TRUST_PAUSE));
                trusted = Some(now);
            }
            prop_assert!(failures < fall || health.belief == Some(Belief::Unhealthy), "a drop was delayed");
        }
    }
}
