//! Who may write what.
//!
//! ```text
//!   Authorization header --credential--> who asks --guard--> may they? --decide--> yes, or why not
//!                                                    ^
//!                              the policy (SDS_POLICY) --load, watch
//! ```
//!
//! A service's mode says what its writers must show: nothing (`off`), a static token, or their ECS task's role. With
//! `observe` what would be refused is let through, logged once and counted, so that a fleet can be moved without one
//! refused write. Reads are not asked. [`policy`] and [`decide`] are pure; [`guard`] is what handlers call.

mod credential;
#[allow(dead_code)]
mod decide;
#[allow(dead_code)]
mod guard;
mod load;
mod pattern;
#[allow(dead_code)]
pub mod policy;
mod quiet;
pub mod token;

pub use credential::Shown;
pub use decide::Denied;
pub use guard::{Auth, Claim};
pub use load::{Source, Terms, check};
