//! All dialects and the native API speak of one service at the same time; who may change whose registration, and what the
//! lack of an incarnation costs.

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    http::Answer,
    raw,
    table::{Item, good_row, n, s},
    wait::{SOON, until},
};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::play;

/// How each ancestor's client says that a host is there, and that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Cookpad,
    Lyft,
    Kumonos,
}

use Dialect::{Cookpad, Kumonos, Lyft};

const ALL: [Dialect; 3] = [Cookpad, Lyft, Kumonos];

impl Dialect {
    async fn post(self, api: &Api, ip: &str, port: u16, zone: &str) -> anyhow::Result<Answer> {
        let body = match self {
            Cookpad => json!({"ip": ip, "port": port, "revision": "r", "tags": {"az": zone}}).to_string(),
            Lyft => {
                let tags = json!({"az": zone, "region": "", "instance_id": ""});
                format!("ip={ip}&port={port}&revision=r&tags={tags}")
            }
            Kumonos => json!({"hosts": [{"ip_address": ip, "port": port, "az": zone}]}).to_string(),
        };
        raw::request(api.addr, "POST", "/v1/registration/web", body.as_bytes()).await
    }

    async fn register(self, api: &Api, ip: &str, port: u16, zone: &str) -> anyhow::Result<()> {
        let status = [202, 200, 201][self as usize];
        self.post(api, ip, port, zone).await?.expect(status).with_context(|| format!("{self:?}")).map(drop)
    }

    async fn leave(self, api: &Api, ip: &str, port: u16) -> anyhow::Result<Answer> {
        let path = "/v1/registration/web";
        match self {
            Cookpad => raw::request(api.addr, "DELETE", &format!("{path}/{ip}:{port}"), b"").await,
            Lyft => raw::request(api.addr, "DELETE", &format!("{path}/{ip}"), b"").await,
            Kumonos => {
                let body = json!({"hosts": [{"ip_address": ip, "port": port}]}).to_string();
                raw::request(api.addr, "POST", "/v1/deregistration/web", body.as_bytes()).await
            }
        }
    }

    async fn deregister(self, api: &Api, ip: &str, port: u16) -> anyhow::Result<()> {
        let status = [202, 200, 201][self as usize];
        self.leave(api, ip, port).await?.expect(status).with_context(|| format!("{self:?}")).map(drop)
    }

    fn name(self) -> &'static str {
        ["cookpad", "lyft", "kumonos"][self as usize]
    }
}

async fn origins(api: &Api) -> anyhow::Result<Vec<(String, String)>> {
    let instances = api.instances("web").await?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(instances.iter().map(|(at, instance)| (at.clone(), word(&instance["origin"]))).collect())
}

#[test]
fn one_service_in_all_dialects_at_once() {
    play("one_service_in_all_dialects_at_once", async |stage| {
        let api = Api::start(stage, &[]).await?;
        for round in 1..=3 {
            Cookpad.register(&api, "10.0.0.1", 80, "a").await?;
            Lyft.register(&api, "10.0.0.2", 80, "a").await?;
            Kumonos.register(&api, "10.0.0.3", 80, "a").await?;
            api.put("web", "10.0.0.4:80", (1, round), json!({"locality": {"zone": "a"}})).await?.expect(200)?;
        }
        let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
        ensure!(api.v1_endpoints("web").await? == all);
        let words = ["cookpad", "lyft", "kumonos", "native"];
        let expected: Vec<_> = all.iter().zip(words).map(|(at, word)| ((*at).to_owned(), word.to_owned())).collect();
        ensure!(origins(&api).await? == expected, "{:?}", origins(&api).await?);
        // Any of them may say that a host of another one is gone, as long as no sidecar speaks for it.
        Kumonos.deregister(&api, "10.0.0.1", 80).await?;
        Cookpad.deregister(&api, "10.0.0.2", 80).await?;
        Lyft.deregister(&api, "10.0.0.3", 80).await?;
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.4:80"]);
        Ok(())
    });
}

#[test]
fn who_speaks_last_for_a_host_owns_it() {
    play("who_speaks_last_for_a_host_owns_it", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let table = api.table().await?;
        let number = |row: &Item, name: &str| row.get(name).and_then(|n| n.as_n().ok()).cloned().unwrap_or_default();
        for (seq, dialect) in (1..).zip([Cookpad, Lyft, Kumonos, Cookpad]) {
            dialect.register(&api, "10.0.0.1", 80, "a").await?;
            dialect.register(&api, "10.0.0.1", 80, "a").await?;
            let row = table.row("web", "10.0.0.1:80").await?.context("no row")?;
            ensure!(row.get("origin") == Some(&s(dialect.name())), "{row:?}");
            let order = (number(&row, "incarnation"), number(&row, "seq"));
            ensure!(order == ("1".to_owned(), seq.to_string()), "{dialect:?}: {order:?}");
        }
        Ok(())
    });
}

