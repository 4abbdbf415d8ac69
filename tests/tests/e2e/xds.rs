//! Discovery streams: with real Envoys, and word by word.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    dynamo::Dynamo,
    envoy::Envoy,
    gate::Fault,
    replicas::Replica,
    scenario::{fanout, modes, proxyless, streams, visible},
    wait::{SOON, until},
    xds::{Delta, EDS, Sotw, connect, delta, refusal, sotw, told},
};
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::{alone, play};

/// P1: a push comes within a second.
const PUSH: Duration = Duration::from_secs(1);
/// Longer than changes wait for each other.
const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn however_an_envoy_asks_it_has_what_the_registry_tells() {
    alone("however_an_envoy_asks_it_has_what_the_registry_tells", async |stage| {
        println!("{}", modes::play(stage).await?);
        Ok(())
    });
}

#[test]
fn a_change_reaches_a_thousand_streams_within_a_second() {
    alone("a_change_reaches_a_thousand_streams_within_a_second", async |stage| {
        let plan = fanout::Plan { connections: 20, streams: 50, wants: 10, changes: 10 };
        println!("{}", fanout::play(stage, plan).await?);
        Ok(())
    });
}

#[test]
fn what_is_registered_is_in_an_envoy_within_a_second() {
    alone("what_is_registered_is_in_an_envoy_within_a_second", async |stage| {
        println!("{}", visible::play(stage, 20).await?);
        Ok(())
    });
}

#[test]
fn the_shipped_configurations_of_envoy_run() {
    play("the_shipped_configurations_of_envoy_run", async |stage| {
        let api = Api::start(stage, &[]).await?;
        put(&api, "web", 1).await?;
        let shipped = [
            ("rest.yaml", include_str!("../../../docker/envoy/rest.yaml")),
            ("ads.yaml", include_str!("../../../docker/envoy/ads.yaml")),
            ("delta-ads.yaml", include_str!("../../../docker/envoy/delta-ads.yaml")),
        ];
        for (name, text) in shipped {
            let envoy = Envoy::shipped(stage, text, api.addr).await.with_context(|| name.to_owned())?;
            envoy.until_equal(&api, SOON).await.with_context(|| name.to_owned())?;
            ensure!(envoy.stat("update_rejected").await? == 0, "{name}");
        }
        Ok(())
    });
}

#[test]
fn a_grpc_client_that_knows_the_registry_alone_loses_no_call_at_a_deploy() {
    alone("a_grpc_client_that_knows_the_registry_alone_loses_no_call_at_a_deploy", async |stage| {
        println!("{}", proxyless::play(stage, 2).await?);
        Ok(())
    });
}

async fn put(api: &Api, service: &str, nth: u32) -> anyhow::Result<()> {
    api.put(service, &format!("10.0.0.{nth}:80"), (1, 1), json!({})).await?.expect(200).map(drop)
}

#[test]
fn a_stream_is_told_what_it_asks_for_and_then_what_changes() {
    play("a_stream_is_told_what_it_asks_for_and_then_what_changes", async |stage| {
        let api = Api::start(stage, &[]).await?;
        put(&api, "web", 1).await?;
        let mut stream = Sotw::endpoints(&connect(api.addr).await?).await?;
        stream.say(sotw(&["web", "none", "no name!"], "")).await?;
        let first = stream.next(PUSH).await?;
        let expected = [("no name!", 0), ("none", 0), ("web", 1)].map(|(name, n)| (name.to_owned(), n));
        ensure!(told(&first.resources)? == expected, "{:?}", told(&first.resources)?);
        stream.say(sotw(&["web", "none", "no name!"], &first.nonce)).await?;
        put(&api, "other", 1).await?;
        stream.is_silent(SILENCE).await?;
        put(&api, "web", 2).await?;
        let second = stream.next(PUSH).await?;
        ensure!(told(&second.resources)? == [("web".to_owned(), 2)] && second.version_info != first.version_info);
        ensure!(api.metric("sds_discovery_bad_names_total").await? == 1.0, "a name outside the grammar");
        // As a poll would be told, so that who changes from one to the other is told nothing twice.
        let polled = api.eds("v3", &["web", "none", "no name!"], "").await?.expect(200)?.json()?;
        ensure!(polled["version_info"] == second.version_info.as_str(), "{polled}");

        let refused = refusal("a host that I do not like");
        stream
            .say(envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest {
                error_detail: refused,
                ..sotw(&["web", "none", "no name!"], &second.nonce)
            })
            .await?;
        stream.is_silent(SILENCE).await?;
        ensure!(api.metric("sds_xds_nacks_total").await? == 1.0);
        ensure!(api.metric("sds_xds_streams{variant=\"sotw\"}").await? == 1.0);
        ensure!(api.process.log().tail(20).contains("a host that I do not like"), "the refusal is not in the log");
        put(&api, "web", 3).await?;
        ensure!(told(&stream.next(PUSH).await?.resources)? == [("web".to_owned(), 3)]);
        Ok(())
    });
}

