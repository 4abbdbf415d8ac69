//! Somebody empties the table. That shows by this replica's own header, and whoever deletes row by row is still at it then:
//! a read at once finds most rows where they were. So the table is read twice a heartbeat, until the reads of a lease
//! found everything.

/// Whether such reads are due.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alarm(u32);

/// A lease's worth of them.
const READS: u32 = 6;
/// So many are made in a heartbeat.
pub const A_HEARTBEAT: u32 = 2;

impl Alarm {
    /// It begins.
    pub fn raised() -> Self {
        Self(READS)
    }

    /// A read lacked so many rows that were there before.
    #[must_use]
    pub fn after(self, missed: usize) -> Self {
        if self.rings() && missed > 0 { Self::raised() } else { Self(self.0.saturating_sub(1)) }
    }

    /// It has not ended.
    pub fn rings(self) -> bool {
        self.0 > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_six_reads_that_missed_nothing_and_no_read_raises_it() {
        let mut alarm = Alarm::raised();
        let mut reads = |missed: &[usize]| {
            missed.iter().for_each(|missed| alarm = alarm.after(*missed));
            alarm.rings()
        };
        assert!(reads(&[0; 5]) && reads(&[5, 0, 0, 0, 0, 0]) && !reads(&[0]) && !reads(&[7]));
    }
}