#[test]
fn no_dialect_touches_what_a_sidecar_owns() {
    play("no_dialect_touches_what_a_sidecar_owns", async |stage| {
        let mut api = Api::start(stage, &[("SDS_LEASE", "1s")]).await?;
        let table = api.table().await?;
        api.put("web", "10.0.0.1:80", (5, 1), json!({"weight": 3})).await?.expect(200)?;
        let before = table.rows().await?;
        for (seq, dialect) in (2..).zip(ALL) {
            dialect.register(&api, "10.0.0.1", 80, "b").await?;
            dialect.deregister(&api, "10.0.0.1", 80).await?;
            api.put("web", "10.0.0.1:80", (5, seq), json!({"weight": 3})).await?.expect(200)?;
        }
        ensure!(table.rows().await? == before, "a legacy client changed a sidecar's row");
        ensure!(api.v1("web").await?[0].weight == Some(3));
        ensure!(api.metric("sds_legacy_writes_ignored_total").await? == 6.0);
        // They are no sign of life: with its sidecar silent, the host goes, and only then is it theirs.
        until("the host of the silent sidecar to go", SOON, async || {
            Kumonos.register(&api, "10.0.0.1", 80, "b").await?;
            let instances = origins(&api).await?;
            ensure!(instances == [("10.0.0.1:80".to_owned(), "kumonos".to_owned())], "{instances:?}");
            Ok(())
        })
        .await?;
        let row = table.row("web", "10.0.0.1:80").await?.context("no row")?;
        ensure!(row.get("incarnation") == Some(&n(6)), "{row:?}");
        // And the sidecar, once it is back, is told that it was superseded.
        api.put("web", "10.0.0.1:80", (5, 9), json!({})).await?.expect(409).map(drop)
    });
}

#[test]
fn a_registration_that_was_delayed_beyond_the_deregistration_lives_for_one_lease() {
    play("a_registration_that_was_delayed_beyond_the_deregistration_lives_for_one_lease", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1s"), ("HOST_TTL", "1s")]).await?;
        for dialect in ALL {
            dialect.register(&api, "10.0.0.1", 80, "a").await?;
            dialect.deregister(&api, "10.0.0.1", 80).await?;
            ensure!(api.v1("web").await?.is_empty(), "{dialect:?}");
            // It has no incarnation to lose by: the price that the README names.
            dialect.register(&api, "10.0.0.1", 80, "a").await?;
            ensure!(api.v1("web").await?.len() == 1, "{dialect:?}");
            until("it to go again", SOON, async || {
                ensure!(api.v1("web").await?.is_empty(), "{dialect:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
}

#[test]
fn the_same_host_many_times_at_once_is_one_row() {
    play("the_same_host_many_times_at_once_is_one_row", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        for (nth, dialect) in (1..).zip(ALL) {
            let ip = format!("10.0.0.{nth}");
            try_join_all((0..25).map(|_| dialect.register(&api, &ip, 80, "a"))).await?;
        }
        ensure!(api.v1("web").await?.len() == 3);
        ensure!(api.table().await?.rows().await?.len() == 3);
        Ok(())
    });
}

#[test]
fn another_registrys_rows_are_taken_over() {
    play("another_registrys_rows_are_taken_over", async |stage| {
        let mut api = Api::start(stage, &[("SDS_FULL_READ", "300ms")]).await?;
        let table = api.table().await?;
        for (nth, _) in (1..).zip(ALL) {
            for host in [nth, nth + 10] {
                let mut row = good_row("web", &format!("10.0.0.{host}:80"));
                for ours in ["incarnation", "seq", "rev", "origin", "status", "fmt"] {
                    row.remove(ours);
                }
                table.put(row).await?;
            }
        }
        until("their rows to be served", SOON, async || {
            let hosts = api.v1_endpoints("web").await?;
            ensure!(hosts.len() == 6, "{hosts:?}");
            Ok(())
        })
        .await?;
        for (nth, dialect) in (1..).zip(ALL) {
            dialect.register(&api, &format!("10.0.0.{nth}"), 80, "").await?;
            dialect.deregister(&api, &format!("10.0.0.{}", nth + 10), 80).await?;
            let row = table.row("web", &format!("10.0.0.{nth}:80")).await?.context("no row")?;
            ensure!(row.get("incarnation") == Some(&n(1)) && row.get("origin") == Some(&s(dialect.name())), "{row:?}");
            let row = table.row("web", &format!("10.0.0.{}:80", nth + 10)).await?.context("no row")?;
            ensure!(row.get("gone") == Some(&s("deregistered")), "{row:?}");
        }
        ensure!(api.v1_endpoints("web").await? == ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        Ok(())
    });
}

#[test]
fn a_row_that_cannot_be_served_is_no_obstacle() {
    play("a_row_that_cannot_be_served_is_no_obstacle", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let table = api.table().await?;
        for (nth, dialect) in (1..).zip(ALL) {
            let at = format!("10.0.0.{nth}:80");
            let mut row = good_row("web", &at);
            row.extend([("incarnation".to_owned(), n(8)), ("status".to_owned(), s("FINE"))]);
            table.put(row).await?;
            dialect.register(&api, &format!("10.0.0.{nth}"), 80, "").await?;
            let row = table.row("web", &at).await?.context("no row")?;
            ensure!(row.get("incarnation") == Some(&n(9)), "{row:?}");
        }
        ensure!(api.v1("web").await?.len() == 3);
        Ok(())
    });
}