#[test]
fn who_is_connected_is_listed_with_what_it_was_told() {
    play("who_is_connected_is_listed_with_what_it_was_told", async |stage| {
        let api = Api::start(stage, &[]).await?;
        put(&api, "web", 1).await?;
        let channel = connect(api.addr).await?;
        let mut stream = Sotw::aggregated(&channel).await?;
        stream.say(sotw(&["web", "shop"], "")).await?;
        let first = stream.next(PUSH).await?;
        let clients = async |query: &str| api.get(&format!("/v1/clients{query}")).await?.expect(200);
        let state = async |wanted: &str| {
            until("its state", PUSH, async || {
                let list = clients("?service=shop").await?.json()?;
                let wants = &list["clients"][0]["wants"][0];
                ensure!(wants["state"] == wanted && wants["names"] == json!(["shop", "web"]), "{list}");
                Ok(())
            })
            .await
        };
        state("told").await?;
        stream.say(sotw(&["web", "shop"], &first.nonce)).await?;
        state("accepted").await?;
        put(&api, "web", 2).await?;
        let second = stream.next(PUSH).await?;
        let mut refused = sotw(&["web", "shop"], &second.nonce);
        refused.error_detail = refusal("no\u{1b}[2J thanks");
        stream.say(refused).await?;
        state("refused").await?;
        let text = clients("?format=text").await?.text();
        ensure!(text.contains("test") && text.contains("endpoints") && text.contains("no\\u{1b}[2J thanks"), "{text}");
        ensure!(clients("?service=none").await?.json()? == json!({"clients": [], "open": 1}));
        drop(stream);
        until("it to be gone", PUSH, async || {
            ensure!(clients("").await?.json()? == json!({"clients": [], "open": 0}));
            Ok(())
        })
        .await
    });
}

#[test]
fn a_delta_stream_begins_with_what_its_client_holds() {
    play("a_delta_stream_begins_with_what_its_client_holds", async |stage| {
        let api = Api::start(stage, &[]).await?;
        put(&api, "web", 1).await?;
        put(&api, "shop", 1).await?;
        let channel = connect(api.addr).await?;
        let mut stream = Delta::aggregated(&channel).await?;
        stream.say(delta(&["web", "shop", "none"], &[], "")).await?;
        let first = stream.next(PUSH).await?;
        let resources: Vec<_> = first.resources.iter().filter_map(|resource| resource.resource.as_ref()).collect();
        ensure!(told(resources)?.len() == 3, "{first:?}");
        let held: std::collections::HashMap<_, _> =
            first.resources.iter().map(|resource| (resource.name.clone(), resource.version.clone())).collect();
        drop(stream);

        put(&api, "web", 2).await?;
        let mut again = Delta::aggregated(&channel).await?;
        let mut request = delta(&["web", "shop", "none"], &[], "");
        request.initial_resource_versions = held;
        again.say(request).await?;
        let news = again.next(PUSH).await?;
        let names: Vec<_> = news.resources.iter().map(|resource| resource.name.as_str()).collect();
        ensure!(names == ["web"] && news.removed_resources.is_empty(), "{news:?}");
        again.say(delta(&[], &["web"], &news.nonce)).await?;
        put(&api, "web", 3).await?;
        again.is_silent(SILENCE).await
    });
}

