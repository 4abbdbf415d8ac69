//! Who may write what, by a policy with static tokens: each dialect, the way from open to closed, and the file's changes.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, ensure};
use e2e::{
    api::{Api, native_path, registration},
    app::App,
    aws::ecs::{Ecs, task::Task},
    canary,
    http::Answer,
    programs::Programs,
    replicas::Replica,
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, throughout, until},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::play;

const AT: &str = "10.0.0.1:80";
/// The file is looked at every 2 s.
const RELOAD: Duration = Duration::from_secs(5);

/// A token and its hash, made as an operator makes one.
pub async fn token(programs: &Programs) -> anyhow::Result<[String; 2]> {
    let made = programs.api().args(["token", "new"]).output().await?;
    ensure!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout)?;
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        anyhow::Ok(line.with_context(|| format!("no {name} in: {text}"))?.trim().to_owned())
    };
    let token = word("token")?;
    canary::plant(&token);
    Ok([token, word("sha256")?])
}

fn rule(mode: &str, observe: bool) -> String {
    format!("[[services]]\nnames = ['*']\nmode = '{mode}'\nobserve = {observe}\n")
}

/// A token that registers `web` for others and operates it.
fn central(hashes: &[&str]) -> String {
    let hashes = json!(hashes);
    format!(
        "[[tokens]]\nname = 'central'\nsha256 = {hashes}\nregister = ['web']\noperate = ['web']\non_behalf = true\n"
    )
}

/// Writes it whole, as a deployment does.
fn write(path: &Path, policy: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, policy)?;
    Ok(std::fs::rename(new, path)?)
}

async fn start(stage: &Stage, policy: &str, env: &[(&str, &str)]) -> anyhow::Result<Api> {
    let path = stage.file("policy.toml");
    write(&path, policy)?;
    let own = [("SDS_POLICY", path.to_str().context("not UTF-8")?), ("SDS_LOG", "trace")];
    Api::start(stage, &[&own, env].concat()).await
}

/// One request, with a token or without.
async fn say(api: &Api, token: Option<&str>, method: Method, path: &str, body: &str) -> anyhow::Result<Answer> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    api.send(method, path, &headers, body.to_owned()).await
}

async fn put(api: &Api, token: Option<&str>, at: &str, order: (u64, u64)) -> anyhow::Result<Answer> {
    say(api, token, Method::PUT, &native_path("web", at), &registration(order, json!({})).to_string()).await
}

/// A registration in each of the three old dialects, with its deregistration.
fn dialects(n: u8) -> [(Method, String, String); 7] {
    let cookpad = json!({"ip": format!("10.1.0.{n}"), "port": 80, "revision": "r", "tags": {}}).to_string();
    let lyft = format!(
        "ip=10.2.0.{n}&port=80&revision=r&tags=%7B%22az%22%3A%22a%22%2C%22region%22%3A%22r%22%2C%22instance_id%22%3A%22i%22%7D"
    );
    let kumonos = json!({"hosts": [{"ip_address": format!("10.3.0.{n}"), "port": 80}]}).to_string();
    let registration = "/v1/registration/web".to_owned();
    [
        (Method::POST, registration.clone(), cookpad),
        (Method::POST, registration.clone(), lyft),
        (Method::POST, registration, kumonos.clone()),
        (Method::POST, "/v1/loadbalancing/web".into(), "load_balancing_weight=7".into()),
        (Method::DELETE, format!("/v1/registration/web/10.1.0.{n}:80"), String::new()),
        (Method::DELETE, format!("/v1/registration/web/10.2.0.{n}"), String::new()),
        (Method::POST, "/v1/deregistration/web".into(), kumonos),
    ]
}

