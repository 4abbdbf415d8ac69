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

mod attest;
mod credential;
mod decide;
mod guard;
pub mod keys;
mod lease_token;
mod load;
mod pattern;
mod policy;
mod proof;
mod quiet;
mod sts;
mod task;
pub mod token;

pub use attest::{Attester, Claimed};
pub use credential::Shown;
pub use decide::Denied;
pub use guard::{Admitted, Auth, Claim};
pub use keys::Keys;
pub use lease_token::Lease;
pub use load::{Source, check};
pub use sts::Sts;