#[test]
fn what_changes_while_something_else_is_asked_is_not_lost() {
    play("what_changes_while_something_else_is_asked_is_not_lost", async |stage| {
        const CHANGES: u32 = 60;
        let api = Api::start(stage, &[]).await?;
        let mut stream = Sotw::aggregated(&connect(api.addr).await?).await?;
        stream.say(sotw(&["web"], "")).await?;
        stream.next(PUSH).await?;
        for nth in 1..=CHANGES {
            let clusters = async {
                for again in 0..8 {
                    let mut request = sotw(&[format!("cluster-{nth}-{again}").as_str()], "");
                    request.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned();
                    stream.say(request).await?;
                    sleep(Duration::from_millis(1)).await;
                }
                Ok(())
            };
            tokio::try_join!(clusters, put(&api, "web", nth))?;
            let news = async {
                loop {
                    let response = stream.next(PUSH).await?;
                    if response.type_url == EDS && told(&response.resources)? == [("web".to_owned(), nth as usize)] {
                        return anyhow::Ok(());
                    }
                }
            };
            timeout(PUSH, news).await.with_context(|| format!("change {nth} is not told"))??;
        }
        Ok(())
    });
}

#[test]
fn what_cannot_be_served_is_said() {
    play("what_cannot_be_served_is_said", async |stage| {
        let api = Api::start(stage, &[]).await?;
        put(&api, "web", 1).await?;
        let channel = connect(api.addr).await?;
        let ends = async |mut stream: Sotw, type_url: &str, names: usize| {
            let names: Vec<_> = (0..names).map(|nth| format!("service-{nth}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let mut request = sotw(&names, "");
            request.type_url = type_url.to_owned();
            stream.say(request).await?;
            anyhow::Ok(stream.end(PUSH).await?.code())
        };
        let (eds, ads) = (Sotw::endpoints(&channel).await?, Sotw::aggregated(&channel).await?);
        ensure!(ends(eds, "type.googleapis.com/x", 1).await? == Code::InvalidArgument);
        ensure!(ends(ads, "", 1).await? == Code::InvalidArgument);
        ensure!(ends(Sotw::endpoints(&channel).await?, "", 20_001).await? == Code::ResourceExhausted);
        let mut strange = Sotw::endpoints(&channel).await?;
        strange.say(sotw(&["x".repeat(600).as_str()], "")).await?;
        ensure!(strange.end(PUSH).await?.code() == Code::ResourceExhausted);
        // Five megabytes of names.
        let mut long = Sotw::endpoints(&channel).await?;
        long.say(sotw(&["x".repeat(5 << 20).as_str()], "")).await?;
        let code = long.end(SOON).await?.code();
        ensure!(code == Code::OutOfRange, "{code}");

        let mut ads = Sotw::aggregated(&channel).await?;
        let mut unknown = sotw(&["web"], "");
        unknown.type_url = "type.googleapis.com/x".to_owned();
        ads.say(unknown).await?;
        ads.is_silent(SILENCE).await?;
        ensure!(api.metric("sds_xds_unknown_types_total").await? == 1.0);
        ads.say(sotw(&["web"], "")).await?;
        ensure!(told(&ads.next(PUSH).await?.resources)?.len() == 1, "the stream goes on");

        let mut once = EndpointDiscoveryServiceClient::new(channel);
        let fetched = once.fetch_endpoints(sotw(&["web"], "")).await?.into_inner();
        ensure!(told(&fetched.resources)? == [("web".to_owned(), 1)]);
        let none = once.fetch_endpoints(sotw(&[], "")).await;
        ensure!(none.is_err_and(|status| status.code() == Code::InvalidArgument));
        Ok(())
    });
}

#[test]
fn bad_company_costs_the_others_nothing() {
    alone("bad_company_costs_the_others_nothing", async |stage| {
        let plan = streams::Plan {
            names: 3_000,
            rounds: 10,
            deaf: 50,
            resets: 2_000,
            messages: 8,
            changes: 100,
            memory: 30 << 20,
        };
        println!("{}", streams::play(stage, plan).await?);
        Ok(())
    });
}

#[test]
fn before_anything_is_known_a_stream_is_silent() {
    alone("before_anything_is_known_a_stream_is_silent", async |stage| {
        let store = Dynamo::in_memory(stage).await?;
        let first = Replica::start(stage, store.addr, &[]).await?;
        first.ready(SOON).await?;
        put(&first.api, "web", 1).await?;
        let late = Replica::start(stage, store.addr, &[]).await?;
        late.gate.strike(Fault::Unanswered, |request| request.operation() == "Scan");
        let late = {
            let mut late = late;
            late.api.process.kill().await?;
            late.start_again(stage).await?;
            late
        };
        let channel = connect(late.api.addr).await?;
        let mut stream = Sotw::endpoints(&channel).await?;
        stream.say(sotw(&["web"], "")).await?;
        // What this one holds from before is still true, which only who knows something can tell.
        let mut holder = Delta::aggregated(&channel).await?;
        let mut request = delta(&["web", "none"], &[], "");
        request.initial_resource_versions = [("web".to_owned(), version_of(&first.api, "web").await?)].into();
        holder.say(request).await?;
        stream.is_silent(SILENCE).await?;
        late.gate.spare();
        late.ready(SOON).await?;
        ensure!(told(&stream.next(PUSH).await?.resources)? == [("web".to_owned(), 1)]);
        let news = holder.next(PUSH).await?.resources;
        ensure!(news.iter().map(|it| it.name.as_str()).eq(["none"]), "{news:?}");
        Ok(())
    });
}

/// Or all streams would stay with the replica that was there first.
#[test]
fn a_connection_that_is_old_ends_its_streams_and_its_client_comes_back() {
    play("a_connection_that_is_old_ends_its_streams_and_its_client_comes_back", async |stage| {
        let api = Api::start(stage, &[("SDS_CONNECTION_AGE", "1s")]).await?;
        let channel = connect(api.addr).await?;
        for _ in 0..2 {
            // The client may not know yet that its old connection is closed.
            let mut stream = until("a stream to open", SOON, async || Ok(Sotw::endpoints(&channel).await?)).await?;
            stream.say(sotw(&["web"], "")).await?;
            stream.next(PUSH).await?;
            ensure!(stream.end(SOON).await?.code() == Code::Unavailable);
        }
        Ok(())
    });
}

async fn version_of(api: &Api, service: &str) -> anyhow::Result<String> {
    let answer = api.eds("v3", &[service], "").await?.expect(200)?.json()?;
    answer["version_info"].as_str().map(str::to_owned).context("no version")
}

#[test]
fn streams_may_have_a_listener_of_their_own() {
    play("streams_may_have_a_listener_of_their_own", async |stage| {
        let mut api = Api::start(stage, &[("SDS_XDS_LISTEN", "127.0.0.1:0")]).await?;
        let addr = api.process.address("listening for discovery streams addr=").await?;
        put(&api, "web", 1).await?;
        let mut stream = Sotw::aggregated(&connect(addr).await?).await?;
        stream.say(sotw(&["web"], "")).await?;
        ensure!(told(&stream.next(PUSH).await?.resources)? == [("web".to_owned(), 1)]);
        let refused = Sotw::aggregated(&connect(api.addr).await?).await.err().context("the other one serves it too")?;
        ensure!(refused.to_string().contains("streams are served at SDS_XDS_LISTEN"), "{refused:?}");
        let client = e2e::http::client(SOON);
        let status = async |path: &str| {
            let url = format!("http://{addr}{path}");
            anyhow::Ok(e2e::http::send(&client, reqwest::Method::GET, &url, &[], "").await?.status)
        };
        ensure!((status("/readyz").await?, status("/v1/services").await?) == (200, 421));
        let (stopped, status) = tokio::join!(api.process.stop(SOON), stream.end(SOON));
        stopped?;
        ensure!(status?.code() == Code::Unavailable);
        Ok(())
    });
}

#[test]
fn a_registry_that_stops_ends_its_streams_at_once() {
    play("a_registry_that_stops_ends_its_streams_at_once", async |stage| {
        let mut api = Api::start(stage, &[]).await?;
        let mut stream = Sotw::endpoints(&connect(api.addr).await?).await?;
        stream.say(sotw(&["web"], "")).await?;
        stream.next(PUSH).await?;
        let start = Instant::now();
        let (stopped, status) = tokio::join!(api.process.stop(SOON), stream.end(SOON));
        stopped?;
        let (status, took) = (status?, start.elapsed());
        ensure!(status.code() == Code::Unavailable, "{status:?}");
        ensure!(took < Duration::from_secs(3), "it took {took:?}");
        Ok(())
    });
}
