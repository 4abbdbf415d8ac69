//! The dashboards as they are shipped, as far as a test looks at them: their panels and what these ask Prometheus for.
//! There is no Grafana here that would draw them.

use anyhow::Context;
use serde_json::Value;

use crate::mesh;

/// Their names, in `docker/grafana/dashboards/`.
pub const ALL: [&str; 4] = ["service", "envoy", "services", "registry"];

/// One of them.
#[derive(Debug)]
pub struct Board {
    /// Its name.
    pub name: &'static str,
    /// All of it.
    pub json: Value,
}

/// What a panel asks for.
#[derive(Debug, Clone)]
pub struct Query {
    /// `board: panel`.
    pub place: String,
    /// In PromQL, with Grafana's variables in it.
    pub expression: String,
    /// What names its lines.
    pub legend: String,
}

/// All of them.
pub fn all() -> anyhow::Result<Vec<Board>> {
    let board = |name| {
        let text = mesh::text(&format!("grafana/dashboards/{name}.json"))?;
        anyhow::Ok(Board { name, json: serde_json::from_str(&text).context(name)? })
    };
    ALL.into_iter().map(board).collect()
}

impl Board {
    /// All panels, rows among them.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        self.json["panels"].as_array().into_iter().flatten()
    }

    /// What they ask for.
    pub fn queries(&self) -> Vec<Query> {
        let of = |panel: &Value| {
            let place = format!("{}: {}", self.name, panel["title"].as_str().unwrap_or_default());
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            targets.into_iter().map(move |target| Query {
                place: place.clone(),
                expression: target["expr"].as_str().unwrap_or_default().to_owned(),
                legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
            })
        };
        self.panels().flat_map(of).collect()
    }

    /// Its variables: the name, and what Prometheus is asked for their values.
    pub fn variables(&self) -> Vec<(String, String)> {
        let list = self.json["templating"]["list"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        list.map(|it| (text(&it["name"]), text(&it["query"]["query"]))).collect()
    }
}

/// An expression with these values for Grafana's variables.
pub fn filled(expression: &str, values: &[(&str, &str)]) -> String {
    // The longest name first: $service is the beginning of another one's name.
    let mut values = values.to_vec();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    values.iter().fold(expression.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}
