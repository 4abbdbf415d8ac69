//! The discovery protocol on the wire, rule by rule, in all four services. The rules for endpoints are the table of
//! `sds-api/src/xds/subscription/tests/rules.rs`, which the registry's own tests play too; here are those that need streams. The
//! list: all that "xDS REST and gRPC protocol" asks of a server of endpoints, section by section.
//!
//! | section | must | shown by |
//! |---|---|---|
//! | Variants, RPC Services and Methods | `EndpointDiscoveryService` and `AggregatedDiscoveryService`, both variants | each rule in all four |
//! | Basic Protocol Overview | every response has a nonce, which its stream never had; the node is said once | `player` |
//! | | responses come at any time, whether or not the one before was answered | "a change waits for no answer" |
//! | | who says no nonce begins anew, and a nonce of another stream is none | "a request without a nonce", "a request for a response" |
//! | ACK/NACK and resource type instance version | it changes when, and only when, a wanted resource does; it outlives the stream | `player` |
//! | | a new stream is answered whatever version it says; each type has a version of its own | "a new stream", `each_type_..` |
//! | NACK | told by `error_detail` alone, also with new names at an old version; a later version may pass | "a refusal", "after a refusal" |
//! | When to send an update | only if something changed, a refusal changes nothing; a request replaces those before it | "a change", "what was refused", "a request replaces" |
//! | How the client specifies what resources to return | what is asked for is sent; newly asked for again, also unchanged | "what is asked for", "a new name", "a name that comes back" |
//! | | no names after some is no interest; a wildcard is for clusters and listeners only | "who names nothing", "of endpoints" |
//! | Grouping Resources into Responses | endpoints alone, not with all the others | "a change is sent once and alone" |
//! | Duplicate Resource Names | none twice in a response | `player`, "one request may name several" |
//! | Deleting Resources | of endpoints state of the world has no such word; in both variants an empty assignment says it, which Envoy obeys | "a service that everybody has left" |
//! | Knowing When a Requested Resource Does Not Exist | it is remembered and sent when it comes. An assignment exists for every name, so `removed_resources` has none | "what is not there" |
//! | Unsubscribing From Resources | by leaving out, by `resource_names_unsubscribe`; what was not subscribed is ignored | "a name that went", "who lets go" |
//! | | beside a wildcard it is answered | `subscription/tests.rs`: of endpoints there is none |
//! | Requesting Multiple Resources | several in one request | "one request may name several" |
//! | Resource updates | a stale nonce is not answered; several requests at one version are | "a request for a response" |
//! | Resource warming | an assignment comes also if nothing changed | "who asks again" |
//! | Eventual consistency considerations | endpoints after their cluster | `a_new_cluster_..` |
//! | Aggregated Discovery Service | types do not disturb each other | `each_type_..` |
//! | Incremental xDS | names count whatever the nonce; `initial_resource_versions` are not resent; the nonce pairs answers | "a request for a response", "who holds all", "what is held" |
//! | Subscribing to Resources | sent also to who is believed to have it | "who asks again" |
//! | REST-JSON polling | | `eds.rs` |
//! | TTL; Resource names (aliases); filesystem | optional, for resources that expire or have aliases: ours do not; not a server's | - |
//!
//! And the tests of go-control-plane. Those that a rule of the table names are not repeated here.
//!
//! | test | shown by, or why not |
//! |---|---|
//! | TestServerShutdown, TestCancellations, TestDeltaCancellations, TestSnapshotCacheDeltaWatchCancel, TestLinearCancel, TestDeltaWatches | a stream's end, whoever ends it, leaves nothing: `streams_of_all_services_..` |
//! | TestSendError, TestSendDeltaError | a client that is gone: `streams_of_all_services_..` |
//! | TestLinearMixedWatches, TestLinearConcurrentSetWatch, TestConcurrentSetDeltaWatch | all hear of one change: `streams_of_all_services_..`; many at once: every rule at once |
//! | TestAggregatedHandlers, TestDeltaAggregatedHandlers | several types on one stream: `each_type_..`, `a_new_cluster_..` |
//! | TestAggregateRequestType, TestDeltaAggregateRequestType, TestLinearCornerCases | no type, and a wrong one: `a_stream_of_a_type_..` |
//! | TestOpaqueRequestsChannelMuxing, TestDeltaOpaqueRequestsChannelMuxing | opaque types are met with silence: `a_stream_of_a_type_..`; the latest request counts: "a request replaces" |
//! | TestFetch | `xds.rs`: `what_cannot_be_served_is_said` |
//! | TestSnapshotDeltaCacheWatchTimeout | a reader that takes nothing keeps nobody waiting: `xds.rs`, bad company |
//! | TestSotwSubscriptions, TestDeltaSubscriptions, full state of TestLinearSotwNonWildcard, TestLinearSotwWatches and TestLinearDeletion | wildcards and full state are for clusters and listeners: `subscription/tests.rs` |
//! | ..WithDeactivatedLegacyWildcard.. | an option that we do not have |
//! | TestCallbackError, TestDeltaCallbackError, TestDeltaMultipleStreams, TestNilPropagationOverResponseChannelShouldCloseTheStream | of callbacks and channels that a library's user brings: there are none |
//! | TestLinearGetResources | a library's own accessor |
//! | TestAggregatedHandlers' and others' routes by scope, virtual hosts (VHDS), secrets, runtime, extension configs | types that are not served |

