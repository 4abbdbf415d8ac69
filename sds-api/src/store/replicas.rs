//! What replicas tell each other: headers, and pages of heartbeats. All reads are strongly consistent, because a key is
//! announced after its row was written and a page is written before its header. These rows are the registry's own
//! bookkeeping, so they are written whole and collected after an hour.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_sdk_dynamodb::{
    primitives::Blob,
    types::{AttributeValue, ReturnConsumedCapacity},
};

use super::{
    HeadWrite, Store, StoreError,
    expression::Update,
    item::{self, Item, n, number, s},
    update::Updated,
};
use crate::{
    clock::Timestamp,
    replica::{Head, PageKey, ReplicaId, SLOTS},
};

const HEADS: &str = "#replica";
const PAGES: &str = "#vouch/";
const KEEP: Duration = Duration::from_secs(3600);

impl Store {
    /// The headers of all replicas, this one's too; one that cannot be read is as good as none.
    pub async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let time = self.in_loop();
        let mut heads = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let call = self.client.query().table_name(&self.table).consistent_read(true).set_exclusive_start_key(from);
            let call = call.key_condition_expression("#service = :service");
            let call = call.expression_attribute_names("#service", "service");
            let call = call.expression_attribute_values(":service", s(HEADS));
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let page = self.plain("Query", time, || call.clone().send()).await?;
            self.calls.read_units(page.consumed_capacity.iter());
            heads.extend(page.items.unwrap_or_default().iter().filter_map(|item| match head(item) {
                Ok(head) => Some(head),
                Err(reason) => {
                    tracing::debug!(reason, "a replica's header cannot be read");
                    None
                }
            }));
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(heads);
            }
        }
    }

    /// Writes this replica's header, unless a later one stands there.
    pub async fn write_head(&self, head: &Head) -> Result<HeadWrite, StoreError> {
        let ring = head.ring.iter().map(|(number, key)| {
            let mut entry = item::key(key);
            entry.insert("n".into(), n(*number));
            AttributeValue::M(entry)
        });
        let seen: Vec<u8> = head.seen.iter().flat_map(|hash| hash.number().to_be_bytes()).collect();
        let update = Update::default()
            .set("hseq", n(head.hseq))
            .set_first("first", n(head.hseq))
            .set("beat", n(head.beat))
            .set("ring_n", n(head.ring_n))
            .set("ring", AttributeValue::L(ring.collect()))
            .set("seen", AttributeValue::B(Blob::new(seen)))
            .set("bye", AttributeValue::Bool(head.bye))
            .set("fmt", n(item::FMT))
            .set("expire_time", n(Timestamp::now().plus(KEEP).seconds()));
        let key = place(HEADS, head.id.as_str());
        let condition = "attribute_not_exists(#hseq) OR #hseq < :hseq".into();
        match self.update(key, update, condition, self.in_request()).await? {
            Updated::Done(item) if item.get("first") == item.get("hseq") => Ok(HeadWrite::Anew),
            Updated::Done(_) => Ok(HeadWrite::Done),
            Updated::Refused(_) => Ok(HeadWrite::Refused),
            Updated::Invalid(error) => Err(error),
        }
    }

    /// Takes away the header of a replica that is gone. One that is not after all writes it anew.
    pub async fn forget_head(&self, id: &ReplicaId) -> Result<(), StoreError> {
        let call = self.client.delete_item().table_name(&self.table).set_key(Some(place(HEADS, id.as_str())));
        let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.plain("DeleteItem", self.in_loop(), || call.clone().send()).await?;
        self.calls.write_units(answer.consumed_capacity.iter());
        Ok(())
    }

    /// The pages of these places that are there.
    pub async fn pages(&self, keys: &[PageKey]) -> Result<Vec<(PageKey, Vec<u8>)>, StoreError> {
        let places: HashSet<(String, String)> = keys.iter().map(names).collect();
        let items = self.items(places.iter().map(|(service, ip_port)| place(service, ip_port)).collect()).await?;
        let bodies: HashMap<(String, String), Blob> = items.into_iter().filter_map(page).collect();
        let found = keys.iter().filter_map(|key| Some((key.clone(), bodies.get(&names(key))?.as_ref().to_vec())));
        Ok(found.collect())
    }

    /// Writes a page; nobody looks for it before a header tells of it.
    pub async fn write_page(&self, key: &PageKey, body: Vec<u8>) -> Result<(), StoreError> {
        let (service, ip_port) = names(key);
        let call = self.client.put_item().table_name(&self.table).set_item(Some(place(&service, &ip_port)));
        let call = call.item("body", AttributeValue::B(Blob::new(body))).item("fmt", n(item::FMT));
        let call = call.item("expire_time", n(Timestamp::now().plus(KEEP).seconds()));
        let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = self.plain("PutItem", self.in_loop(), || call.clone().send()).await?;
        self.calls.write_units(answer.consumed_capacity.iter());
        Ok(())
    }
}

