//! Whatever answers in the place of the registry or of the app, a sidecar neither runs hot nor dies of it, and ends in time.

use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    foreign::{Foreign, Script},
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, throughout, until},
};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{alone, play};

const SPAN: Duration = Duration::from_secs(4);
/// The harness's linger and 10 s.
const END: Duration = Duration::from_secs(1 + 10);

/// Calls in so much time: two a second, and the first ones at once.
fn allowed(span: Duration) -> usize {
    2 * span.as_secs() as usize + 2
}

fn well() -> Script {
    Script::answer("200 OK", "", r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"v","vouched":true}"#)
}

fn of_a_registry() -> Vec<(&'static str, Script)> {
    let page = "<html><body>Please log in</body></html>";
    let superseded = r#"{"id":"Superseded","reason":"newer","current":{"incarnation":9000000000000000,"seq":7}}"#;
    let elsewhere = "location: http://127.0.0.1:1/login\r\n";
    let pause = Duration::from_millis(200);
    vec![
        ("401", Script::answer("401 Unauthorized", "www-authenticate: Bearer\r\n", page)),
        ("409 of another", Script::answer("409 Conflict", "", page)),
        ("409", Script::answer("409 Conflict", "", superseded)),
        ("413", Script::answer("413 Content Too Large", "", "")),
        ("429 for a day", Script::answer("429 Too Many Requests", "retry-after: 86400\r\n", "")),
        ("503 page", Script::answer("503 Service Unavailable", "retry-after: 0\r\n", page)),
        ("200 page", Script::answer("200 OK", "content-type: text/html\r\n", page)),
        ("302", Script::answer("302 Found", elsewhere, "")),
        ("1 MB", Script::answer("200 OK", "", &"x".repeat(1 << 20))),
        (
            "unvouched",
            Script::answer("200 OK", "", r#"{"lease_ms":3000,"heartbeat_ms":1000,"version":"","vouched":false}"#),
        ),
        ("dripped head", Script::Endless("HTTP/1.1 200 OK\r\nx: ".into(), "x", pause)),
        ("dripped body", Script::Endless("HTTP/1.1 200 OK\r\n\r\n{".into(), " ", pause)),
        ("cut off", Script::Reset("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into())),
        ("no HTTP", Script::Say("SSH-2.0-OpenSSH_9.6\r\n".into())),
        ("silence", Script::Hang),
    ]
}

/// From the start on, or after a registry had answered well.
async fn bears(stage: &Stage, app: &App, script: Script, well_first: bool) -> anyhow::Result<()> {
    let registry = Foreign::start(if well_first { well() } else { script.clone() }).await?;
    let mut sidecar = Sidecar::start(stage, registry.addr, "web", app, &[]).await?;
    let mut asked = 0;
    if well_first {
        until("it to be registered", SOON, async || {
            ensure!(sidecar.page("/readyz").await? == 200);
            Ok(())
        })
        .await?;
        registry.turn(script);
        asked = registry.asked();
    }
    until("a call", SOON, async || {
        ensure!(registry.asked() > asked);
        Ok(())
    })
    .await?;
    throughout("it lives", SPAN, async || {
        ensure!(sidecar.page("/livez").await? == 200, "it does not");
        Ok(())
    })
    .await?;
    let calls = registry.asked() - asked;
    ensure!(calls <= allowed(SPAN), "{calls} calls in {SPAN:?}");

    let asked = registry.asked();
    let status = sidecar.process.stop(END).await?;
    ensure!(status.success(), "{status}");
    let calls = registry.asked() - asked;
    ensure!(calls <= allowed(END), "{calls} calls to say goodbye");
    Ok(())
}

#[test]
fn in_the_place_of_the_registry() {
    alone("in_the_place_of_the_registry", async |stage| {
        let app = App::start(stage, "app").await?;
        let rows = of_a_registry()
            .into_iter()
            .flat_map(|(name, script)| [false, true].map(|well_first| (name, script.clone(), well_first)));
        let bear = async |(name, script, well_first): (&str, Script, bool)| {
            let start = Instant::now();
            bears(stage, &app, script, well_first)
                .await
                .with_context(|| format!("{name}, well first: {well_first}"))?;
            println!("{name}, well first: {well_first}: {:.1?}", start.elapsed());
            anyhow::Ok(())
        };
        try_join_all(rows.map(bear)).await.map(drop)
    });
}

#[test]
fn the_registrys_refusal_is_told_to_who_asks_the_sidecar() {
    play("the_registrys_refusal_is_told_to_who_asks_the_sidecar", async |stage| {
        let app = App::start(stage, "app").await?;
        let refusal = r#"{"id":"Forbidden","reason":"no rule for web"}"#;
        let registry = Foreign::start(Script::answer("403 Forbidden", "", refusal)).await?;
        let sidecar = Sidecar::start(stage, registry.addr, "web", &app, &[]).await?;
        until("it to say why it is not ready", SOON, async || {
            let told = sidecar.text("/readyz").await?;
            ensure!(told.contains("403 Forbidden: no rule for web"), "{told}");
            Ok(())
        })
        .await?;
        registry.turn(well());
        until("it to be ready", SOON, async || {
            let told = sidecar.text("/readyz").await?;
            ensure!(told == "ok\n" || told == "ok", "{told}");
            Ok(())
        })
        .await
    });
}

fn of_an_app() -> Vec<(&'static str, Script, bool)> {
    let second = Duration::from_secs(1);
    let ok = || "HTTP/1.1 200 OK\r\n".to_owned();
    let status = |status: &str, fit: bool| (Script::answer(status, "location: /\r\n", ""), fit);
    let row = |name, (script, fit): (Script, bool)| (name, script, fit);
    vec![
        row("200", status("200 OK", true)),
        row("204", (Script::Say("HTTP/1.1 204 No Content\r\n\r\n".into()), true)),
        // 64 KB of it have shown enough.
        row("endless body", (Script::Endless(ok() + "\r\n", "all is well\n", Duration::ZERO), true)),
        row("301", status("301 Moved Permanently", false)),
        row("401", status("401 Unauthorized", false)),
        row("500", status("500 Internal Server Error", false)),
        row("endless headers", (Script::Endless(ok(), "x-more: and more\r\n", Duration::ZERO), false)),
        row("a byte a second", (Script::Endless(ok() + "content-length: 3\r\n\r\n", "x", second), false)),
        row("reset after 200", (Script::Reset(ok() + "content-length: 3\r\n\r\nx"), false)),
        row("silence", (Script::Hang, false)),
    ]
}

#[test]
fn in_the_place_of_the_app() {
    alone("in_the_place_of_the_app", async |stage| {
        let api = Api::start(stage, &[]).await?;
        let neighbour = App::start(stage, "neighbour").await?;
        let judge = async |(name, script, fit): (&'static str, Script, bool)| {
            let app = Foreign::start(script).await?;
            let (port, check) = (app.addr.port().to_string(), format!("http://{}/health", app.addr));
            let env = [("SDS_PORT", port.as_str()), ("SDS_CHECK", &check), ("SDS_START_PERIOD", "0s")];
            let sidecar = Sidecar::start(stage, api.addr, "web", &neighbour, &env).await?;
            let at = app.addr.to_string();
            if fit {
                api.until_status("web", &at, "healthy", SOON).await.context(name)?;
            } else {
                // More than it takes to be believed to be sick.
                until("probes", SOON, async || {
                    ensure!(app.asked() > 4, "{} probes", app.asked());
                    Ok(())
                })
                .await
                .context(name)?;
                ensure!(api.status("web", &at).await? == "absent", "{name}: it was registered");
            }
            ensure!(sidecar.page("/livez").await? == 200, "{name}: it does not live");
            anyhow::Ok(())
        };
        try_join_all(of_an_app().into_iter().map(judge)).await.map(drop)
    });
}
