//! What ECS's scheduler does next for a service: which tasks to start and which to stop, between the minimum healthy and
//! the maximum percent. New tasks come first, and a healthy old one is stopped only when enough others are healthy.

use super::health::Health;

/// A service's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tasks that there should be.
    pub desired: usize,
    /// Percent of them that stay healthy in a deploy, rounded up.
    pub minimum_healthy_percent: usize,
    /// Percent of them that may run in a deploy, rounded down.
    pub maximum_percent: usize,
}

/// A task that has not been told to stop.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Of the revision that is wanted.
    pub current: bool,
    /// What ECS takes it for.
    pub health: Health,
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Tasks to start.
    pub start: usize,
    /// Tasks to stop, by their place.
    pub stop: Vec<usize>,
}

/// The moves for the tasks that have not been told to stop.
pub fn moves(limits: Limits, tasks: &[Seen]) -> Moves {
    let lower = (limits.desired * limits.minimum_healthy_percent).div_ceil(100);
    let upper = limits.desired * limits.maximum_percent / 100;
    let count = |what: fn(&Seen) -> bool| tasks.iter().filter(|task| what(task)).count();
    let fit = count(|task| task.current && task.health != Health::Unhealthy);
    let serving = count(|task| task.current && task.health == Health::Healthy);
    let start = limits.desired.saturating_sub(fit).min(upper.saturating_sub(tasks.len()));
    let full = start == 0 && fit < limits.desired;

    let mut healthy = count(|task| task.health == Health::Healthy);
    let mut stop = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        let goes = match (task.current, task.health) {
            (false, Health::Healthy) => healthy > lower,
            (false, _) => true,
            // Its replacement comes first, if there is room for one.
            (true, Health::Unhealthy) => serving >= limits.desired || full,
            (true, _) => false,
        };
        if goes {
            healthy -= usize::from(task.health == Health::Healthy);
            stop.push(at);
        }
    }
    Moves { start, stop }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Old tasks are `h` healthy, `u` unknown, `x` unhealthy; new ones the same in capitals.
    fn told(limits: (usize, usize, usize), tasks: &str) -> String {
        let seen: Vec<Seen> = tasks
            .chars()
            .map(|c| {
                let health = match c.to_ascii_lowercase() {
                    'h' => Health::Healthy,
                    'u' => Health::Unknown,
                    _ => Health::Unhealthy,
                };
                Seen { current: c.is_ascii_uppercase(), health }
            })
            .collect();
        let (desired, minimum_healthy_percent, maximum_percent) = limits;
        let Moves { start, stop } = moves(Limits { desired, minimum_healthy_percent, maximum_percent }, &seen);
        format!("+{start} -{stop:?}")
    }

    #[test]
    fn deploys() {
        let default = (3, 100, 200);
        assert_eq!(told(default, ""), "+3 -[]");
        assert_eq!(told(default, "hhh"), "+3 -[]");
        assert_eq!(told(default, "hhhUUU"), "+0 -[]");
        assert_eq!(told(default, "hhhHUU"), "+0 -[0]");
        assert_eq!(told(default, "hhHHU"), "+0 -[0]");
        assert_eq!(told(default, "hhHHH"), "+0 -[0, 1]");
        assert_eq!(told(default, "HHH"), "+0 -[]");
        // Room for one more only, and for none.
        assert_eq!(told((3, 100, 150), "hhh"), "+1 -[]");
        assert_eq!(told((3, 50, 100), "hhh"), "+0 -[0]");
    }

    #[test]
    fn the_unhealthy_are_replaced() {
        assert_eq!(told((2, 100, 200), "HX"), "+1 -[]");
        assert_eq!(told((2, 100, 200), "HXU"), "+0 -[]");
        assert_eq!(told((2, 100, 200), "HXH"), "+0 -[1]");
        assert_eq!(told((2, 50, 100), "HX"), "+0 -[1]");
        // An old one that is of no use costs nothing to stop.
        assert_eq!(told((2, 100, 200), "hxUU"), "+0 -[1]");
    }
}
