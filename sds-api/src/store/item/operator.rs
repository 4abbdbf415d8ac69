//! What an operator laid over a row (`ov_*`). These attributes are written by nobody else, and no other write touches them.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use sds_types::Weight;

use super::{
    super::expression::Update,
    Item,
    attribute::{boolean, label, n, number, reason, s, text},
    write,
};
use crate::instance::{Key, Override, Status};

const ALL: [&str; 7] = ["ov_status", "ov_weight", "ov_canary", "ov_reason", "ov_who", "ov_until", "ov_task"];

/// The override of a row. One that cannot be read in full is not obeyed, and its row is served all the same.
pub(super) fn read(item: &Item, key: &Key) -> Option<Arc<Override>> {
    if !ALL.iter().any(|name| item.contains_key(*name)) {
        return None;
    }
    match parse(item) {
        Ok(operator) => Some(Arc::new(operator)),
        Err(reason) => {
            tracing::debug!(instance = %key, reason, "an override cannot be read and is not obeyed");
            None
        }
    }
}

fn parse(item: &Item) -> Result<Override, String> {
    let status = match text(item, "ov_status")? {
        None => None,
        Some("UNHEALTHY") => Some(Status::Unhealthy),
        Some("DRAINING") => Some(Status::Draining),
        Some(_) => return Err("ov_status is not UNHEALTHY or DRAINING".into()),
    };
    let weight = match item.get("ov_weight") {
        None => None,
        Some(_) => {
            let weight = i64::try_from(number(item, "ov_weight")?).unwrap_or(i64::MAX);
            Some(Weight::try_from(weight).map_err(reason)?)
        }
    };
    Ok(Override {
        status,
        weight,
        canary: boolean(item, "ov_canary")?,
        reason: label(item, "ov_reason")?,
        who: label(item, "ov_who")?,
        until: number(item, "ov_until")?,
        tenant: text(item, "ov_task")?.ok_or("ov_task is missing")?.to_owned(),
    })
}

/// Writes all of an override, or removes it; nothing of a former one stays.
pub fn set(update: Update, new: Option<&Override>) -> Update {
    let Some(new) = new else { return ALL.into_iter().fold(update, Update::remove) };
    let or_remove = |update: Update, name: &str, value: Option<AttributeValue>| match value {
        Some(value) => update.set(name, value),
        None => update.remove(name),
    };
    let update = or_remove(update, "ov_status", new.status.map(write::status));
    let update = or_remove(update, "ov_weight", new.weight.map(|weight| n(weight.get().into())));
    let update = or_remove(update, "ov_canary", new.canary.map(AttributeValue::Bool));
    let update = update.set_text("ov_reason", new.reason.as_str()).set_text("ov_who", new.who.as_str());
    update.set("ov_until", n(new.until)).set("ov_task", s(new.tenant.as_str()))
}
