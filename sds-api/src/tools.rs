//! What an operator runs by hand: `sds-api token new`, `sds-api policy check`.

use std::process::ExitCode;

use clap::Subcommand;

use crate::{
    auth::{Source, check, keys, token},
    misconfigured,
};
use sds_types::command::Misconfigured;

/// Things to do instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Tool {
    /// Make secrets: new, key
    #[command(arg_required_else_help = true)]
    Token {
        /// What for.
        #[command(subcommand)]
        what: Secret,
    },
    /// Look at a policy before the registry does: check
    #[command(arg_required_else_help = true)]
    Policy {
        /// What.
        #[command(subcommand)]
        what: Look,
    },
}

/// Secrets that can be made.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Secret {
    /// A static token: give the token to its user, and its hash to the policy
    New,
    /// A key of SDS_TOKEN_KEYS
    Key,
}

/// What can be asked of a policy.
#[derive(Debug, Clone, Subcommand)]
pub enum Look {
    /// What is in it, and whether a registry would read it; exit 64 if not
    #[command(arg_required_else_help = true)]
    Check {
        /// The file
        file: Source,
    },
}

/// Does it.
#[allow(clippy::print_stdout, reason = "it was asked for")]
pub fn run(tool: &Tool) -> ExitCode {
    let said = match tool {
        Tool::Token { what: Secret::New } => token::fresh()
            .map(|token| format!("token   {token}\nsha256  {}", token::Hash::of(&token)))
            .map_err(|error| Misconfigured::new("token", error.to_string())),
        Tool::Token { what: Secret::Key } => {
            keys::fresh().map_err(|error| Misconfigured::new("token", error.to_string()))
        }
        Tool::Policy { what: Look::Check { file } } => {
            check(file).map_err(|reason| Misconfigured::new("policy", reason))
        }
    };
    match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(wrong) => misconfigured(&wrong),
    }
}