#[test]
fn every_write_of_every_dialect_needs_the_token() {
    play("every_write_of_every_dialect_needs_the_token", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let [unknown, _] = token(&stage.programs).await?;
        let api = start(stage, &(rule("token", false) + &central(&[&hash])), &[]).await?;
        let refused = async |token: Option<&str>, method: Method, path: &str, body: &str| {
            let answer = say(&api, token, method.clone(), path, body).await?;
            let told = answer.expect(401).with_context(|| format!("{method} {path}"))?;
            ensure!(told.header("www-authenticate").contains("Bearer"), "{:?}", told.headers);
            ensure!(told.json()?["id"] == "Unauthenticated", "{}", told.text());
            anyhow::Ok(())
        };
        let body = registration((1, 1), json!({})).to_string();
        let native = [
            (Method::PUT, native_path("web", AT), body.clone()),
            (Method::POST, format!("{}/drain", native_path("web", AT)), registration((1, 2), json!({})).to_string()),
            (Method::DELETE, format!("{}?incarnation=1&seq=3", native_path("web", AT)), String::new()),
        ];
        let all: Vec<_> = native.into_iter().chain(dialects(1)).collect();
        for (method, path, body) in all.iter().filter(|(_, path, _)| !path.starts_with("/v1/loadbalancing/")) {
            for token in [None, Some(&unknown), Some(&hash), Some(&good[..good.len() - 1].to_owned())] {
                refused(token.map(String::as_str), method.clone(), path, body).await?;
            }
        }
        let lists = api.get("/v1/services/web").await?;
        ensure!(lists.status == 404, "something was written: {}", lists.text());
        for (method, path, body) in &all {
            let answer = say(&api, Some(&good), method.clone(), path, body).await?;
            ensure!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        }
        let denied = async |deed| {
            let labels = [("deed", deed), ("why", "unproven"), ("enforced", "true")];
            api.total("sds_writes_denied_total", &labels).await
        };
        let counted = denied("register").await?;
        ensure!(counted == 27.0, "{counted} were counted");
        // Who is on this machine operates without a token, and not with a wrong one.
        let weigh =
            async |token| say(&api, token, Method::POST, "/v1/loadbalancing/web", "load_balancing_weight=7").await;
        weigh(Some(&unknown)).await?.expect(401)?;
        ensure!(denied("operate").await? == 1.0, "this was not");
        weigh(None).await?.expect(204)?;

        // Its own services only, and of what is nobody's nothing.
        let elsewhere =
            say(&api, Some(&good), Method::PUT, &native_path("db", AT), &body).await?.expect(403)?.json()?;
        let reason = elsewhere["reason"].as_str().unwrap_or_default();
        ensure!(elsewhere["id"] == "Forbidden" && reason.contains("token central"), "{elsewhere}");
        ensure!(!reason.contains(&good), "the token is echoed");
        Ok(())
    });
}

#[test]
fn a_token_registers_its_own_address_and_networks() {
    play("a_token_registers_its_own_address_and_networks", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let own =
            format!("[[tokens]]\nname = 'own'\nsha256 = ['{hash}']\nregister = ['web']\ncidrs = ['127.0.0.0/8']\n");
        let api = start(stage, &own, &[]).await?;
        put(&api, Some(&good), "127.0.0.1:80", (1, 1)).await?.expect(200)?;
        let told = put(&api, Some(&good), "127.0.0.2:80", (1, 1)).await?.expect(403)?.json()?;
        ensure!(told["reason"].as_str().is_some_and(|reason| reason.contains("its own address, 127.0.0.1")), "{told}");
        put(&api, Some(&good), AT, (1, 1)).await?.expect(403)?;

        // Behind a proxy that hides its clients nobody's address is known, and each name has a rate.
        let hidden = [("SDS_TRUSTED_PROXIES", "127.0.0.0/8"), ("SDS_RATE_WRITES", "5")];
        let api = start(stage, &own, &hidden).await?;
        put(&api, Some(&good), "127.0.0.1:80", (1, 1)).await?.expect(403)?;
        let api = start(stage, &central(&[&hash]), &hidden).await?;
        let mut statuses = Vec::new();
        for seq in 1..=20 {
            statuses.push(put(&api, Some(&good), AT, (1, seq)).await?.status);
        }
        ensure!(statuses.contains(&429) && statuses[..10].iter().all(|status| *status == 200), "{statuses:?}");
        put(&api, Some(&good), "10.0.0.2:80", (1, 1)).await?.expect(200).context("another host's rate is its own")?;
        Ok(())
    });
}

