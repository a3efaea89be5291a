//! Patterns in hash tables: the cost of a lookup does not grow with their number, but for wildcards in the middle.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::glob::Glob;
use super::pattern::{with_forms, Forms, Pattern};
use crate::sip::Uri;

/// What a user part may be at: any host (none), or these.
type Where = Option<Box<Hosts>>;
type Table = HashMap<Box<[u8]>, Where, FixedState>;

/// Hosts of one user.
#[derive(Clone, Debug, Default)]
struct Hosts {
    /// Sorted once all are in.
    whole: Vec<Vec<u8>>,
    globs: Vec<Glob>,
}

impl Hosts {
    fn matches(&self, host: &[u8]) -> bool {
        let host = host.to_ascii_lowercase();
        self.whole.binary_search(&host).is_ok() || self.globs.iter().any(|g| g.matches(&host))
    }

    fn add(&mut self, host: Glob) {
        match host.pieces() {
            [whole] => self.whole.push(whole.clone()),
            _ => self.globs.push(host),
        }
    }
}

/// Enters a user at a host; any host covers all others.
fn enter(table: &mut Table, user: &[u8], host: Option<Glob>) {
    let entry = table.entry(user.into()).or_insert_with(|| Some(Box::default()));
    match (host, entry) {
        (None, entry) => *entry = None,
        (Some(host), Some(hosts)) => hosts.add(host),
        (Some(_), None) => {}
    }
}

#[inline]
fn holds(table: &Table, user: &[u8], host: &[u8]) -> bool {
    table.get(user).is_some_and(|w| w.as_ref().is_none_or(|hosts| hosts.matches(host)))
}

/// Prefixes or suffixes, looked up length by length.
#[derive(Debug, Default)]
struct Affixes {
    table: Table,
    /// Lengths that occur, ascending.
    lengths: Vec<usize>,
}

impl Affixes {
    fn add(&mut self, affix: &[u8], host: Option<Glob>) {
        if let Err(at) = self.lengths.binary_search(&affix.len()) {
            self.lengths.insert(at, affix.len());
        }
        enter(&mut self.table, affix, host);
    }

    #[inline]
    fn matches<'u>(&self, user: &'u [u8], host: &[u8], affix: impl Fn(usize) -> &'u [u8]) -> bool {
        self.lengths.iter().take_while(|n| **n <= user.len()).any(|n| holds(&self.table, affix(*n), host))
    }
}

/// Patterns of one kind: of names, or of numbers.
#[derive(Debug, Default)]
struct Kind {
    whole: Table,
    prefixes: Affixes,
    suffixes: Affixes,
    /// Those with a star in another place.
    others: Vec<(Glob, Where)>,
    /// How many patterns went in.
    count: usize,
}

impl Kind {
    fn add(&mut self, user: Glob, host: Option<Glob>) {
        self.count += 1;
        match user.pieces() {
            [whole] => enter(&mut self.whole, whole, host),
            [prefix, last] if last.is_empty() => self.prefixes.add(prefix, host),
            [first, suffix] if first.is_empty() => self.suffixes.add(suffix, host),
            _ => {
                let place = host.map(|h| {
                    let mut hosts = Hosts::default();
                    hosts.add(h);
                    Box::new(hosts)
                });
                self.others.push((user, place));
            }
        }
    }

    fn sort(&mut self) {
        for table in [&mut self.whole, &mut self.prefixes.table, &mut self.suffixes.table] {
            table.values_mut().flatten().for_each(|h| h.whole.sort_unstable());
            table.shrink_to_fit();
        }
    }

    #[inline]
    fn matches(&self, user: &[u8], host: &[u8]) -> bool {
        holds(&self.whole, user, host)
            || self.prefixes.matches(user, host, |n| &user[..n])
            || self.suffixes.matches(user, host, |n| &user[user.len() - n..])
            || self.others.iter().any(|(g, w)| g.matches(user) && w.as_ref().is_none_or(|h| h.matches(host)))
    }
}

/// All patterns.
#[derive(Debug, Default)]
pub(super) struct Tables {
    names: Kind,
    numbers: Kind,
}

impl Tables {
    pub fn add(&mut self, p: Pattern) {
        if p.number { &mut self.numbers } else { &mut self.names }.add(p.user, p.host);
    }

    /// To be called when all are in.
    pub fn ready(mut self) -> Self {
        self.names.sort();
        self.numbers.sort();
        self
    }

    pub fn is_empty(&self) -> bool {
        self.names.count + self.numbers.count == 0
    }

    #[inline]
    pub fn matches(&self, uri: Uri<'_>) -> bool {
        with_forms(uri.user, |Forms { name, number }| {
            (self.names.count > 0 && self.names.matches(name, uri.host))
                || (self.numbers.count > 0 && number.is_some_and(|n| self.numbers.matches(n, uri.host)))
        })
    }
}
