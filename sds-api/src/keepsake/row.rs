//! A row as a line of the snapshot. The words are the table's; every one is checked anew when it is read, for a file can
//! have been edited by anybody.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use sds_types::{Endpoint, Label, Locality, Sequence, ServiceName, Tags, Weight};
use serde::{Deserialize, Serialize};

use crate::instance::{Content, Key, Origin, Override, Registration, Row, Standing, Status};

#[derive(Debug, Serialize, Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    service: Cow<'a, str>,
    ip_port: String,
    incarnation: u64,
    seq: u64,
    rev: u64,
    status: Cow<'a, str>,
    origin: Cow<'a, str>,
    #[serde(default)]
    expire_time: u64,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    revision: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    canary: bool,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    region: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    zone: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    instance_id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    task: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    repo: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operator: Option<Word<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Word<'a> {
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(default)]
    weight: Option<i64>,
    #[serde(default)]
    canary: Option<bool>,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
    #[serde(borrow, default)]
    who: Cow<'a, str>,
    until: u64,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
}

fn str_is_empty(text: &str) -> bool {
    text.is_empty()
}

fn status(text: &str) -> Option<Status> {
    [Status::Healthy, Status::Unhealthy, Status::Draining].into_iter().find(|status| status.as_str() == text)
}

fn label<const MAX: usize>(text: &str) -> Option<Label<MAX>> {
    Label::parse("label", text).ok()
}

fn weight(weight: Option<i64>) -> Option<Option<Weight>> {
    weight.map(Weight::try_from).transpose().ok()
}

impl<'a> Line<'a> {
    /// A row in service; of another one nothing is kept.
    pub fn of(row: &'a Row) -> Option<Self> {
        let standing = row.registration()?;
        let content = &standing.content;
        Some(Self {
            service: row.key.service.as_str().into(),
            ip_port: row.key.endpoint.to_string(),
            incarnation: row.at.incarnation,
            seq: row.at.seq,
            rev: row.rev,
            status: standing.status.as_str().into(),
            origin: standing.origin.as_str().into(),
            expire_time: standing.expire_time,
            revision: content.revision.as_str().into(),
            weight: content.weight.map(|weight| weight.get().into()),
            canary: content.canary,
            region: content.locality.region.as_str().into(),
            zone: content.locality.zone.as_str().into(),
            instance_id: content.instance_id.as_str().into(),
            task: content.task_arn.as_str().into(),
            repo: content.service_repo_name.as_str().into(),
            tags: content.tags.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            operator: row.operator.as_deref().map(|word| Word {
                status: word.status.map(|status| status.as_str().into()),
                weight: word.weight.map(|weight| weight.get().into()),
                canary: word.canary,
                reason: word.reason.as_str().into(),
                who: word.who.as_str().into(),
                until: word.until,
                tenant: word.tenant.as_str().into(),
            }),
        })
    }

    /// The row, if all of it is well.
    pub fn row(self) -> Option<Row> {
        let endpoint: Endpoint = self.ip_port.parse().ok()?;
        let key = Key { service: self.service.parse::<ServiceName>().ok()?, endpoint };
        let content = Content {
            revision: label(&self.revision)?,
            weight: weight(self.weight)?,
            canary: self.canary,
            locality: Locality { region: label(&self.region)?, zone: label(&self.zone)? },
            instance_id: label(&self.instance_id)?,
            task_arn: label(&self.task)?,
            service_repo_name: label(&self.repo)?,
            tags: Tags::parse(self.tags).ok()?,
        };
        let standing = Registration {
            status: status(&self.status)?,
            content: Arc::new(content),
            origin: Origin::parse(&self.origin),
            lost: false,
            expire_time: self.expire_time,
        };
        Some(Row {
            key,
            at: Sequence { incarnation: self.incarnation, seq: self.seq },
            rev: self.rev,
            standing: Standing::In(standing),
            operator: self.operator.and_then(Word::word).map(Arc::new),
        })
    }
}

impl Word<'_> {
    fn word(self) -> Option<Override> {
        Some(Override {
            status: self.status.and_then(|word| status(&word)),
            weight: weight(self.weight)?,
            canary: self.canary,
            reason: label(&self.reason)?,
            who: label(&self.who)?,
            until: self.until,
            tenant: self.tenant.into_owned(),
        })
    }
}
