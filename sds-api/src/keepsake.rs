//! The last snapshot, for a start without the store: what was in service when it was last known to be true, in a file of
//! this machine or from a sibling replica.
//!
//! One JSON object a line, the first one says how many follow: a torn file is an error, never half a fleet. Of a newer
//! release's file unknown fields are ignored, missing ones are unset; a row that cannot be read is left out and counted.

mod row;
mod sibling;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, instance::Row};
use row::Line;

pub use sibling::{Peers, fetch};

const FORMAT: u32 = 1;

/// Rows in service, and when they were known to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// In any order.
    pub rows: Vec<Row>,
    /// When the truth in it was fresh.
    pub taken: Timestamp,
}

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else, of a format of another time, or torn.
    #[error("not a whole snapshot: {0}")]
    Broken(String),
    /// It is older than it may be.
    #[error("it is {0:?} old")]
    Old(Duration),
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    sds_snapshot: u32,
    taken_ms: u64,
    rows: usize,
}

/// Writes it in one stroke: a reader finds the old one or the new one.
pub fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let mut file = BufWriter::new(File::create(beside)?);
    write_to(&mut file, kept)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(beside, path)
}

/// Reads it; nothing if there is no such file.
pub fn read(path: &Path, max_age: Duration, now: Timestamp) -> Result<Option<Kept>, Unusable> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let kept = read_from(BufReader::new(file))?;
    let age = now.since(kept.taken);
    if age > max_age { Err(Unusable::Old(age)) } else { Ok(Some(kept)) }
}

/// The same bytes, for a sibling.
pub fn encode(kept: &Kept) -> Bytes {
    let mut bytes = Vec::new();
    // Memory takes all that is written.
    let _ = write_to(&mut bytes, kept);
    bytes.into()
}

/// Reads them.
pub fn decode(bytes: &[u8]) -> Result<Kept, Unusable> {
    read_from(bytes)
}

fn write_to(mut to: impl Write, kept: &Kept) -> io::Result<()> {
    let in_service = || kept.rows.iter().filter_map(Line::of);
    let head = Head { sds_snapshot: FORMAT, taken_ms: kept.taken.millis(), rows: in_service().count() };
    serde_json::to_writer(&mut to, &head)?;
    for line in in_service() {
        to.write_all(b"\n")?;
        serde_json::to_writer(&mut to, &line)?;
    }
    to.write_all(b"\n")
}

fn read_from(mut from: impl BufRead) -> Result<Kept, Unusable> {
    let broken = |reason: &dyn std::fmt::Display| Unusable::Broken(reason.to_string());
    let mut line = String::new();
    // A line without its end is torn.
    let mut next = |line: &mut String| -> Result<bool, Unusable> {
        line.clear();
        Ok(from.read_line(line)? > 0 && line.ends_with('\n'))
    };
    if !next(&mut line)? {
        return Err(broken(&"it has no first line"));
    }
    let head: Head = serde_json::from_str(&line).map_err(|e| broken(&e))?;
    if head.sds_snapshot != FORMAT {
        return Err(broken(&format_args!("format {}", head.sds_snapshot)));
    }
    let (mut rows, mut found, mut left_out) = (Vec::new(), 0, 0);
    while next(&mut line)? {
        found += 1;
        match serde_json::from_str::<Line<'_>>(&line).ok().and_then(Line::row) {
            Some(row) => rows.push(row),
            None => left_out += 1,
        }
    }
    if found != head.rows {
        return Err(broken(&format_args!("{found} of {} rows", head.rows)));
    }
    if left_out > 0 {
        tracing::warn!(left_out, "rows of the snapshot could not be read");
    }
    Ok(Kept { rows, taken: Timestamp::of_millis(head.taken_ms) })
}

#[cfg(test)]
mod tests;
