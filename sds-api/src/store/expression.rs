//! Writes one update expression at a time: every attribute goes through a placeholder, so that no name of ours can
//! meet one of DynamoDB's several hundred reserved words.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{n, s};

const MOVE: &str = "#rev = if_not_exists(#rev, :now) + :one";

/// An update in the making; `#x` and `:x` stand for the attribute and the value called `x`.
#[derive(Debug, Clone, Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Update {
    /// An update that also moves `rev`; `now_ms` starts the count of a new row above any earlier one's.
    pub(super) fn moving(now_ms: u64) -> Self {
        let mut update = Self::default().name("rev").value("now", n(now_ms)).value("one", n(1));
        update.set.push(MOVE.into());
        update
    }

    /// The same, but that `rev` starts anew: for a row whose `rev` is no number, so that nothing can be added to it.
    pub(super) fn starting_anew(mut self) -> Self {
        for set in &mut self.set {
            if set == MOVE {
                *set = "#rev = :now".into();
                self.values.remove(":one");
            }
        }
        self
    }

    pub(super) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = :{name}"));
        self.value(name, value).name(name)
    }

    /// Sets what is not there yet.
    pub(super) fn set_first(mut self, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self.value(name, value).name(name)
    }

    /// Sets text, or takes the attribute away if there is none.
    pub(super) fn set_text(self, name: &str, text: &str) -> Self {
        if text.is_empty() { self.remove(name) } else { self.set(name, s(text)) }
    }

    pub(super) fn remove(mut self, name: &str) -> Self {
        self.remove.push(format!("#{name}"));
        self.name(name)
    }

    /// A name that only the condition uses.
    pub(super) fn name(mut self, name: &str) -> Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// A value that only the condition uses.
    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("SET {}", self.set.join(", "));
        if !self.remove.is_empty() {
            text.push_str(" REMOVE ");
            text.push_str(&self.remove.join(", "));
        }
        text
    }
}
