//! A machine of the store's is gone without a word, and its name moves to another one.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
};

use futures_util::future::join_all;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::*;
use crate::store::connect::connect_to;

/// The last number of the address that the name has.
static MACHINE: AtomicU8 = AtomicU8::new(1);

fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    assert_eq!(name, "dynamo.test");
    Ok(vec![Ipv4Addr::new(127, 0, 0, MACHINE.load(Ordering::Relaxed)).into()])
}

/// Passes connections on to the emulator until it is dead; then it takes what it is sent, and says nothing.
async fn machine(listener: TcpListener, emulator: SocketAddr, dead: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let mut dead = dead.clone();
        connections.spawn(async move {
            let mut server = TcpStream::connect(emulator).await?;
            tokio::select! {
                done = copy_bidirectional(&mut client, &mut server) => return done.map(drop),
                died = dead.wait_for(|dead| *dead) => drop(died),
            }
            std::future::pending().await
        });
    }
}

#[tokio::test]
async fn a_machine_that_is_gone_is_left_behind_with_all_its_connections() {
    let here = table().await;
    // Both machines lead to the same table.
    let (die, dead) = watch::channel(false);
    let (_alive, alive) = watch::channel(false);
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let second = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let _first = tokio::spawn(machine(first, here._embedded.addr, dead));
    let _second = tokio::spawn(machine(second, here._embedded.addr, alive));
    let limit = Duration::from_millis(1000);
    let connected = connect_to(Some(format!("dynamo.test:{port}")), limit, lookup).await.unwrap();
    let store = Store::new(connected, "sds".into(), limit, here.metrics.store_calls.clone());

    let patient = Store { limit: LIMIT, ..store.clone() };
    let write = async |store: &Store, nth| store.register(&key(nth), at(1, 1), &said(Healthy), soon()).await;
    for written in join_all((0..40).map(|nth| write(&patient, nth))).await {
        done(written.unwrap());
    }
    die.send_replace(true);
    MACHINE.store(2, Ordering::Relaxed);
    // Forty connections stand that will never answer. One of them costs a try, and not each of them; a second call is for a
    // machine that is slow, on which the tests run.
    let mut failed = 0;
    while let Err(error) = write(&store, 99).await {
        failed += 1;
        assert!(error.kind == Trouble::Away && failed < 3, "{failed}: {error}");
    }
    assert!(here.rows(&[key(99)]).await.unwrap().len() == 1);
}
