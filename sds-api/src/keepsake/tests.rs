use std::sync::Arc;

use proptest::prelude::*;
use sds_types::{Label, Sequence};

use super::*;
use crate::instance::{Content, Key, Origin, Override, Registration, Standing, Status};

fn row(n: u64) -> Row {
    let content = Content {
        weight: n.is_multiple_of(2).then(|| 7.try_into().unwrap()),
        canary: n.is_multiple_of(3),
        revision: Label::parse("revision", "r\"1\\").unwrap(),
        ..Content::default()
    };
    let standing = Registration {
        status: [Status::Healthy, Status::Unhealthy, Status::Draining][(n % 3) as usize],
        content: Arc::new(content),
        origin: [Origin::Native, Origin::Cookpad, Origin::Lyft, Origin::Kumonos][(n % 4) as usize],
        lost: false,
        expire_time: n,
    };
    let word = Override {
        status: Some(Status::Draining),
        weight: None,
        canary: Some(true),
        reason: Label::parse("reason", "disk").unwrap(),
        who: Label::parse("who", "").unwrap(),
        until: n,
        tenant: "1".into(),
    };
    Row {
        key: Key { service: "web".parse().unwrap(), endpoint: format!("10.0.0.1:{}", n % 60_000 + 1).parse().unwrap() },
        at: Sequence { incarnation: n, seq: n },
        rev: n,
        standing: Standing::In(standing),
        operator: n.is_multiple_of(5).then(|| Arc::new(word)),
    }
}

fn kept(rows: u64) -> Kept {
    Kept { rows: (0..rows).map(row).collect(), taken: Timestamp::of_seconds(1_700_000_000) }
}

#[test]
fn what_is_kept_is_read() {
    let kept = kept(100);
    assert_eq!(decode(&encode(&kept)).unwrap(), kept);
}

#[test]
fn a_torn_file_is_no_snapshot_and_a_bad_row_only_no_row() {
    let whole = encode(&kept(10));
    for end in 0..whole.len() {
        assert!(decode(&whole[..end]).is_err(), "{end} bytes of {} were read", whole.len());
    }
    let text = String::from_utf8(whole.to_vec()).unwrap();
    let spoilt = text.replacen("10.0.0.1:3\"", "10.0.0.1:0\"", 1);
    assert_eq!(decode(spoilt.as_bytes()).unwrap().rows.len(), 9);
    for other in ["", "{}", "{\"sds_snapshot\":2,\"taken_ms\":1,\"rows\":0}", "SQLite format 3"] {
        assert!(decode(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn a_file_is_written_in_one_stroke_and_too_old_a_one_is_refused() {
    let path = std::env::temp_dir().join(format!("sds-keepsake-{}", std::process::id()));
    let (now, day) = (Timestamp::of_seconds(1_700_000_100), Duration::from_secs(86_400));
    assert!(read(&path, day, now).unwrap().is_none());
    write(&path, &kept(3)).unwrap();
    write(&path, &kept(5)).unwrap();
    assert_eq!(read(&path, day, now).unwrap(), Some(kept(5)));
    assert!(matches!(read(&path, Duration::from_secs(99), now), Err(Unusable::Old(_))));
    fs::remove_file(path).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..2000usize, byte: u8) {
        let _ = decode(&bytes);
        let mut whole = encode(&kept(6)).to_vec();
        if let Some(spoilt) = whole.get_mut(at) {
            *spoilt = byte;
        }
        let _ = decode(&whole);
    }
}