#[path = "../../../sds-api/src/xds/subscription/tests/rules.rs"]
mod rules;

mod client;
mod player;

use std::time::Duration;

use anyhow::{Context, ensure};
use client::{Service, Stream, Words, wants};
use e2e::{
    api::Api,
    wait::{SOON, until},
    xds::{EDS, connect},
};
use futures_util::future::{join_all, try_join_all};
use rules::RULES;
use serde_json::json;
use tonic::Code;

use crate::play;

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// Longer than changes wait for each other.
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn every_rule_holds_in_all_services() {
    play("every_rule_holds_in_all_services", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1h")]).await?;
        let mut plays = Vec::new();
        for service in Service::ALL {
            let channel = connect(api.addr).await?;
            for (nth, rule) in RULES.iter().enumerate() {
                let script = if service.is_delta() { rule.delta } else { rule.sotw };
                let (api, channel) = (&api, channel.clone());
                plays.push(async move {
                    let prefix = format!("{service:?}-{nth}");
                    let played = player::play(api, &channel, service, &prefix, script).await;
                    played.map_err(|error| format!("{service:?}: {} ({}): {error:#}", rule.rule, rule.source))
                });
            }
        }
        // No two have a service in common: all at once.
        let played = join_all(plays).await;
        let failures: Vec<_> = played.iter().filter_map(|it| it.as_ref().err().map(String::as_str)).collect();
        ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), played.len(), failures.join("\n"));
        let refused: u32 = played.iter().flatten().sum();
        let counted = api.metric("sds_xds_nacks_total").await?;
        ensure!(refused > 0 && counted == f64::from(refused), "{counted} of {refused} refusals are counted");
        Ok(())
    });
}

async fn put(api: &Api, service: &str, nth: u32) -> anyhow::Result<()> {
    api.put(service, &format!("10.0.0.{nth}:80"), (1, 1), json!({})).await?.expect(200).map(drop)
}

/// A stream that has been told of one service, and the nonce.
async fn begun(service: Service, api: &Api, name: &str) -> anyhow::Result<(Stream, String)> {
    let mut stream = service.open(&connect(api.addr).await?).await?;
    stream.say(wants(&[name])).await?;
    let nonce = stream.next(SOON).await?.nonce;
    Ok((stream, nonce))
}

#[test]
fn each_type_of_an_aggregated_stream_has_a_sequence_of_its_own() {
    play("each_type_of_an_aggregated_stream_has_a_sequence_of_its_own", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1h")]).await?;
        for (nth, service) in (1..).zip(Service::AGGREGATED) {
            let (mut stream, nonce) = begun(service, &api, "web").await?;
            let clusters = Words { node: None, type_url: CLUSTERS.to_owned(), ..wants(&["web"]) };
            stream.say(clusters.clone()).await?;
            let told = stream.next(SOON).await?;
            ensure!(told.type_url == CLUSTERS, "{told:?}");
            // The first is refused, the second accepted, each by its own nonce; then one of them changes.
            let again = if service.is_delta() { wants(&[]) } else { wants(&["web"]) };
            stream.say(Words { nonce, refused: true, ..again.clone() }).await?;
            stream.say(Words { nonce: told.nonce, type_url: CLUSTERS.to_owned(), ..again }).await?;
            stream.is_silent(SILENCE).await?;
            put(&api, "web", nth).await?;
            let told = stream.next(SOON).await?;
            ensure!(told.type_url == EDS && told.assignments.len() == 1, "{told:?}");
            stream.is_silent(SILENCE).await?;
        }
        Ok(())
    });
}

