//! x
/// x
#[derive(Debug)]
pub struct Report;
/// x
#[derive(Debug)]
pub struct Status;
