//! Pages: whom a replica heard since its last flush, and how long ago, in eight bytes an instance.
//!
//! A page is bytes of a format of our own, because it is most of what the registry writes. Big-endian: format (1), unit of
//! ages in ms (2), beat (8), chunk (2), chunks (2), then buckets of age in units (2), count (4), and so many hashes (8).
//! A hash names an ip:port of a service *and* its incarnation, so that a former tenant's heartbeats keep nobody alive.

use std::{collections::BTreeMap, time::Duration};

use crate::replica::InstanceHash;

const FORMAT: u8 = 1;
/// What one chunk may hold: well below DynamoDB's 400 KB, for one lost chunk should not be the whole flush.
const CHUNK: usize = 64 * 1024;
const HEADER: usize = 15;
const BUCKET: usize = 6;
const HASH: usize = 8;

/// A page, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Of which flush.
    pub beat: u64,
    /// Which part, from 0.
    pub chunk: u16,
    /// Of how many.
    pub chunks: u16,
    /// How long before the flush each was heard.
    pub heard: Vec<(InstanceHash, Duration)>,
}

/// Why bytes are not a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a page of format {FORMAT}")]
pub struct NotAPage;

/// The chunks of a flush, at least one; ages are rounded down to eighths of a flush.
pub fn encode(beat: u64, flush: Duration, heard: &[(InstanceHash, Duration)]) -> Vec<Vec<u8>> {
    let unit = u16::try_from((flush / 8).as_millis()).unwrap_or(u16::MAX).max(1);
    let mut buckets = BTreeMap::<u16, Vec<u64>>::new();
    for (hash, age) in heard {
        let age = u16::try_from(age.as_millis() / u128::from(unit)).unwrap_or(u16::MAX);
        buckets.entry(age).or_default().push(hash.number());
    }
    let mut bodies = vec![Vec::new()];
    for (age, hashes) in &buckets {
        let mut left = hashes.as_slice();
        while !left.is_empty() {
            let full = |body: &Vec<u8>| body.len() + HEADER + BUCKET + HASH > CHUNK;
            if bodies.last().is_none_or(full) {
                bodies.push(Vec::new());
            }
            let Some(body) = bodies.last_mut() else { break };
            let room = (CHUNK - HEADER - BUCKET - body.len()) / HASH;
            let (now, later) = left.split_at(room.min(left.len()));
            body.extend(age.to_be_bytes());
            body.extend(u32::try_from(now.len()).unwrap_or(u32::MAX).to_be_bytes());
            now.iter().for_each(|hash| body.extend(hash.to_be_bytes()));
            left = later;
        }
    }
    let chunks = u16::try_from(bodies.len()).unwrap_or(u16::MAX);
    let whole = (0..chunks).zip(bodies).map(|(chunk, body)| {
        let mut page = vec![FORMAT];
        page.extend(unit.to_be_bytes());
        page.extend(beat.to_be_bytes());
        page.extend(chunk.to_be_bytes());
        page.extend(chunks.to_be_bytes());
        page.extend(body);
        page
    });
    whole.collect()
}

/// The page of this flush. None if its slot holds another one's: of an older flush, because nobody was heard since, it was read
/// before, and counting beats would take it for younger than it is once its writer was stopped for a while.
pub fn of(beat: u64, bytes: &[u8]) -> Result<Option<Page>, NotAPage> {
    Ok(Some(decode(bytes)?).filter(|page| page.beat == beat))
}

/// Reads a page.
fn decode(mut bytes: &[u8]) -> Result<Page, NotAPage> {
    let [FORMAT] = take(&mut bytes)? else { return Err(NotAPage) };
    let unit = u16::from_be_bytes(take(&mut bytes)?);
    let beat = u64::from_be_bytes(take(&mut bytes)?);
    let (chunk, chunks) = (u16::from_be_bytes(take(&mut bytes)?), u16::from_be_bytes(take(&mut bytes)?));
    if chunk >= chunks {
        return Err(NotAPage);
    }
    let mut heard = Vec::with_capacity(bytes.len() / HASH);
    while !bytes.is_empty() {
        let age = u16::from_be_bytes(take(&mut bytes)?);
        let age = Duration::from_millis(u64::from(age) * u64::from(unit));
        for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
            heard.push((InstanceHash::from(u64::from_be_bytes(take(&mut bytes)?)), age));
        }
    }
    Ok(Page { beat, chunk, chunks, heard })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NotAPage> {
    let (head, rest) = bytes.split_first_chunk().ok_or(NotAPage)?;
    *bytes = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLUSH: Duration = Duration::from_secs(2);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_written_is_read(beat: u64, said in prop::collection::vec((any::<u64>(), 0..20_000u64), 0..20_000)) {
            let said: Vec<_> = said.into_iter().map(|(hash, ms)| (InstanceHash::from(hash), Duration::from_millis(ms))).collect();
            let chunks = encode(beat, FLUSH, &said);
            let mut heard = Vec::new();
            for (nth, chunk) in chunks.iter().enumerate() {
                prop_assert!(chunk.len() <= CHUNK);
                let page = decode(chunk).unwrap();
                prop_assert_eq!((page.beat, usize::from(page.chunk), usize::from(page.chunks)), (beat, nth, chunks.len()));
                heard.extend(page.heard);
            }
            let floor = |age: Duration| Duration::from_millis(age.as_millis() as u64 / 250 * 250);
            let mut said: Vec<_> = said.into_iter().map(|(hash, age)| (hash, floor(age))).collect();
            said.sort_unstable();
            heard.sort_unstable();
            prop_assert_eq!(heard, said);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), good in any::<bool>()) {
            let mut bytes = bytes;
            if good && !bytes.is_empty() {
                bytes[0] = FORMAT;
            }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn an_empty_flush_is_a_page_too() {
        assert_eq!(decode(&encode(7, FLUSH, &[])[0]), Ok(Page { beat: 7, chunk: 0, chunks: 1, heard: vec![] }));
    }

    #[test]
    fn a_slot_that_was_not_written_again_tells_nothing() {
        let page = encode(7, FLUSH, &[(InstanceHash::from(1), Duration::ZERO)]);
        assert_eq!([7, 23].map(|beat| of(beat, &page[0]).unwrap().is_some()), [true, false]);
    }

    #[test]
    fn an_instance_costs_eight_bytes() {
        let said: Vec<_> = (0..3000).map(|n| (InstanceHash::from(n), Duration::ZERO)).collect();
        assert_eq!(encode(1, FLUSH, &said)[0].len(), HEADER + BUCKET + 3000 * HASH);
    }
}