#[test]
fn a_sidecar_lives_by_its_token() {
    play("a_sidecar_lives_by_its_token", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let [wrong, _] = token(&stage.programs).await?;
        let own = format!("[[tokens]]\nname = 'own'\nsha256 = ['{hash}']\nregister = ['web']\n");
        let api = start(stage, &own, &[("SDS_LEASE", "2s")]).await?;
        let mut app = App::start(stage, "app").await?;
        let at = app.addr.to_string();
        let env = |token| [("SDS_API_TOKEN", token), ("SDS_LOG", "trace")];
        let mut refused = Sidecar::start(stage, api.addr, "web", &app, &env(&wrong)).await?;
        refused.process.says("401 Unauthorized").await?;
        ensure!(api.status("web", &at).await? == "absent");
        refused.process.stop(SOON).await?;

        let mut sidecar = Sidecar::start(stage, api.addr, "web", &app, &env(&good)).await?;
        api.until_status("web", &at, "healthy", SOON).await?;
        let denied = async || api.total("sds_writes_denied_total", &[("why", "unproven")]).await;
        let before = denied().await?;
        ensure!(before > 0.0, "the other one was not counted");
        throughout("it stays for two leases", Duration::from_secs(4), async || {
            ensure!(api.status("web", &at).await? == "healthy");
            Ok(())
        })
        .await?;
        sidecar.stop_task(&mut app).await?;
        api.until_status("web", &at, "absent", SOON).await?;
        let events = api.get("/v1/events?service=web&audit=true").await?.expect(200)?.text();
        ensure!(events.contains("token own from 127.0.0.1: healthy -> draining"), "{events}");
        ensure!(denied().await? == before, "a call of its was refused");
        Ok(())
    });
}

#[test]
fn operators_come_from_this_machine_or_with_a_token() {
    play("operators_come_from_this_machine_or_with_a_token", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let [sibling, its] = token(&stage.programs).await?;
        let fetches = format!("[[tokens]]\nname = 'sibling'\nsha256 = ['{its}']\nsnapshot = true\n");
        let policy = rule("off", false) + &central(&[&hash]) + &fetches;
        let hidden = [("SDS_TRUSTED_PROXIES", "127.0.0.0/8")];
        let mut api = start(stage, &policy, &hidden).await?;
        for service in ["web", "db"] {
            api.put(service, AT, (1, 1), json!({})).await?.expect(200)?;
        }
        let path = |service| format!("{}/override", native_path(service, AT));
        let word = json!({"canary": true, "reason": "x"}).to_string();
        for (token, service, status) in
            [(None, "web", 403), (Some("x"), "web", 401), (Some(&*good), "db", 403), (Some(&*good), "web", 200)]
        {
            let answer = say(&api, token, Method::PUT, &path(service), &word).await?;
            answer.expect(status).with_context(|| format!("{token:?} {service}"))?;
        }
        say(&api, Some(&good), Method::DELETE, &path("web"), "").await?.expect(204)?;
        for (token, status) in [(None, 401), (Some(&*good), 403), (Some(&*sibling), 200)] {
            say(&api, token, Method::GET, "/v1/snapshot", "").await?.expect(status)?;
        }
        for (deed, why) in [
            ("operate", "missing"),
            ("operate", "unproven"),
            ("operate", "forbidden"),
            ("snapshot", "missing"),
            ("snapshot", "forbidden"),
        ] {
            let counted = api.total("sds_writes_denied_total", &[("deed", deed), ("why", why)]).await?;
            ensure!(counted == 1.0, "{deed} {why}: {counted} were counted");
        }
        api.process.stop(SOON).await?;

        let api = start(stage, &(rule("token", false) + &central(&[&hash])), &hidden).await?;
        let weigh =
            async |token| say(&api, token, Method::POST, "/v1/loadbalancing/web", "load_balancing_weight=7").await;
        weigh(None).await?.expect(401)?;
        weigh(Some(&good)).await?.expect(204)?;
        Ok(())
    });
}

#[test]
fn a_sibling_shows_a_token_for_a_snapshot() {
    play("a_sibling_shows_a_token_for_a_snapshot", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let [wrong, _] = token(&stage.programs).await?;
        let fetches = format!("[[tokens]]\nname = 'sibling'\nsha256 = ['{hash}']\nsnapshot = true\n");
        // Behind a proxy that hides its clients nobody is on this machine.
        let hidden = [("SDS_TRUSTED_PROXIES", "127.0.0.0/8")];
        let sibling = start(stage, &(rule("off", false) + &fetches), &hidden).await?;
        sibling.put("web", AT, (1, 1), json!({})).await?.expect(200)?;
        let url = sibling.url("");
        // Port 1 of loopback refuses: it knows only what the sibling tells.
        let away = SocketAddr::from(([127, 0, 0, 1], 1));
        let env = |token| [("SDS_PEERS", url.as_str()), ("SDS_PEERS_TOKEN", token), ("SDS_LOG", "trace")];
        let heir = Replica::start(stage, away, &env(&good)).await?;
        heir.ready(SOON).await?;
        ensure!(heir.api.v1_endpoints("web").await? == [AT]);
        let stranger = Replica::start(stage, away, &env(&wrong)).await?;
        until("it to be refused", SOON, async || stage.log_book().find("401 Unauthorized").context("not yet")).await?;
        stranger.api.get("/readyz").await?.expect(503).map(drop)
    });
}

