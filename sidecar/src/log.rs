//! The log, on stdout, one line an event.
//!
//! Whoever takes it may be stuck: a log driver that blocks while its service is away leaves the pipe full, and a write
//! would wait in the one thread that sends heartbeats and hears SIGTERM. So a line that stdout does not take at once is
//! lost, which costs less than the instance. One that is gone altogether loses all lines and stops nothing either.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config;

/// A pipe that is ready takes as much at once (PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Logs from here on.
pub fn start(log: &config::Log) {
    let filter: Targets = log.filter.parse().unwrap_or_default();
    let writer = || Unblocked;
    let (text, json) = match log.json {
        false => (Some(fmt::layer().with_writer(writer)), None),
        true => (None, Some(fmt::layer().with_writer(writer).json().flatten_event(true).with_span_list(false))),
    };
    // An error says that the process logs already, as a test does.
    let _ = tracing_subscriber::registry().with(filter).with(text).with(json).try_init();
}

/// Stdout, as far as it can be written to without waiting.
struct Unblocked;

impl Write for Unblocked {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stdout = io::stdout();
        let ready = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&Timespec::default()))? > 0;
        if !ready {
            return Ok(line.len());
        }
        Ok(rustix::io::write(&stdout, line.get(..AT_ONCE).unwrap_or(line))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
