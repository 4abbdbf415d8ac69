//! Whether what the files hold now is to be served. Pure.
//!
//! A certificate and its key are two files, replaced one after the other: what is wrong at one look only is not worth a
//! word. What is wrong at two looks on end is told once, until it is wrong in another way.

use std::fmt::Debug;

use sds_types::command::Misconfigured;

/// What one look comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<K> {
    /// What is served already.
    Same,
    /// To be served from now on.
    Taken(K),
    /// It cannot be served: what was served before stays, and this is to be told.
    Refused(Misconfigured),
    /// The same, and told already, or perhaps soon over.
    Awaited,
}

/// What is served, and what was seen beside it.
#[derive(Debug)]
pub struct Reload<M> {
    served: M,
    /// What is wrong now, and whether it was told.
    wrong: Option<(Misconfigured, bool)>,
}

impl<M: PartialEq + Debug> Reload<M> {
    /// `served` is in service.
    pub fn new(served: M) -> Self {
        Self { served, wrong: None }
    }

    /// A look at the files brought `read`, of which `keys` makes what can be served.
    pub fn look<K>(
        &mut self,
        read: Result<M, Misconfigured>,
        keys: impl FnOnce(&M) -> Result<K, Misconfigured>,
    ) -> Verdict<K> {
        let (read, made) = match read {
            Ok(read) if read == self.served => {
                self.wrong = None;
                return Verdict::Same;
            }
            Ok(read) => match keys(&read) {
                Ok(made) => (read, made),
                Err(wrong) => return self.refuse(wrong),
            },
            Err(wrong) => return self.refuse(wrong),
        };
        (self.served, self.wrong) = (read, None);
        Verdict::Taken(made)
    }

    /// Whether something was told to be wrong and still is.
    pub fn is_refused(&self) -> bool {
        matches!(self.wrong, Some((_, true)))
    }

    fn refuse<K>(&mut self, wrong: Misconfigured) -> Verdict<K> {
        let told = matches!(&self.wrong, Some((before, true)) if *before == wrong);
        let tell = self.wrong.is_some() && !told;
        self.wrong = Some((wrong.clone(), told || tell));
        if tell { Verdict::Refused(wrong) } else { Verdict::Awaited }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `read` is what the files hold, `!` in it what makes it bad; `-` for a file that is not there. A look comes to `=`
    /// (same), `>` (taken), `!` (refused) or `.` (awaited).
    fn looks(reads: &[&'static str]) -> String {
        let mut reload = Reload::new("a");
        let wrong = |reason: &str| Misconfigured::new("SDS_TLS_CERT", reason);
        let mut look = |read: &'static str| {
            let file = if read == "-" { Err(wrong("no such file")) } else { Ok(read) };
            match reload.look(file, |read| if read.contains('!') { Err(wrong(read)) } else { Ok(*read) }) {
                Verdict::Same => '=',
                Verdict::Taken(keys) => {
                    assert_eq!(keys, read);
                    '>'
                }
                Verdict::Refused(_) => {
                    assert!(reload.is_refused());
                    '!'
                }
                Verdict::Awaited => '.',
            }
        };
        reads.iter().map(|read| look(read)).collect()
    }

    #[test]
    fn what_fits_is_taken_and_what_does_not_is_told_once() {
        for (reads, verdicts) in [
            (&["a", "a", "b", "b", "a"][..], "==>=>"),
            // Half of a pair for one look.
            (&["b!", "b", "b"], ".>="),
            (&["-", "a"], ".="),
            (&["b!", "b!", "b!", "b!", "a", "b!", "b!"], ".!..=.!"),
            // Wrong in another way.
            (&["b!", "b!", "-", "-", "c!", "c"], ".!!.!>"),
        ] {
            assert_eq!(looks(reads), verdicts, "{reads:?}");
        }
    }

    #[test]
    fn it_is_refused_as_long_as_it_is_wrong() {
        let mut reload = Reload::new(1);
        let mut look = |read: u8| {
            let bad = |_: &u8| Err::<(), _>(Misconfigured::new("SDS_TLS_KEY", "is no key"));
            let _ = reload.look(Ok(read), bad);
            reload.is_refused()
        };
        assert_eq!([look(2), look(2), look(2), look(1)], [false, true, true, false]);
    }
}
