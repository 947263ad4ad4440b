//! Judgements that several rules share.

pub(crate) mod accepting;
