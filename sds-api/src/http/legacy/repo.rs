//! lyft/discovery's index by repository, `GET /v1/registration/repo/{repo}`: all hosts whose clients named that
//! repository, whatever their service. A person or a script asks for it now and then, so nothing is kept ready for it.

use axum::{
    body::Body,
    extract::{RawPathParams, State, rejection::RawPathParamsRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sds_types::Label;

use super::super::{Shared, path, state};
use crate::{error::ApiError, render::v1};

pub async fn get(State(app): Shared, params: Result<RawPathParams, RawPathParamsRejection>) -> Response {
    let Ok(params) = params else { return path::not_text().into_response() };
    let repo = match Label::parse("repo", path::word(&params, "repo")) {
        Ok(repo) => repo,
        Err(error) => return ApiError::Invalid(error).into_response(),
    };
    let Some(snapshot) = app.registry.snapshot() else { return ApiError::NotReady.into_response() };
    let found = v1::repo(&snapshot, &repo, &app.env, app.fail_open);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (state::NAME, state::of(&app, found.held, found.fail_open)),
    ];
    (headers, Body::from(found.body)).into_response()
}
