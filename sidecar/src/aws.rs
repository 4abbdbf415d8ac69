//! The little of AWS that a sidecar needs to show which task it is in: the task role's credentials, and a signature with them.
//! It calls no service of AWS: who is to be convinced does that.

pub mod credentials;
pub mod sign;
