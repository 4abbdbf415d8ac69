//! The loss guard: many that fall silent together are more likely a cut of ours than a death of theirs, so they are held.
//!
//! It counts the late, not the dropped: deadlines lie spread over a heartbeat, so that by counting drops all would go, one
//! by one. An instance that was held stays so until it is heard or leaves by a word (its owner's, ECS's), at most for
//! `SDS_HOLD_MAX`: after a real scale-in the guard ends by itself. One or two that die in a small service are not held.

/// How many of a group there are, and how many of them are late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All in service.
    pub all: usize,
    /// Late among them.
    pub late: usize,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, late: bool) {
        self.all += 1;
        self.late += usize::from(late);
    }

    /// Whether this is a loss within a service.
    pub fn is_loss_of_service(self) -> bool {
        self.is_loss(3)
    }

    /// Whether this is a loss of the registry.
    pub fn is_loss_of_registry(self) -> bool {
        self.is_loss(5)
    }

    fn is_loss(self, least: usize) -> bool {
        self.late >= least && self.late * 10 > self.all * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_three_and_more_than_three_tenths() {
        let loss = |late, all| Tally { all, late }.is_loss_of_service();
        assert_eq!([loss(2, 2), loss(3, 3), loss(3, 10), loss(4, 10), loss(6, 20)], [false, true, false, true, false]);
        assert!(!Tally { all: 4, late: 4 }.is_loss_of_registry());
        assert!(Tally { all: 16, late: 5 }.is_loss_of_registry());
    }
}
