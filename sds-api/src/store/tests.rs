//! The calls against the embedded emulator: what each condition lets through, and what it does not.

mod trouble;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use sds_types::{Label, Sequence};
use tokio::time::Instant;

use super::{
    FullRead, HeadWrite, Store, StoreError, Trouble, Write, connect,
    embedded::Embedded,
    expression::Update,
    item::{self, Item, n, s},
};
use crate::{
    instance::{Content, Gone, Key, Origin, Override, Registration, Row, Standing, Status},
    metrics::Metrics,
    replica::{Head, PageKey, ReplicaId, SLOTS},
};

struct Table {
    store: Store,
    metrics: Metrics,
    _embedded: Embedded,
}

impl std::ops::Deref for Table {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

const LIMIT: Duration = Duration::from_secs(10);

async fn table() -> Table {
    let embedded = Embedded::start(":memory:").await.unwrap();
    let client = connect(Some(embedded.addr), LIMIT).await.unwrap();
    let metrics = Metrics::default();
    let store = Store::new(client, "sds".into(), LIMIT, metrics.store_calls.clone());
    assert!(store.create_table().await.unwrap());
    Table { store, metrics, _embedded: embedded }
}

impl Table {
    /// Lays an item into the table that no call of ours would write.
    async fn put(&self, key: &Key, attributes: impl IntoIterator<Item = (&str, AttributeValue)>) {
        let mut item = item::key(key);
        item.extend(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await.unwrap();
    }

    async fn item(&self, key: &Key) -> Item {
        let call = self.client.get_item().table_name(&self.table).set_key(Some(item::key(key)));
        call.consistent_read(true).send().await.unwrap().item.unwrap()
    }

    async fn registered(&self, key: &Key, incarnation: u64, seq: u64, status: Status) -> Write {
        self.register(key, at(incarnation, seq), &said(status), soon()).await.unwrap()
    }

    async fn gone(&self, key: &Key, incarnation: u64, seq: u64) -> Write {
        self.deregister(key, at(incarnation, seq), Gone::Deregistered, soon()).await.unwrap()
    }
}

fn soon() -> Instant {
    Instant::now() + LIMIT
}

fn at(incarnation: u64, seq: u64) -> Sequence {
    Sequence { incarnation, seq }
}

fn key(nth: usize) -> Key {
    Key { service: "web".parse().unwrap(), endpoint: format!("10.0.{}.{}:80", nth / 256, nth % 256).parse().unwrap() }
}

fn said(status: Status) -> Registration {
    let content = Content { weight: Some(7.try_into().unwrap()), ..Content::default() };
    Registration { status, content: Arc::new(content), origin: Origin::Native, lost: false, expire_time: 0 }
}

fn done(write: Write) -> Row {
    match write {
        Write::Done(row) => row,
        Write::Refused { .. } => panic!("refused: {write:?}"),
    }
}

fn refused(write: Write) -> Option<Sequence> {
    match write {
        Write::Done(row) => panic!("taken: {row:?}"),
        Write::Refused { at, .. } => at,
    }
}

use Status::{Draining, Healthy, Unhealthy};

#[tokio::test]
async fn the_newest_incarnation_wins_and_within_it_the_latest_word() {
    let (table, key) = (table().await, key(1));
    let first = done(table.registered(&key, 5, 1, Healthy).await);
    let second = done(table.registered(&key, 5, 3, Unhealthy).await);
    assert!(second.rev > first.rev);
    assert_eq!(refused(table.registered(&key, 5, 2, Healthy).await), Some(at(5, 3)));
    assert_eq!(refused(table.registered(&key, 4, 9, Healthy).await), Some(at(5, 3)));
    done(table.registered(&key, 5, 4, Draining).await);
    done(table.registered(&key, 5, 5, Draining).await);
    assert_eq!(refused(table.registered(&key, 5, 6, Healthy).await), Some(at(5, 5)));
    assert_eq!(refused(table.gone(&key, 4, 9).await), Some(at(5, 5)));
    assert_eq!(done(table.gone(&key, 5, 7).await).standing, Standing::Gone(Gone::Deregistered));
    assert_eq!(refused(table.registered(&key, 5, 8, Draining).await), Some(at(5, 7)));
    done(table.gone(&key, 5, 7).await);
    done(table.registered(&key, 6, 1, Healthy).await);
}

#[tokio::test]
async fn the_answer_to_a_try_that_was_lost_is_given_to_the_next() {
    let (table, key) = (table().await, key(1));
    let row = done(table.registered(&key, 5, 2, Healthy).await);
    assert_eq!(done(table.registered(&key, 5, 2, Healthy).await), row);
    // Two legacy writers may come to the same place with different words: one of them has lost.
    refused(table.registered(&key, 5, 2, Unhealthy).await);
}

#[tokio::test]
async fn nothing_of_a_former_tenant_stays_and_nothing_of_others_is_lost() {
    let (table, key) = (table().await, key(1));
    let mut new = said(Healthy);
    let task = Content { task_arn: Label::parse("task", "t1").unwrap(), ..Content::default() };
    new.content = Arc::new(task);
    table.register(&key, at(1, 1), &new, soon()).await.unwrap();
    let others = Update::default().set("ov_who", s("x")).set("quorum", s("x")).set("lost", n(1));
    table.update(item::key(&key), others, "attribute_exists(service)".into(), table.in_loop()).await.unwrap();
    done(table.registered(&key, 2, 1, Healthy).await);
    let item = table.item(&key).await;
    assert!(!item.contains_key("task") && !item.contains_key("lost"));
    assert!(item.contains_key("ov_who") && item.contains_key("quorum"));
}

#[tokio::test]
async fn a_row_that_nobody_could_overtake_keeps_nobody_out() {
    let table = table().await;
    let huge = AttributeValue::N("1e30".into());
    for (nth, incarnation) in
        [s("7"), AttributeValue::Bool(true), AttributeValue::L(vec![]), huge].into_iter().enumerate()
    {
        let (registers, leaves) = (key(2 * nth), key(2 * nth + 1));
        for key in [&registers, &leaves] {
            table.put(key, [("incarnation", incarnation.clone()), ("rev", n(1))]).await;
        }
        assert_eq!(done(table.registered(&registers, 1, 1, Healthy).await).at, at(1, 1), "{incarnation:?}");
        assert_eq!(done(table.gone(&leaves, 1, 1).await).at, at(1, 1), "{incarnation:?}");
    }
    let key = key(99);
    for rev in [s("x"), AttributeValue::Null(true)] {
        table.put(&key, [("incarnation", n(3)), ("seq", n(1)), ("status", s("HEALTHY")), ("rev", rev.clone())]).await;
        assert_eq!(refused(table.registered(&key, 2, 1, Healthy).await), Some(at(3, 1)), "{rev:?}");
        let row = done(table.registered(&key, 3, 2, Healthy).await);
        assert!(row.rev > 1_000_000_000_000, "{row:?}");
    }
}

#[tokio::test]
async fn a_foreign_row_is_taken_over_and_taken_out() {
    let table = table().await;
    let (taken, left) = (key(1), key(2));
    for key in [&taken, &left] {
        table.put(key, [("expire_time", n(77)), ("revision", s("r"))]).await;
    }
    let FullRead { rows, foreign, meta, .. } = table.full_read().await.unwrap();
    assert!(rows.len() == 2 && foreign == 2 && meta, "{rows:?}");
    let read = table.read(&left, soon()).await.unwrap().unwrap();
    assert!(read.is_foreign());
    done(table.registered(&taken, 1, 1, Healthy).await);
    // Its heartbeats go on until it is told.
    table.put(&left, [("expire_time", n(78)), ("revision", s("r"))]).await;
    let stone = done(table.deregister_if(&read, Gone::Deregistered, soon()).await.unwrap());
    assert_eq!((stone.at, stone.registration()), (at(1, 1), None));
    refused(table.deregister_if(&read, Gone::Deregistered, soon()).await.unwrap());
}

#[tokio::test]
async fn a_drain_by_another_keeps_its_owners_place() {
    let (table, key) = (table().await, key(1));
    let read = done(table.registered(&key, 5, 1, Healthy).await);
    let drained = done(table.drain_if(&read, soon()).await.unwrap());
    let standing = drained.registration().unwrap();
    assert_eq!((standing.status, &standing.content), (Draining, &read.registration().unwrap().content));
    assert_eq!((drained.at, drained.rev > read.rev), (read.at, true));
    refused(table.drain_if(&read, soon()).await.unwrap());
    refused(table.registered(&key, 5, 2, Healthy).await);
    done(table.registered(&key, 5, 2, Draining).await);
    done(table.deregister(&key, at(5, 3), Gone::Deregistered, soon()).await.unwrap());
    refused(table.drain_if(&drained, soon()).await.unwrap());
}

#[tokio::test]
async fn an_operators_word_needs_somebody_to_speak_of() {
    let (table, key) = (table().await, key(1));
    let word = Override {
        status: Some(Draining),
        weight: None,
        canary: Some(true),
        reason: Label::parse("reason", "bad disk").unwrap(),
        who: Label::default(),
        until: 1_900_000_000,
        tenant: "t".into(),
    };
    let set = async |new: Option<&Override>| table.set_override(&key, new, soon()).await.unwrap();
    refused(set(Some(&word)).await);
    let before = done(table.registered(&key, 1, 1, Healthy).await);
    let row = done(set(Some(&word)).await);
    assert!(row.operator.as_deref() == Some(&word) && row.rev > before.rev && row.at == before.at);
    // A restart does not end it; what is not said any more is gone.
    let row = done(table.registered(&key, 2, 1, Healthy).await);
    assert_eq!(row.operator.as_deref(), Some(&word));
    let less = Override { status: None, canary: None, weight: Some(3.try_into().unwrap()), ..word.clone() };
    assert_eq!(done(set(Some(&less)).await).operator.as_deref(), Some(&less));
    assert_eq!(done(set(None).await).operator, None);
    assert!(!table.item(&key).await.keys().any(|name| name.starts_with("ov_")));
    table.gone(&key, 2, 2).await;
    refused(set(Some(&word)).await);
}

#[tokio::test]
async fn hints_and_refreshes_yield_to_every_write() {
    let (table, key) = (table().await, key(1));
    let seen = done(table.registered(&key, 1, 1, Healthy).await);
    let lost = done(table.mark_lost(&seen).await.unwrap());
    assert!(lost.registration().unwrap().lost && lost.rev > seen.rev);
    refused(table.mark_lost(&seen).await.unwrap());
    let kept = done(table.refresh_expiry(&lost).await.unwrap());
    assert_eq!(kept.rev, lost.rev);
    table.gone(&key, 1, 2).await;
    refused(table.refresh_expiry(&lost).await.unwrap());
}

#[tokio::test]
async fn many_rows_are_read_by_their_keys() {
    let table = table().await;
    for nth in 0..250 {
        table.registered(&key(nth), 1, 1, Healthy).await;
    }
    let bad = key(250);
    table.put(&bad, [("incarnation", n(1))]).await;
    // Asked for twice, and for some that are not there.
    let keys: Vec<_> = (0..300).chain(0..300).map(key).collect();
    let mut rows: Vec<_> = table.rows(&keys).await.unwrap().into_iter().map(|row| row.key).collect();
    rows.sort();
    let mut expected: Vec<_> = (0..250).map(key).collect();
    expected.sort();
    assert_eq!(rows, expected);
    assert!(table.rows(&[]).await.unwrap().is_empty());
}

fn head(id: &ReplicaId, hseq: u64) -> Head {
    let ring = (1..=256).map(|nth| (nth, key(usize::try_from(nth).unwrap()))).collect();
    Head { id: id.clone(), hseq, beat: 3, ring_n: 256, ring, seen: vec![7.into(), u64::MAX.into()], bye: hseq == 2 }
}

#[tokio::test]
async fn headers_are_read_as_they_were_written_and_never_go_back() {
    let table = table().await;
    let (one, two) = (ReplicaId::random(), ReplicaId::random());
    for (id, hseq, wrote) in [
        (&one, 1, HeadWrite::Anew),
        (&one, 2, HeadWrite::Done),
        (&one, 2, HeadWrite::Refused),
        (&one, 1, HeadWrite::Refused),
        (&two, 1, HeadWrite::Anew),
    ] {
        assert_eq!(table.write_head(&head(id, hseq)).await.unwrap(), wrote, "{id} {hseq}");
    }
    let stranger = [("service", s("#replica")), ("ip_port", s("me"))].map(|(name, value)| (name.to_owned(), value));
    table.client.put_item().table_name("sds").set_item(Some(stranger.into())).send().await.unwrap();
    let mut heads = table.heads().await.unwrap();
    heads.sort_by_key(|head| head.hseq);
    assert_eq!(heads, [head(&two, 1), head(&one, 2)]);
}

#[tokio::test]
async fn pages_are_read_as_they_were_written() {
    let table = table().await;
    let replica = ReplicaId::random();
    let page = |beat, chunk| PageKey { replica: replica.clone(), beat, chunk };
    for (beat, chunk) in [(1, 0), (1, 1), (2, 0)] {
        table.write_page(&page(beat, chunk), vec![u8::try_from(beat).unwrap(); 64 * 1024]).await.unwrap();
    }
    // The slot comes round: what stands there is the newer one, whoever asks.
    table.write_page(&page(1 + SLOTS, 0), vec![9]).await.unwrap();
    let keys = [page(1, 0), page(1, 1), page(2, 0), page(3, 0), page(1 + SLOTS, 0)];
    let read = table.pages(&keys).await.unwrap();
    let told: Vec<_> = read.iter().map(|(key, body)| (key.beat, key.chunk, body.len(), body[0])).collect();
    assert_eq!(told, [(1, 0, 1, 9), (1, 1, 65536, 1), (2, 0, 65536, 2), (17, 0, 1, 9)]);
    assert!(table.full_read().await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn nothing_is_sent_past_its_deadline() {
    let (table, key) = (table().await, key(1));
    let past = Instant::now();
    let errors: [StoreError; 3] = [
        table.register(&key, at(1, 1), &said(Healthy), past).await.unwrap_err(),
        table.deregister(&key, at(1, 1), Gone::Deregistered, past).await.unwrap_err(),
        table.read(&key, past).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind == Trouble::Away && error.cause == "too late to send"), "{errors:?}");
    assert!(table.full_read().await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_call_that_is_refused_says_so_at_once() {
    let table = table().await;
    let nowhere = Store { table: "nowhere".into(), ..table.store.clone() };
    let error = nowhere.full_read().await.unwrap_err();
    assert_eq!(error.kind, Trouble::Refused, "{error}");
}

/// What the metrics say of one kind of units.
fn units(table: &Table, kind: &str) -> f64 {
    let text = table.metrics.text();
    let name = format!("sds_store_units_total{{kind=\"{kind}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
}

/// The figures follow DynamoDB's manual: a write costs the larger of the item before and after, by the kilobyte; a strong
/// read the item, a Query or Scan the sum of its items, by four.
#[tokio::test]
async fn the_bill_is_what_the_store_tells() {
    let table = table().await;
    let mut before = (units(&table, "read"), units(&table, "write"));
    let mut cost = |table: &Table| {
        let after = (units(table, "read"), units(table, "write"));
        let cost = (after.0 - before.0, after.1 - before.1);
        before = after;
        cost
    };
    let (replica, page) =
        (ReplicaId::random(), |chunk, replica: &ReplicaId| PageKey { replica: replica.clone(), beat: 1, chunk });
    table.registered(&key(1), 1, 1, Healthy).await;
    assert_eq!(cost(&table), (0.0, 1.0), "a row");
    table.write_page(&page(0, &replica), vec![1; 8000]).await.unwrap();
    assert_eq!(cost(&table), (0.0, 8.0), "a page");
    table.write_page(&page(0, &replica), vec![1]).await.unwrap();
    assert_eq!(cost(&table), (0.0, 8.0), "a page that has shrunk");
    table.write_page(&page(1, &replica), vec![1; 64 * 1024]).await.unwrap();
    assert_eq!(cost(&table), (0.0, 65.0), "a whole page");
    table.pages(&[page(0, &replica), page(1, &replica), page(2, &replica)]).await.unwrap();
    assert_eq!(cost(&table), (1.0 + 17.0 + 1.0, 0.0), "pages, one of which is not there");
    table.rows(&[key(1), key(2)]).await.unwrap();
    assert_eq!(cost(&table), (2.0, 0.0), "rows, one of which is not there");
    table.read(&key(1), soon()).await.unwrap();
    assert_eq!(cost(&table), (1.0, 0.0), "a row");
    table.heads().await.unwrap();
    assert_eq!(cost(&table), (1.0, 0.0), "no header");
    let empty = |id: ReplicaId| Head { ring: Vec::new(), ..head(&id, 1) };
    for _ in 0..3 {
        table.write_head(&empty(ReplicaId::random())).await.unwrap();
    }
    assert_eq!(cost(&table), (0.0, 3.0), "headers");
    table.heads().await.unwrap();
    assert_eq!(cost(&table), (1.0, 0.0), "small headers together");
    table.full_read().await.unwrap();
    assert_eq!(cost(&table), (17.0, 0.0), "the table");
}
