//! Dashboards and alert rules ask for nothing that nobody tells: each metric and each label is on a real page of the
//! registry, a sidecar or an Envoy. (That Prometheus answers them, and that each alert fires: `soak alerts`.)

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use e2e::{
    api::Api,
    app::App,
    dashboard::{self, Board},
    envoy::{Envoy, Shipped},
    http,
    mesh::text,
    pki::Authority,
    promql::{self, Asked},
    rules::{self, Rules},
    sidecar::Sidecar,
    stage::Stage,
    wait::{SOON, until},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::play;

/// Metrics by name, with all labels that some series of theirs has.
type Told = BTreeMap<String, BTreeSet<String>>;

/// What Prometheus lays on each series itself.
const TARGETS: [&str; 2] = ["instance", "job"];
/// Made by Prometheus, of each target.
const OF_PROMETHEUS: &str = "up";

#[test]
fn nothing_is_asked_for_that_nobody_tells() {
    play("nothing_is_asked_for_that_nobody_tells", async |stage| {
        let mut told = told(stage).await?;
        told.insert(OF_PROMETHEUS.to_owned(), BTreeSet::new());
        let rules = rules::shipped()?;
        for (name, rule) in rules.records() {
            let asked = promql::asked(&rule.expr)?;
            missing(&asked, &told).with_context(|| name.to_owned())?;
            told.insert(name.to_owned(), asked.grouped);
        }
        let mut wrong = Vec::new();
        let mut judge = |place: &str, expression: &str, legend: &str| {
            let judged = promql::asked(expression).and_then(|asked| {
                missing(&asked, &told)?;
                legend_fits(&asked, legend, &told)
            });
            wrong.extend(judged.err().map(|error| format!("{place}: {error:#}")));
        };
        for (name, rule) in rules.alerts() {
            judge(name, &rule.expr, "");
        }
        let (mut queries, mut boards) = (0, 0);
        for board in dashboard::all()? {
            for query in board.queries() {
                judge(&query.place, &dashboard::filled(&query.expression, &[("__rate_interval", "1m")]), &query.legend);
                queries += 1;
            }
            for (name, values) in board.variables().into_iter().filter(|(name, _)| name != "datasource") {
                let (expression, label) = label_values(&values).with_context(|| name.clone())?;
                judge(&format!("{}: ${name}", board.name), expression, &format!("{{{{{label}}}}}"));
            }
            boards += 1;
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(boards == 4 && queries > 90, "{queries} queries of {boards} boards were looked at");
        Ok(())
    });
}

/// An error that names a metric which nobody tells, or a label which it has not.
fn missing(asked: &Asked, told: &Told) -> anyhow::Result<()> {
    for selector in &asked.selectors {
        let has = told.get(&selector.metric).with_context(|| format!("nobody tells {}", selector.metric))?;
        let lacks: Vec<_> = selector
            .labels
            .iter()
            .filter(|label| !has.contains(*label) && !TARGETS.contains(&label.as_str()))
            .collect();
        ensure!(lacks.is_empty(), "{} has no {lacks:?}, but {has:?}", selector.metric);
    }
    let lacks: Vec<_> = asked.grouped.iter().filter(|label| !is_there(label, asked, told)).collect();
    ensure!(lacks.is_empty(), "no metric of it has {lacks:?}");
    Ok(())
}

/// Whether a label can be in the outcome.
fn is_there(label: &str, asked: &Asked, told: &Told) -> bool {
    TARGETS.contains(&label)
        || asked.made.contains(label)
        || asked.selectors.iter().any(|selector| told.get(&selector.metric).is_some_and(|has| has.contains(label)))
}

/// A legend names labels of the outcome: those that are grouped by, where it is grouped.
fn legend_fits(asked: &Asked, legend: &str, told: &Told) -> anyhow::Result<()> {
    for label in legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0)) {
        let kept = asked.grouped.is_empty() || asked.grouped.contains(label);
        ensure!(kept && is_there(label, asked, told), "the legend's {label} is no label of it");
    }
    Ok(())
}

