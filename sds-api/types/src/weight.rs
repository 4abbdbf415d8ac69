//! An instance's share of its service's traffic, relative to its neighbours'.

use std::fmt;

use crate::error::Invalid;

/// 1 to 100, as Envoy's v1 schema has it: 0 or 101 makes an Envoy refuse the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Weight(u8);

impl Weight {
    /// The weight as a number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for Weight {
    type Error = Invalid;

    fn try_from(n: i64) -> Result<Self, Invalid> {
        match u8::try_from(n) {
            Ok(weight @ 1..=100) => Ok(Self(weight)),
            _ => Err(Invalid::new("InvalidWeight", "weight", format!("{n} is not a weight: an integer from 1 to 100"))),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_one_to_a_hundred() {
        assert_eq!(
            [0, 1, 100, 101, 256, 257, -1].map(|n| Weight::try_from(n).is_ok()),
            [false, true, true, false, false, false, false]
        );
    }
}