fn head(item: &Item) -> Result<Head, String> {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
    let id = ReplicaId::parse(text("ip_port")).ok_or("the key is not a replica's")?;
    // A reader sees an entry that is missing by its number.
    let entry = |entry: &AttributeValue| {
        let entry = entry.as_m().ok()?;
        Some((number(entry, "n").ok()?, item::read_key(entry).ok()?))
    };
    let ring = item.get("ring").and_then(|ring| ring.as_l().ok()).into_iter().flatten().filter_map(entry).collect();
    let bye = item.get("bye").is_some_and(|bye| bye.as_bool() == Ok(&true));
    let seen = item.get("seen").and_then(|seen| seen.as_b().ok()).map_or(&[][..], AsRef::as_ref);
    let seen = seen.as_chunks().0.iter().map(|hash| u64::from_be_bytes(*hash).into()).collect();
    let number = |name| number(item, name);
    Ok(Head { id, hseq: number("hseq")?, beat: number("beat")?, ring_n: number("ring_n")?, ring, seen, bye })
}

fn page(mut item: Item) -> Option<((String, String), Blob)> {
    let text = |item: &mut Item, name| match item.remove(name)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    };
    let place = (text(&mut item, "service")?, text(&mut item, "ip_port")?);
    match item.remove("body")? {
        AttributeValue::B(body) => Some((place, body)),
        _ => None,
    }
}

fn names(key: &PageKey) -> (String, String) {
    (format!("{PAGES}{}", key.replica), format!("{}#{}", key.beat % SLOTS, key.chunk))
}

fn place(service: &str, ip_port: &str) -> Item {
    [("service".into(), s(service)), ("ip_port".into(), s(ip_port))].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn good() -> Item {
        let mut item = place(HEADS, "0123456789abcdef");
        let mut entry = place("web", "10.0.0.1:80");
        entry.insert("n".into(), n(7));
        item.extend(["hseq", "beat", "ring_n"].map(|name| (name.to_owned(), n(7))));
        item.insert("ring".into(), AttributeValue::L(vec![AttributeValue::M(entry)]));
        item.insert("body".into(), AttributeValue::B(Blob::new([1, 2])));
        item
    }

    #[test]
    fn an_entry_that_cannot_be_read_leaves_a_hole() {
        let mut item = good();
        let Some(AttributeValue::L(ring)) = item.get_mut("ring") else { panic!("no ring") };
        ring.push(AttributeValue::M(place("web", "nowhere")));
        ring.push(n(1));
        let head = head(&item).unwrap();
        assert_eq!((head.ring.len(), head.ring_n, head.bye), (1, 7, false));
    }

    fn value() -> impl Strategy<Value = AttributeValue> {
        let leaf = prop_oneof![
            ".{0,20}".prop_map(AttributeValue::S),
            ".{0,20}".prop_map(AttributeValue::N),
            any::<u64>().prop_map(n),
            any::<bool>().prop_map(AttributeValue::Bool),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| AttributeValue::B(Blob::new(bytes))),
            Just(AttributeValue::Null(true)),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
                prop::collection::hash_map("n|service|ip_port|x", inner, 0..4).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_header_and_no_page_panics(
            changes in prop::collection::hash_map("service|ip_port|hseq|beat|ring_n|ring|seen|bye|body", value(), 0..4),
        ) {
            let mut item = good();
            item.extend(changes);
            let _ = head(&item);
            let _ = page(item);
        }
    }
}
