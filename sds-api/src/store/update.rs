//! One conditional update, and the three ways in which it may be answered.

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata as _,
    operation::update_item::UpdateItemError as Error,
    types::{ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure},
};

use super::{
    Store, StoreError,
    calls::{Time, failed},
    expression::Update,
    item::Item,
};

const NAME: &str = "UpdateItem";

/// The answer.
#[derive(Debug)]
pub(super) enum Updated {
    /// The item as it stands now.
    Done(Item),
    /// The condition failed; the item, if one stands there.
    Refused(Option<Item>),
    /// It holds, and the update does not fit what stands there, or anything.
    Invalid(StoreError),
}

impl Store {
    /// Changes the item at `key` if the condition holds.
    pub(super) async fn update(
        &self,
        key: Item,
        update: Update,
        condition: String,
        time: Time,
    ) -> Result<Updated, StoreError> {
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression(update.text())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let send = || async {
            let error = match call.clone().send().await {
                Ok(answer) => {
                    self.calls.write_units(answer.consumed_capacity.iter());
                    return Ok((Updated::Done(answer.attributes.unwrap_or_default()), "ok"));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(Error::ConditionalCheckFailedException(refused)) => {
                    Ok((Updated::Refused(refused.item().cloned()), "refused"))
                }
                Some(other) if other.code() == Some("ValidationException") => {
                    Ok((Updated::Invalid(failed(NAME, &error)), "denied"))
                }
                _ => Err(error),
            }
        };
        let (updated, outcome) = self.call(NAME, time, send).await?;
        self.calls.ended(NAME, outcome);
        Ok(updated)
    }
}
