//! Turns evidence into findings, and findings into reports. Pure: values in, values out.
//!
//! [`diagnose`] runs every rule over an [`Evidence`] and returns a [`Diagnosis`]: what was found,
//! what could not be determined and why, and what the rules want to know to say more. The edge
//! fetches the wants and asks again until there are none that it has not answered.
//! [`diagnose_watched`] does the same for handshakes that were seen on their way, in a capture.
//!
//! - [`Finding`] and [`Subject`] are what a rule says and about what.
//! - `rules/` holds one file per finding id; its opening comment is the page that
//!   [`FindingId::page`] returns and that the manual is made of.
//! - `analysis/` holds judgements that several rules share, each made once in [`Context`].
//! - [`Filter`] narrows a report to some listeners; [`Report`] is what is printed, as text, Markdown
//!   or JSON.

mod analysis;
mod context;
mod diagnosis;
mod filter;
mod finding;
#[cfg(test)]
#[allow(dead_code, reason = "the rules' tests use one builder or another")]
mod fixture;
mod id;
pub mod report;
mod rules;
mod subject;
pub mod words;

pub use analysis::lock_chain::{ChainEnd, LockChain};
pub use analysis::serving::{Doing, ThreadName};
pub use context::{Context, ListenerView};
pub use diagnosis::{Diagnosis, Undetermined, Verdicts, diagnose, diagnose_watched};
pub use filter::{Filter, FilterError};
pub use finding::{Confidence, Fact, Finding, Severity};
pub use id::FindingId;
pub use report::{FindingEntry, Report, Status, TextOptions};
pub use subject::{Subject, SubjectKind};

#[doc(no_inline)]
pub use halfopen_evidence::Evidence;
