//! Plays the inputs of one kind against a target: first those that are kept, then random changes of them. There is no
//! coverage to guide it as a real fuzzer has (that takes a nightly compiler); the kept inputs are its guide.

use std::{fs, path::PathBuf};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestError, TestRunner},
};

/// What happens to an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Insert(Index, u8),
    Cut(Index, usize),
    Repeat(Index, usize, usize),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Self::Set(at, byte) => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Self::Insert(at, byte) => bytes.insert(place(at), *byte),
            Self::Cut(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at);
                let part = bytes[at..(at + length).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, part);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![any::<u8>(), select(b"{}[]()\"',:;\\/%.+-_#*= \t\r\n\0\x7f\x80\xff019aAeE".to_vec())];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (any::<Index>(), 1..9_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), 1..9_usize, 1..99_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
    ]
}

/// Two kept inputs, the second of them cut into the first, with some edits; or anything.
fn changed(kept: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let whole = (select(kept.clone()), vec(edit(), 0..6));
    let mixed = (select(kept.clone()), any::<Index>(), select(kept), any::<Index>());
    prop_oneof![
        6 => whole.prop_map(|(mut bytes, edits)| {
            edits.iter().for_each(|edit| edit.apply(&mut bytes));
            bytes
        }),
        2 => mixed.prop_map(|(one, from, other, to)| {
            [&one[..from.index(one.len() + 1)], &other[to.index(other.len() + 1)..]].concat()
        }),
        1 => vec(any::<u8>(), 0..99),
    ]
}

/// Calls `target`, which panics at what is wrong, with all inputs of a kind that are kept and many that are not.
pub fn play(kind: &str, target: impl Fn(&[u8])) {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = here.ancestors().map(|dir| dir.join("corpus").join(kind)).find(|dir| dir.exists());
    let folder = folder.expect("a folder of kept inputs");
    let mut kept = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let bytes = fs::read(path).unwrap();
        target(&bytes);
        kept.push(bytes);
    }
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&changed(kept), |bytes| {
        target(&bytes);
        Ok(())
    });
    if let Err(TestError::Fail(reason, bytes)) = outcome {
        let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        let path = folder.join(format!("found-{sum:08x}"));
        fs::write(&path, &bytes).unwrap();
        panic!("{reason}\nby {}, kept as {}", bytes.escape_ascii(), path.display());
    }
    outcome.unwrap();
}
