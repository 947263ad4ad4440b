//! Parity: the model against the running kernel.
//!
//! The simulator and the lab play the same scenario files and give the same kind of account. For the
//! scenarios whose outcome is exact (`parity = true`) the two accounts must agree, value by value and
//! segment by segment, or the model is wrong about this kernel.
//!
//! - [`compare`] says where two accounts disagree; it is pure. What it can not compare, and why, stands
//!   there.
//! - [`play`] gets both accounts of every scenario, several at a time.
//! - [`table`] and [`json`] print what came of it.
//!
//! The scenarios of incidents are not exact: their clients and servers never stop. About those, model
//! and kernel agree by their verdict. `expect` names the findings; `halfopen lab run all --check` holds
//! the running kernel to them, and the tests of the simulator hold the model to the same ones.

mod compare;
mod play;
mod report;

pub use compare::{Aspect, Disagreement, NOT_COMPARED, TimerWheel, compare};
pub use play::{Outcome, Row, exact_scenarios, play};
pub use report::{Totals, explanation, json, table};