#[test]
fn a_fleet_moves_from_open_to_closed_without_a_refused_write() {
    play("a_fleet_moves_from_open_to_closed_without_a_refused_write", async |stage| {
        let [old, old_hash] = token(&stage.programs).await?;
        let [new, new_hash] = token(&stage.programs).await?;
        let file = stage.file("policy.toml");
        let mut api = start(stage, &rule("off", false), &[]).await?;
        let loaded = async |what: &str| {
            until(what, RELOAD, async || {
                let token = Some(&*old).filter(|_| what != "observe");
                let observed = [("why", "missing"), ("enforced", "false")];
                let denied = api.total("sds_writes_denied_total", &observed).await?;
                let closed = put(&api, None, "10.9.9.9:80", (1, 1)).await?.status == 401;
                ensure!(if what == "observe" { denied > 0.0 } else { closed }, "not yet, {token:?}");
                Ok(())
            })
            .await
        };
        let all = async |token: Option<&str>| {
            for (method, path, body) in dialects(2) {
                let answer = say(&api, token, method.clone(), &path, &body).await?;
                ensure!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
            }
            anyhow::Ok(())
        };
        all(None).await?;
        write(&file, &(rule("token", true) + &central(&[&old_hash])))?;
        loaded("observe").await?;
        all(None).await.context("while it is only observed")?;
        all(Some(&old)).await?;
        let said = api.process.log().find("a write that the policy refuses").context("nothing is logged")?;
        ensure!(said.contains("enforced=false") && said.contains("web"), "{said}");

        write(&file, &(rule("token", false) + &central(&[&old_hash])))?;
        loaded("closed").await?;
        all(Some(&old)).await?;
        // The token is exchanged: both live, then only the new one.
        write(&file, &(rule("token", false) + &central(&[&old_hash, &new_hash])))?;
        until("both tokens live", RELOAD, async || put(&api, Some(&new), AT, (1, 1)).await?.expect(200)).await?;
        put(&api, Some(&old), AT, (1, 2)).await?.expect(200)?;
        write(&file, &(rule("token", false) + &central(&[&new_hash])))?;
        until("the old one is dead", RELOAD, async || put(&api, Some(&old), AT, (1, 3)).await?.expect(401)).await?;
        put(&api, Some(&new), AT, (1, 3)).await?.expect(200)?;

        // A slip of the pen, an open door, a file that is gone: the last good policy counts.
        for bad in ["[[services]]\nnames = ['*']\nmod = 'off'", "\u{0}", "[[tokens]]\nname = 'x'\nsha256 = ['abc']"] {
            write(&file, bad)?;
            until("the bad file is noticed", RELOAD, async || {
                ensure!(api.metric("sds_policy_bad").await? == 1.0);
                Ok(())
            })
            .await?;
            put(&api, None, AT, (1, 4)).await?.expect(401)?;
            put(&api, Some(&new), AT, (1, 4)).await?.expect(200)?;
            write(&file, &(rule("token", false) + &central(&[&new_hash])))?;
            until("the good file is noticed", RELOAD, async || {
                ensure!(api.metric("sds_policy_bad").await? == 0.0);
                Ok(())
            })
            .await?;
        }
        api.process.stop(SOON).await?;
        Ok(())
    });
}