/// The series and the label of `label_values(series, label)`.
fn label_values(text: &str) -> anyhow::Result<(&str, &str)> {
    let inner = text.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    inner.and_then(|inner| inner.rsplit_once(", ")).with_context(|| format!("not label_values: {text}"))
}

/// All that a registry, a sidecar and an Envoy tell, once each has something to tell.
async fn told(stage: &Stage) -> anyhow::Result<Told> {
    let policy = "[[services]]\nnames = ['closed']\nmode = 'token'\n[[services]]\nnames = ['*']\nmode = 'off'\n";
    let api = Api::start(stage, &[("SDS_POLICY", policy)]).await?;
    // Refusals are counted by the rule, so the first one makes the series.
    api.put("closed", "127.0.0.1:81", (1, 1), json!({})).await?.expect(401)?;
    let app = App::start(stage, "web").await?;
    let sidecar = Sidecar::start(stage, api.addr, "web", &app, &[]).await?;
    api.until_status("web", &app.endpoint(), "healthy", SOON).await?;
    let front = Shipped::new(&text("envoy/front.yaml")?, "web", &[api.addr])?;
    let front = Envoy::of(stage, &front).await?;
    let client = http::client(SOON);
    let page =
        async |url: String| http::send(&client, Method::GET, &url, &[], "").await?.expect(200).map(|it| it.text());
    let stats = format!("http://{}/stats/prometheus", front.stats.context("no listener for metrics")?);
    until("Envoy to have routed a request and told so", SOON, async || {
        page(format!("http://{}/", front.listener)).await?;
        let told = page(stats.clone()).await?;
        // Its histograms come with its next flush.
        ensure!(told.contains("envoy_cluster_upstream_rq_time_bucket"), "no histogram yet");
        Ok(())
    })
    .await?;
    let mut told = Told::new();
    for page in [
        page(stats).await?,
        page(format!("http://{}/metrics", sidecar.admin)).await?,
        secure(stage).await?,
        page(api.url("/metrics")).await?,
    ] {
        page.lines().filter(|line| !line.starts_with('#')).for_each(|line| take(&mut told, line));
    }
    Ok(told)
}

/// The metrics of a registry with TLS: some are there only then.
async fn secure(stage: &Stage) -> anyhow::Result<String> {
    let authority = Authority::new()?;
    let (cert, key) = (stage.file("cert.pem"), stage.file("key.pem"));
    authority.local()?.write(&cert, &key)?;
    let files = [("SDS_TLS_CERT", &cert), ("SDS_TLS_KEY", &key)];
    let files: Vec<_> = files.iter().filter_map(|(name, path)| Some((*name, path.to_str()?))).collect();
    let api = Api::secure(stage, &files, http::secure_client(SOON, &authority.pem(), None)?).await?;
    Ok(api.get("/metrics").await?.expect(200)?.text())
}

/// One line of a page: `name{label="value",..} 1`.
fn take(told: &mut Told, line: &str) {
    let name = line.split(['{', ' ']).next().unwrap_or_default();
    let labels = told.entry(name.to_owned()).or_default();
    let Some((_, rest)) = line.split_once('{') else { return };
    // What stands before `="` is a label: no value of ours has that in it.
    let names = rest.split("=\"").filter_map(|before| before.rsplit(['"', ',', '{']).next());
    labels.extend(names.map(str::to_owned).filter(|name| !name.is_empty() && !name.starts_with('}')));
}

#[test]
fn dashboards_are_whole() {
    let boards = dashboard::all().unwrap();
    let names: BTreeSet<_> = boards.iter().map(|board| board.json["uid"].as_str().unwrap()).collect();
    assert_eq!(names.len(), boards.len(), "two have one uid");
    for board in &boards {
        let wrong = flaws(board);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", board.name);
    }
}

