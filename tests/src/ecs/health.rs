//! Docker's rules for a container's health, given one result after another: failures within the start period do not
//! count, the first pass ends "starting", and `retries` failures in a row make it unhealthy.

use std::time::Duration;

/// What ECS takes a container or a task for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Docker says "starting", or there is no check.
    Unknown,
    /// Passed.
    Healthy,
    /// Failed often enough.
    Unhealthy,
}

/// The results so far.
#[derive(Debug)]
pub struct Record {
    health: Health,
    failures: u32,
    retries: u32,
    start_period: Duration,
}

impl Record {
    /// Nothing is known yet.
    pub fn new(retries: u32, start_period: Duration) -> Self {
        Self { health: Health::Unknown, failures: 0, retries, start_period }
    }

    /// Takes a result, `age` after the container's start.
    pub fn observe(&mut self, age: Duration, passed: bool) -> Health {
        if passed {
            (self.health, self.failures) = (Health::Healthy, 0);
        } else if self.health != Health::Unknown || age >= self.start_period {
            self.failures += 1;
            if self.failures >= self.retries {
                self.health = Health::Unhealthy;
            }
        }
        self.health
    }

    /// What is believed now.
    pub fn health(&self) -> Health {
        self.health
    }
}

/// A task's health from that of its essential containers with a check; without any, time decides.
pub fn of_task(checked: impl Iterator<Item = Health>, trusted: bool) -> Health {
    let mut none = true;
    let mut all = true;
    for health in checked {
        none = false;
        match health {
            Health::Unhealthy => return Health::Unhealthy,
            Health::Unknown => all = false,
            Health::Healthy => {}
        }
    }
    if all && (!none || trusted) { Health::Healthy } else { Health::Unknown }
}
