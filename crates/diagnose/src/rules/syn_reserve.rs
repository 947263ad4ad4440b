//! # What it sees
//! # Why it happens
//! # How sure
//! # What to do
//! # What not to do
//! # Sources

use crate::{Context, Verdicts};

pub(crate) fn rule(_context: &Context<'_>, _verdicts: &mut Verdicts) {}