/// What a person who opens it would miss.
fn flaws(board: &Board) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
    let json = &board.json;
    must(json["schemaVersion"].as_u64().is_some_and(|version| version >= 36), "an old schema".to_owned());
    for text in ["uid", "title", "description"] {
        must(json[text].as_str().is_some_and(|text| !text.is_empty()), format!("no {text}"));
    }
    let variables: Vec<_> = board.variables().into_iter().map(|(name, _)| name).collect();
    must(variables.first().is_some_and(|name| name == "datasource"), "no datasource to choose".to_owned());
    let mut ids = BTreeSet::new();
    let mut taken: BTreeSet<(u64, u64)> = BTreeSet::new();
    for panel in board.panels() {
        let title = panel["title"].as_str().unwrap_or_default();
        must(!title.is_empty(), format!("panel {} has no title", panel["id"]));
        must(ids.insert(panel["id"].as_u64()), format!("{title}: its id is there twice"));
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().unwrap_or(u64::MAX));
        must(w > 0 && h > 0 && w <= 24 && x + w <= 24 && h < 30, format!("{title}: beside the grid"));
        for place in (x..(x + w).min(24)).flat_map(|x| (y..y + h.min(30)).map(move |y| (x, y))) {
            must(taken.insert(place), format!("{title}: another panel is at {place:?}"));
        }
        if panel["type"] == "row" {
            continue;
        }
        let described = panel["description"].as_str().is_some_and(|text| text.ends_with('.') && text.len() > 20);
        must(described, format!("{title}: no description"));
        let defaults = &panel["fieldConfig"]["defaults"];
        must(defaults["unit"].as_str().is_some_and(|unit| !unit.is_empty()), format!("{title}: no unit"));
        must(panel["datasource"]["uid"] == "${datasource}", format!("{title}: a datasource of its own"));
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        must(!targets.is_empty(), format!("{title}: asks for nothing"));
        let refs: BTreeSet<_> = targets.iter().map(|target| target["refId"].to_string()).collect();
        must(refs.len() == targets.len(), format!("{title}: a refId is there twice"));
        must(targets.len() < 2 || targets.iter().all(named), format!("{title}: lines without a name"));
    }
    for query in board.queries() {
        let used = query.expression.split('$').skip(1).map(|rest| rest.trim_start_matches('{'));
        for name in
            used.map(|rest| &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())])
        {
            let known = name == "__rate_interval" || name == "1" || variables.iter().any(|it| it == name);
            must(known, format!("{}: no variable {name}", query.place));
        }
        // An address or a name of one machine is in nobody else's Prometheus.
        must(!query.expression.contains("instance=\""), format!("{}: one instance only", query.place));
    }
    wrong
}

fn named(target: &Value) -> bool {
    target["format"] == "table" || target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty())
}

#[test]
fn each_alert_says_what_to_do() {
    let rules = rules::shipped().unwrap();
    let names: BTreeSet<_> = rules.alerts().map(|(name, _)| name).collect();
    assert!(names.len() > 25 && names.len() == rules.alerts().count(), "{names:?}");
    for (name, rule) in rules.alerts() {
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: {severity:?}");
        let said: Vec<_> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(said, ["description", "runbook", "summary"], "{name}");
        let runbook = &rule.annotations["runbook"];
        let begins = ["`curl ", "`openssl ", "The log", "The dashboard"];
        assert!(begins.iter().any(|begin| runbook.starts_with(begin)) && runbook.contains('`'), "{name}: {runbook}");
        for text in rule.annotations.values() {
            assert!(!text.is_empty() && !text.contains("  "), "{name}: {text}");
        }
    }
    thresholds_have_reasons(&rules);
}

/// Each alert of the file has a comment above its expression, unless it is a flag that is up.
fn thresholds_have_reasons(rules: &Rules) {
    let file = text(e2e::mesh::observed::RULES).unwrap();
    for (name, rule) in rules.alerts() {
        let (_, rest) = file.split_once(&format!("- alert: {name}\n")).unwrap();
        let reason = rest.lines().next().is_some_and(|line| line.trim_start().starts_with("# "));
        assert!(reason || rule.expr.ends_with("== 1"), "{name}: why this threshold?");
    }
}
