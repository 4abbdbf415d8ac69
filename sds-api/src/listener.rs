//! The listeners: one for all, or some of them apart, so that a network decides who may register and who may look.
//!
//! A route belongs to listeners. Of these each that is open serves it; where one is not, the main one stands in for it. So
//! without any option all is at `SDS_LISTEN`, and each variable takes its routes away from there. Health is everywhere.

use std::{fmt, str::FromStr};

/// A listener, whether it is open or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Polls and lists, and what no other takes.
    Main,
    /// What registrants send, and what replicas ask each other.
    Write,
    /// What people and their tools use.
    Admin,
    /// Discovery streams.
    Xds,
}

impl Listener {
    /// The main one first.
    pub const ALL: [Self; 4] = [Self::Main, Self::Write, Self::Admin, Self::Xds];

    /// In a list of listeners.
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Xds => "xds",
        }
    }

    /// What opens it.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Main => "SDS_LISTEN",
            Self::Write => "SDS_WRITE_LISTEN",
            Self::Admin => "SDS_ADMIN_LISTEN",
            Self::Xds => "SDS_XDS_LISTEN",
        }
    }

    /// What belongs to it, in words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Main => "polls and lists",
            Self::Write => "registrations",
            Self::Admin => "operators",
            Self::Xds => "discovery streams",
        }
    }

    /// Who serves what belongs to it, of those that are open.
    pub fn served_at(self, open: &[Self]) -> Self {
        if open.contains(&self) { self } else { Self::Main }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.variable(), self.what())
    }
}

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|listener| listener.name() == text);
        known.ok_or_else(|| format!("'{}' is not one of main, write, admin, xds", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::Listener::{self, Admin, Main, Write, Xds};

    #[test]
    fn the_main_one_stands_in_for_those_that_are_not_open() {
        let at = |open: &[Listener]| Listener::ALL.map(|listener| listener.served_at(open));
        assert_eq!(at(&[Main]), [Main; 4]);
        assert_eq!(at(&[Main, Write]), [Main, Write, Main, Main]);
        assert_eq!(at(&Listener::ALL), [Main, Write, Admin, Xds]);
    }

    #[test]
    fn names_are_read() {
        assert!(Listener::ALL.iter().all(|listener| listener.name().parse() == Ok(*listener)));
        assert!("Main".parse::<Listener>().is_err());
    }
}
