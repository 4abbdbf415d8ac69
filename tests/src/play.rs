//! Runs one test: gives it a stage, and shows the logs when it fails.
//!
//! Tests that measure time, or that need every request of theirs to succeed, play alone; all others share the machine.
//! The lock is a file, so that two runs of `cargo test` in one checkout respect each other too.

use std::{fs::File, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use crate::{
    calm::{Calm, STALL},
    place,
    programs::Programs,
    stage::Stage,
};

/// Whether others may run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With other tests.
    Shared,
    /// With no other test.
    Alone,
}

/// Plays a test to its end; panics with what went wrong and the logs of all that it had started.
///
/// A failure while the machine stood still is repeated once.
pub fn play(name: &str, programs: Programs, pace: Pace, test: impl AsyncFn(&Stage) -> anyhow::Result<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _turn = turn(pace).expect("the lock file");
    for last in [false, true] {
        let stage = Stage::new(name, programs.clone()).expect("a stage");
        let calm = Calm::watch();
        let outcome = runtime.block_on(AssertUnwindSafe(test(&stage)).catch_unwind());
        let failure = match outcome {
            Ok(Ok(())) => match stage.log_book().told() {
                None => return,
                Some(told) => panic!("{name}: {told}"),
            },
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => text(&*panic),
        };
        let stall = calm.longest();
        eprintln!("{}", stage.log_book().tails());
        if last || stall < STALL {
            panic!("{name}: {failure}\n(longest stall of the machine: {stall:?}; logs above)");
        }
        eprintln!("{name}: {failure}\nThe machine stood still for {stall:?} meanwhile: once more.");
    }
}

fn turn(pace: Pace) -> anyhow::Result<File> {
    let file = place::lock_file("machine.lock")?;
    match pace {
        Pace::Shared => file.lock_shared()?,
        Pace::Alone => file.lock()?,
    }
    Ok(file)
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "panicked".to_owned())
}