#[test]
fn a_bad_or_open_policy_is_refused_at_the_start() {
    play("a_bad_or_open_policy_is_refused_at_the_start", async |stage| {
        let run = async |env: &[(&str, &str)]| {
            let mut command = stage.programs.api();
            command.envs([("SDS_LISTEN", "0.0.0.0:0"), ("SDS_DATA", ":memory:")]).envs(env.iter().copied());
            let ended = tokio::time::timeout(SOON, command.kill_on_drop(true).output()).await??;
            let said = String::from_utf8(ended.stderr)?;
            ensure!(ended.status.code() == Some(64), "{}: {said}", ended.status);
            anyhow::Ok(said)
        };
        for (policy, part) in [
            ("/no/such/file", "SDS_POLICY: /no/such/file"),
            ("{\"services\": 1}", "SDS_POLICY: "),
            (&rule("off", false), "SDS_ALLOW_OPEN_WRITES"),
            (&rule("token", true), "SDS_ALLOW_OPEN_WRITES"),
        ] {
            let said = run(&[("SDS_POLICY", policy)]).await?;
            ensure!(said.contains(part), "{policy}: {said}");
        }
        let checked = stage.programs.api().args(["policy", "check", "{\"tokens\": 1}"]).output().await?;
        ensure!(checked.status.code() == Some(64), "{checked:?}");
        let checked = stage.programs.api().args(["policy", "check", &rule("aws", false)]).output().await?;
        ensure!(checked.status.success(), "{checked:?}");
        Ok(())
    });
}

#[test]
fn each_write_is_one_event_and_one_line() {
    play("each_write_is_one_event_and_one_line", async |stage| {
        let [good, hash] = token(&stage.programs).await?;
        let api = start(stage, &(rule("token", false) + &central(&[&hash])), &[]).await?;
        let unfit = registration((1, 3), json!({"health": "unhealthy", "weight": 5})).to_string();
        let word = json!({"weight": 7, "reason": "x"}).to_string();
        put(&api, Some(&good), AT, (1, 1)).await?.expect(200)?;
        put(&api, Some(&good), AT, (1, 2)).await?.expect(200)?;
        say(&api, Some(&good), Method::PUT, &native_path("web", AT), &unfit).await?.expect(200)?;
        api.send(Method::PUT, &format!("{}/override", native_path("web", AT)), &[], word).await?.expect(200)?;
        let goodbye = format!("{}?incarnation=1&seq=4", native_path("web", AT));
        say(&api, Some(&good), Method::DELETE, &goodbye, "").await?.expect(204)?;
        put(&api, None, AT, (2, 1)).await?.expect(401)?;
        let events = api.get("/v1/events?service=web&audit=true").await?.expect(200)?.json()?;
        let of =
            |value: &Value| (value["event"] == "written").then(|| value["detail"].as_str().unwrap_or("").to_owned());
        let written: Vec<_> = events["events"].as_array().context("no events")?.iter().filter_map(of).collect();
        let central = "token central from 127.0.0.1: ";
        let expected = [
            format!("{central}nothing -> healthy"),
            format!("{central}healthy -> unhealthy, weight 5"),
            "somebody on this machine from 127.0.0.1: unhealthy, weight 5 -> unhealthy, weight 5, override weight 7"
                .into(),
            format!("{central}unhealthy, weight 5, override weight 7 -> deregistered"),
        ];
        ensure!(written == expected, "{written:#?}");
        let lines = api.process.log().lines();
        let written = lines.iter().filter(|line| line.contains("sds_api::registry::audit") && line.contains(AT));
        ensure!(written.count() == expected.len(), "{}", lines.join("\n"));
        let plain = api.get("/v1/events?service=web").await?.expect(200)?.text();
        ensure!(!plain.contains("written"), "who does not ask for the audit gets it: {plain}");
        Ok(())
    });
}

#[test]
fn ecs_events_are_taken_from_a_token_that_delivers_them() {
    play("ecs_events_are_taken_from_a_token_that_delivers_them", async |stage| {
        let [[good, good_hash], [other, other_hash]] = [token(&stage.programs).await?, token(&stage.programs).await?];
        let delivers = format!("[[tokens]]\nname = 'bus'\nsha256 = ['{good_hash}']\nevents = true\n");
        let policy = format!("{delivers}{}{}", central(&[&other_hash]), rule("token", false));
        let ecs = Ecs::start().await?;
        let api = start(stage, &policy, &ecs.env("prod")).await?;
        let event = Task::new("prod", 0).event().to_string();
        let deliver = async |token: Option<&str>| say(&api, token, Method::POST, "/v1/ecs/events", &event).await;
        deliver(Some(&other)).await?.expect(403)?;
        deliver(Some("nobody's")).await?.expect(401)?;
        let taken = deliver(Some(&good)).await?.expect(200)?.json()?;
        ensure!(taken == json!({"outcome": "taken", "changed": 0}), "{taken}");
        say(&api, Some(&good), Method::PUT, &native_path("web", AT), &registration((1, 1), json!({})).to_string())
            .await?
            .expect(403)?;
        Ok(())
    });
}
