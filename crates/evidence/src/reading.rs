//! A value that was read, or the reason why it was not.
//!
//! A reading that is missing is never a zero and never a bare `None`: a rule without its evidence
//! says "undetermined", and the report says why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// The value was read.
    Known(T),
    /// It was not.
    Missing(Missing),
}

/// Why a value is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Missing {
    /// Nobody asked for it: it is dear, and no verdict needed it.
    NotCollected,
    /// The collector lacks a privilege.
    NotPermitted {
        /// What would permit it, such as `root` or `CAP_SYS_PTRACE`.
        needs: String,
    },
    /// This kernel has no such file, field or counter.
    NotOnThisKernel,
    /// The process or the namespace went away while it was read.
    Vanished,
    /// From where it was looked at it cannot be seen.
    NotVisible {
        /// From where, such as `a packet socket`.
        from: String,
    },
    /// What was read made no sense.
    Unreadable {
        /// The file or message, and what was wrong with it.
        what: String,
    },
}

impl<T> Reading<T> {
    /// The reading of something that was not asked for.
    #[must_use]
    pub const fn not_collected() -> Self {
        Self::Missing(Missing::NotCollected)
    }

    /// Whether nobody asked for the value.
    #[must_use]
    pub const fn is_not_collected(&self) -> bool {
        matches!(self, Self::Missing(Missing::NotCollected))
    }

    /// The value, if there is one.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// A reference to the value, if there is one.
    #[must_use]
    pub const fn get(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// A mutable reference to the value, if there is one.
    #[must_use]
    pub const fn get_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// Why the value is missing, if it is.
    #[must_use]
    pub const fn missing(&self) -> Option<&Missing> {
        match self {
            Self::Known(_) => None,
            Self::Missing(why) => Some(why),
        }
    }

    /// A reading of a reference.
    #[must_use]
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Known(value) => Reading::Known(value),
            Self::Missing(why) => Reading::Missing(why.clone()),
        }
    }

    /// The same reading of something computed from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Missing(why) => Reading::Missing(why),
        }
    }

    /// A reading that needs both values; missing for the first reason met.
    pub fn zip<U>(self, other: Reading<U>) -> Reading<(T, U)> {
        match (self, other) {
            (Self::Known(a), Reading::Known(b)) => Reading::Known((a, b)),
            (Self::Missing(why), _) | (_, Reading::Missing(why)) => Reading::Missing(why),
        }
    }
}

impl<T: Copy> Reading<T> {
    /// A copy of the value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<T> {
        self.get().copied()
    }
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self::not_collected()
    }
}

impl<T> From<Missing> for Reading<T> {
    fn from(why: Missing) -> Self {
        Self::Missing(why)
    }
}

impl Missing {
    /// A [`Missing::NotVisible`].
    pub fn not_visible_from(place: impl Into<String>) -> Self {
        Self::NotVisible { from: place.into() }
    }

    /// An [`Missing::Unreadable`].
    pub fn unreadable(what: impl fmt::Display) -> Self {
        Self::Unreadable { what: what.to_string() }
    }

    /// An [`Missing::NotPermitted`].
    pub fn needs(privilege: impl Into<String>) -> Self {
        Self::NotPermitted { needs: privilege.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCollected => f.write_str("not looked for"),
            Self::NotPermitted { needs } => write!(f, "not permitted (needs {needs})"),
            Self::NotOnThisKernel => f.write_str("not on this kernel"),
            Self::Vanished => f.write_str("gone before it was read"),
            Self::NotVisible { from } => write!(f, "cannot be seen from {from}"),
            Self::Unreadable { what } => write!(f, "unreadable: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_reading_keeps_its_reason_through_map_and_zip() {
        let missing: Reading<u32> = Missing::NotOnThisKernel.into();
        assert_eq!(missing.clone().map(|n| n + 1).missing(), Some(&Missing::NotOnThisKernel));
        assert_eq!(Reading::Known(1).zip(missing).missing(), Some(&Missing::NotOnThisKernel));
        assert_eq!(Reading::Known(1).zip(Reading::Known(2)).known(), Some((1, 2)));
    }
}