#[test]
fn a_new_cluster_is_told_before_its_endpoints() {
    play("a_new_cluster_is_told_before_its_endpoints", async |stage| {
        let api = Api::start(stage, &[("SDS_LEASE", "1h")]).await?;
        for service in Service::AGGREGATED {
            let name = format!("{service:?}");
            let (mut stream, _) = begun(service, &api, &name).await?;
            stream.say(Words { type_url: CLUSTERS.to_owned(), ..wants(&[]) }).await?;
            stream.next(SOON).await?;
            put(&api, &name, 1).await?;
            let order = [stream.next(SOON).await?.type_url, stream.next(SOON).await?.type_url];
            ensure!(order == [CLUSTERS, EDS], "{service:?}: {order:?}");
        }
        Ok(())
    });
}

#[test]
fn a_stream_of_a_type_that_it_does_not_serve_ends_or_is_silent() {
    play("a_stream_of_a_type_that_it_does_not_serve_ends_or_is_silent", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let of = |type_url: &str| Words { type_url: type_url.to_owned(), ..wants(&["web"]) };
        for service in Service::ALL {
            let (mut stream, _) = begun(service, &api, "web").await?;
            if Service::AGGREGATED.contains(&service) {
                stream.say(of("type.googleapis.com/unknown")).await?;
                stream.is_silent(SILENCE).await?;
                stream.say(Words { come: vec!["shop".to_owned()], ..of(EDS) }).await?;
                ensure!(stream.next(SOON).await?.assignments.len() == 1, "{service:?} does not go on");
                stream.say(of("")).await?;
            } else {
                // There it need not be named.
                stream.say(Words { come: vec!["shop".to_owned()], ..of("") }).await?;
                ensure!(stream.next(SOON).await?.type_url == EDS);
                stream.say(of(CLUSTERS)).await?;
            }
            let status = stream.end(SOON).await?;
            ensure!(status.code() == Code::InvalidArgument, "{service:?}: {status}");
        }
        Ok(())
    });
}

#[test]
fn streams_of_all_services_hear_the_same_and_end() {
    play("streams_of_all_services_hear_the_same_and_end", async |stage| {
        let mut api = Api::start(stage, &[("SDS_LEASE", "1h")]).await?;
        let open = async |api: &Api| try_join_all(Service::ALL.map(|service| begun(service, api, "web"))).await;
        let counted = async |api: &Api, wanted: f64| {
            until("the streams to be counted", SOON, async || {
                let [sotw, delta] =
                    ["sotw", "delta"].map(|variant| format!("sds_xds_streams{{variant=\"{variant}\"}}"));
                let open = (api.metric(&sotw).await?, api.metric(&delta).await?);
                ensure!(open == (wanted, wanted), "{open:?} are open");
                Ok(())
            })
            .await
        };
        let mut streams = open(&api).await?;
        put(&api, "web", 1).await?;
        for (stream, _) in &mut streams {
            let told = stream.next(SOON).await?;
            ensure!(told.assignments.iter().map(|it| (it.0.as_str(), it.1)).eq([("web", 1)]), "{told:?}");
        }
        counted(&api, 2.0).await?;
        // One of each variant says goodbye, the other is gone without a word.
        for (nth, (stream, _)) in streams.into_iter().enumerate() {
            if nth < 2 {
                stream.leave(SOON).await.with_context(|| format!("stream {nth}"))?;
            }
        }
        counted(&api, 0.0).await?;

        let mut streams = open(&api).await?;
        let ends = try_join_all(streams.iter_mut().map(|(stream, _)| stream.end(SOON)));
        let (stopped, ends) = tokio::join!(api.process.stop(SOON), ends);
        stopped?;
        ensure!(ends?.iter().all(|status| status.code() == Code::Unavailable));
        Ok(())
    });
}
