//! A wrong wall clock for one process: Debian's libfaketime, preloaded. The monotonic clock stays right, as it does on a
//! machine whose wall clock is wrong.

use std::path::{Path, PathBuf};

use crate::place;

const NAME: &str = "libfaketimeMT.so.1";

/// Where it is, if this machine has it (`apt-get install libfaketime`, or `FAKETIME_LIB` names it).
pub fn library() -> Option<PathBuf> {
    let named = place::var("FAKETIME_LIB").map(PathBuf::from);
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"];
    named.into_iter().chain(folders.map(|folder| Path::new(folder).join(NAME))).find(|file| file.exists())
}

/// The environment of a process whose wall clock is so many seconds ahead, or behind if that is negative.
pub fn env(library: &Path, ahead: i64) -> [(String, String); 3] {
    [
        ("LD_PRELOAD".to_owned(), library.to_string_lossy().into_owned()),
        ("FAKETIME".to_owned(), format!("{ahead:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ]
}
