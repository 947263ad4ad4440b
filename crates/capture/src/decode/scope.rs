//! The VLANs and tunnels around a packet, as a number. The same addresses and ports in two of them are
//! two connections.

use std::collections::BTreeMap;
use std::fmt;

/// Tags around a packet that count; deeper ones are left out.
const MAX_TAGS: usize = 6;

/// Scopes that are told apart; packets in further ones share the last number.
const MAX_SCOPES: usize = 16_384;

/// Latest scopes that are found without a search; a power of two.
const RECENT: usize = 256;

/// The scopes of a capture, by number. Number 0 is a packet without any.
#[derive(Clone, Debug)]
pub struct Scopes {
    numbers: BTreeMap<Path, u32>,
    paths: Vec<Path>,
    recent: Box<[u32; RECENT]>,
    overflowed: bool,
}

/// A VLAN or a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub(super) kind: TagKind,
    pub(super) id: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TagKind {
    #[default]
    Vlan,
    Service,
    Vxlan,
    Geneve,
    Gre,
    Erspan,
    Gtp,
}

/// Tags from the outermost to the innermost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    tags: [Tag; MAX_TAGS],
    len: usize,
}

impl Scopes {
    /// The name of a scope, such as `vlan 7` or `vlan 7, vxlan 42`; none for number 0.
    #[must_use]
    pub fn name(&self, scope: u32) -> Option<String> {
        if scope == Self::OTHERS {
            return Some("one of further scopes".to_owned());
        }
        let path = self.path(scope).filter(|path| path.len > 0)?;
        Some(path.tags().iter().map(Tag::to_string).collect::<Vec<_>>().join(", "))
    }

    /// How many are told apart; their numbers are those below.
    #[must_use]
    pub fn count(&self) -> usize {
        self.paths.len()
    }

    /// Whether a scope lies in a VLAN: in that one, or in any.
    #[must_use]
    pub fn is_in_vlan(&self, scope: u32, vlan: Option<u16>) -> bool {
        self.path(scope).is_some_and(|path| {
            let wanted = |id| vlan.is_none_or(|vlan| u32::from(vlan) == id);
            path.tags().iter().any(|tag| tag.kind == TagKind::Vlan && wanted(tag.id))
        })
    }

    /// Whether there were more than are told apart, so that connections may be mixed up.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    const OTHERS: u32 = u32::MAX;

    fn path(&self, scope: u32) -> Option<&Path> {
        self.paths.get(scope as usize)
    }

    /// The number of a path.
    #[inline]
    pub(super) fn number(&mut self, path: &Path) -> u32 {
        if path.len == 0 { 0 } else { self.number_of_tags(path) }
    }

    fn number_of_tags(&mut self, path: &Path) -> u32 {
        let slot = path.hash() % RECENT;
        if let Some(&scope) = self.recent.get(slot)
            && self.path(scope) == Some(path)
        {
            return scope;
        }
        let scope = match self.numbers.get(path) {
            Some(&scope) => scope,
            None if self.paths.len() >= MAX_SCOPES => {
                self.overflowed = true;
                return Self::OTHERS;
            }
            None => {
                let scope = u32::try_from(self.paths.len()).unwrap_or(Self::OTHERS);
                self.paths.push(*path);
                self.numbers.insert(*path, scope);
                scope
            }
        };
        if let Some(recent) = self.recent.get_mut(slot) {
            *recent = scope;
        }
        scope
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self {
            numbers: BTreeMap::new(),
            paths: vec![Path::default()],
            recent: Box::new([0; RECENT]),
            overflowed: false,
        }
    }
}

impl Path {
    pub(super) fn push(&mut self, tag: Tag) {
        if let Some(free) = self.tags.get_mut(self.len) {
            *free = tag;
            self.len += 1;
        }
    }

    fn tags(&self) -> &[Tag] {
        self.tags.get(..self.len).unwrap_or_default()
    }

    fn hash(&self) -> usize {
        self.tags().iter().fold(self.len, |hash, tag| {
            (hash.rotate_left(5) ^ tag.id as usize).wrapping_add(tag.kind as usize)
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match self.kind {
            TagKind::Vlan => write!(f, "vlan {id}"),
            TagKind::Service => write!(f, "i-sid {id}"),
            TagKind::Vxlan => write!(f, "vxlan {id}"),
            TagKind::Geneve => write!(f, "geneve {id}"),
            TagKind::Gre => write!(f, "gre {id}"),
            TagKind::Erspan => write!(f, "erspan {id}"),
            TagKind::Gtp => f.write_str("gtp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vlan(id: u32) -> Path {
        let mut path = Path::default();
        path.push(Tag { kind: TagKind::Vlan, id });
        path
    }

    #[test]
    fn a_scope_keeps_its_number_and_has_a_name() {
        let mut scopes = Scopes::default();
        let mut nested = vlan(7);
        nested.push(Tag { kind: TagKind::Vxlan, id: 42 });
        let numbers: Vec<_> = [Path::default(), vlan(7), vlan(7 + 256), nested, vlan(7)]
            .iter()
            .map(|path| scopes.number(path))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3, 1]);
        let names: Vec<_> = (0..5).map(|scope| scopes.name(scope)).collect();
        let name = |text: &str| Some(text.to_owned());
        let expected = [None, name("vlan 7"), name("vlan 263"), name("vlan 7, vxlan 42"), None];
        assert_eq!(names, expected);
        assert!(scopes.is_in_vlan(3, Some(7)) && scopes.is_in_vlan(2, None));
        assert!(!scopes.is_in_vlan(3, Some(8)) && !scopes.is_in_vlan(0, None));
    }

    #[test]
    fn the_number_of_scopes_has_a_bound() {
        let mut scopes = Scopes::default();
        for id in 0..100_000 {
            scopes.number(&vlan(id));
        }
        assert_eq!(scopes.paths.len(), MAX_SCOPES);
        assert!(scopes.overflowed());
        assert_eq!(
            scopes.name(scopes.clone().number(&vlan(99_999))).unwrap(),
            "one of further scopes"
        );
        assert_eq!(scopes.number(&vlan(5)), 6);
    }
}
