//! Where the task role's credentials are, by the variables that ECS sets and that AWS's SDKs read. They are looked at only
//! when the role is to be proven, so that a variable for others stops nobody; the secret ones are options like all others, but are meant to be variables.

use std::path::PathBuf;

use clap::Args;
use sds_types::{Secret, command::Misconfigured};

use crate::aws::credentials::{Source, Token, full, relative};

/// AWS's variables.
#[derive(Debug, Clone, Default, Args)]
pub struct Credentials {
    /// Set by ECS: the path of the task role's credentials at 169.254.170.2
    #[arg(long, env = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", value_name = "PATH")]
    aws_container_credentials_relative_uri: Option<String>,
    /// The same as a whole URL, of https or near
    #[arg(long, env = "AWS_CONTAINER_CREDENTIALS_FULL_URI", value_name = "URL")]
    aws_container_credentials_full_uri: Option<String>,
    /// What that URL wants as Authorization, in a file
    #[arg(long, env = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", value_name = "FILE")]
    aws_container_authorization_token_file: Option<PathBuf>,
    /// What that URL wants as Authorization
    #[arg(long, env = "AWS_CONTAINER_AUTHORIZATION_TOKEN", value_name = "TOKEN")]
    aws_container_authorization_token: Option<Secret>,
    /// A role's temporary key, where none of these is set
    #[arg(long, env = "AWS_ACCESS_KEY_ID", value_name = "ID")]
    aws_access_key_id: Option<Secret>,
    /// Its secret
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", value_name = "SECRET")]
    aws_secret_access_key: Option<Secret>,
    /// Its session token; a key without one is no role's
    #[arg(long, env = "AWS_SESSION_TOKEN", value_name = "TOKEN")]
    aws_session_token: Option<Secret>,
}

impl Credentials {
    /// Where they are.
    pub fn source(self) -> Result<Source, Misconfigured> {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let wrong = |variable: &'static str| move |reason: &'static str| Misconfigured::new(variable, reason);
        let token = match (self.aws_container_authorization_token_file, self.aws_container_authorization_token) {
            (Some(path), _) => Token::File(path),
            (None, Some(text)) => Token::Text(text),
            (None, None) => Token::None,
        };
        Ok(match (self.aws_container_credentials_relative_uri, self.aws_container_credentials_full_uri) {
            // The token is for the other URL: ECS's own address wants none.
            (Some(path), _) => Source::Endpoint(relative(&path).map_err(wrong(RELATIVE))?, Token::None),
            (None, Some(url)) => Source::Endpoint(full(&url).map_err(wrong(FULL))?, token),
            (None, None) => match (self.aws_access_key_id, self.aws_secret_access_key, self.aws_session_token) {
                (Some(id), Some(secret), Some(token)) => Source::Given(id, secret, token),
                _ => Source::Nowhere,
            },
        })
    }
}
